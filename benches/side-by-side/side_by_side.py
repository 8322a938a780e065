#!/usr/bin/env python3
"""Measures BitTorrent clients side by side on one machine. See README.md beside this file.

Everything runs inside a private network namespace (the program starts itself again under
`unshare -n`) whose only device is its own loopback, so no client can reach anything else.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile

from processes import PROCS
from scenarios import Scenarios
from table import report


def main():
    ap = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sub = ap.add_subparsers(dest="cmd", required=True)
    r = sub.add_parser("run")
    r.add_argument(
        "scenario",
        choices=["s1", "s2", "s3", "s4", "s4swarm", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "floorparts"],
    )
    r.add_argument("--work", default=os.path.join(tempfile.gettempdir(), "peerbench"))
    r.add_argument(
        "--clients", default="floor,floor16,eddyline,libtorrent,rqbit,transmission,aria2,rtorrent"
    )
    r.add_argument(
        "--client",
        action="append",
        help="NAME[:ROLE]='command template'; ROLE: download (default) seed recheck magnet scale download_utp",
    )
    r.add_argument("--clients-file", action="append")
    r.add_argument("--runs", type=int, default=3)
    r.add_argument("--storage", choices=["disk", "shm"], default="disk")
    r.add_argument("--pin", choices=["none", "split"], default="none")
    r.add_argument("--seeder", choices=["blast", "libtorrent"], default="blast")
    r.add_argument("--leecher", choices=["blast", "libtorrent"], default="blast")
    r.add_argument("--payload")
    r.add_argument("--peers", type=int, default=20)
    r.add_argument("--rate", type=int, default=0)
    r.add_argument("--torrents", type=int, default=1000)
    r.add_argument("--idle", type=float, default=15)
    r.add_argument("--delay", type=float, default=25, help="s9: one-way ms")
    r.add_argument("--loss", type=float, default=0)
    r.add_argument("--link", type=float, default=400e6, help="s9: bit/s")
    r.add_argument("--buffer", type=float, default=0, help="s9: bytes, default one BDP")
    r.add_argument("--cc", help="s9: TCP congestion control")
    r.add_argument("--utp", action="store_true")
    r.add_argument("--window", type=float, default=10, help="s10, s11: seconds that are measured")
    r.add_argument("--timeout", type=float, default=120)
    r.add_argument("--out")
    p = sub.add_parser("report")
    p.add_argument("files", nargs="+")
    A = ap.parse_args()
    if A.cmd == "report":
        return report(A)
    if os.environ.get("PEERBENCH_NS") != "1":
        os.environ["PEERBENCH_NS"] = "1"
        os.execvp(
            "unshare",
            ["unshare", "-n", "--", sys.executable, os.path.abspath(__file__)] + sys.argv[1:],
        )
    ip = lambda *a: subprocess.check_call(["ip", *a])
    ip("link", "set", "lo", "up")
    for i in range(1, 80):
        ip("addr", "add", "10.99.0.%d/32" % i, "dev", "lo")
    B = Scenarios(A)
    try:
        getattr(B, A.scenario)()
    finally:
        for x in list(PROCS):
            x.stop(1)
        shutil.rmtree(os.path.join("/dev/shm", "peerbench.%d" % os.getuid()), ignore_errors=True)


if __name__ == "__main__":
    main()
