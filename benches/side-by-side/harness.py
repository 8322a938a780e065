"""What all scenarios share: folders, processes, the moment of completion, and the results file."""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time

from client import Template
from clients import HERE, LT, Aria2, Eddyline, EddylineSession, Floor, Rqbit
from daemons import Qbt, Rtorrent, Transmission
from payloads import IP_PROBE, MIB
from processes import Job, Proc, lo_rx
from tracker import Tracker


class Bench:
    def __init__(self, A):
        self.A = A
        self.work = os.path.abspath(A.work)
        os.makedirs(self.work, exist_ok=True)
        self.venv_python = os.environ.get("PB_PYTHON") or os.path.join(self.work, "venv/bin/python")
        self.eddyline = os.environ.get("PB_EDDYLINE") or os.path.join(
            HERE, "../../target/release/eddyline"
        )
        self.rqbit = os.environ.get("PB_RQBIT") or os.path.join(self.work, "rqbit/bin/rqbit")
        self.blast = os.path.join(self.work, "blast")
        if not os.path.exists(self.blast) or os.path.getmtime(self.blast) < max(
            os.path.getmtime(HERE + "/blast.c"), os.path.getmtime(HERE + "/sha1x16.c")
        ):
            subprocess.check_call(["cc", "-O2", "-o", self.blast, HERE + "/blast.c"])
        self.out = A.out or os.path.join(self.work, "results.jsonl")
        self.tracker = Tracker()
        self.n = 0
        tbl = {
            "eddyline": lambda: Eddyline(self),
            "eddyline-session": lambda: EddylineSession(self),
            "libtorrent": lambda: LT(self),
            "aria2": Aria2,
            "rqbit": lambda: Rqbit(self),
            "transmission": Transmission,
            "rtorrent": Rtorrent,
            "qbittorrent": Qbt,
            "floor": lambda: Floor(self),
            "floor2": lambda: Floor(self, "floor2", ["--lanes", "2"]),
            "floor16": lambda: Floor(self, "floor16", ["--lanes", "16"]),
        }
        roles = {}
        for c in A.client or []:
            k, t = c.split("=", 1)
            nm, _, role = k.partition(":")
            roles.setdefault(nm, {})[role or "download"] = t
        for f in A.clients_file or []:
            for nm, r in json.load(open(f)).items():
                roles.setdefault(nm, {}).update(r)
        for nm, r in roles.items():
            tbl[nm] = lambda nm=nm, r=r: Template(nm, r)
        self.clients = [tbl[c]() for c in A.clients.split(",") if c]

    def rec(self, **r):
        r["ts"] = round(time.time(), 1)
        r["load1"] = os.getloadavg()[0]
        r = {k: (round(v, 4) if isinstance(v, float) else v) for k, v in r.items()}
        with open(self.out, "a") as f:
            f.write(json.dumps(r) + "\n")
        print(" ".join("%s=%s" % (k, v) for k, v in r.items() if k not in ("ts",)), flush=True)

    def dirs(self, storage):
        root = (
            os.path.join("/dev/shm", "peerbench.%d" % os.getuid())
            if storage == "shm"
            else self.work
        )
        self.n += 1
        d = os.path.join(root, "dl")
        h = os.path.join(self.work, "home")
        for x in (d, h):
            shutil.rmtree(x, ignore_errors=True)
            os.makedirs(x)
        return d, h

    def prewarm(self, d, n):
        """touch n bytes of fresh file pages in d and free them again: in this VM a page never touched (or handed
        back to the host) costs up to 8x more on first use, which would hit whichever client runs first
        """
        subprocess.call(
            [self.blast, "write", "--out", d + "/.warm", "--size", str(n)],
            stdout=subprocess.DEVNULL,
        )
        os.remove(d + "/.warm")

    def calib(self):
        """SHA-1 MB/s of our own code right now: tells how fast this (shared) machine is at the moment"""
        return json.loads(subprocess.check_output([self.blast, "sha1", "--total", str(128 * MIB)]))[
            "MBps"
        ]

    def cpus(self, who):
        return None if self.A.pin == "none" else ({0} if who == "peer" else {1})

    def start(self, C, spec, J, tag, cpus):
        return Proc(
            spec["argv"],
            os.path.join(self.work, "log-%s-%s.txt" % (C.name, tag)),
            cpus=cpus,
            env=C.env(J),
            cwd=J.home,
        )

    def await_done(self, p, spec, tmo, base_rx=None, first=1 << 18, rx=None):
        """waits; returns dict(ok, wall, first, cpu..) measured at the moment of completion"""
        kind = spec["done"]
        poll = spec.get("poll", 0.004)
        got = rx or lo_rx
        tf = None
        end = p.t0 + tmo
        ok = False
        cpu = None
        tm = 0
        pat = re.compile(kind[1]) if kind[0] == "text" else None
        while time.monotonic() < end:
            rc = p.poll()
            t = time.monotonic()
            if tf is None and base_rx is not None and got() - base_rx > first:
                tf = t
            if rc is not None:
                ok = kind[0] == "exit" and rc == 0 or bool(pat and pat.search(p.text()))
                break
            if (
                kind[0] == "marker"
                and os.path.exists(kind[1])
                or kind[0] == "fn"
                and kind[1](p)
                or pat
                and pat.search(p.text())
            ):
                ok = True
                t = time.monotonic()
                break
            if t - tm > 0.04:
                p.mem()
                tm = t
            time.sleep(poll)
        cpu = p.cpu()
        p.mem()
        return dict(
            ok=ok,
            wall=t - p.t0,
            active=(t - tf) if tf else None,
            cpu=cpu[0],
            user=cpu[1],
            sys=cpu[2],
            rss=p.hwm,
            anon=p.anon,
        )

    def blast_seed(self, P, listen, rate=0):
        p = Proc(
            [
                self.blast,
                "seed",
                "--hash",
                P.ih,
                "--size",
                str(P.size),
                "--piece",
                str(P.plen),
                "--data",
                P.flat,
                "--listen",
                ",".join("%s:%d" % x for x in listen),
                *(["--rate", str(rate)] if rate else []),
            ],
            os.path.join(self.work, "log-blast.txt"),
            cpus=self.cpus("peer"),
        )
        if not p.wait_text("READY", 30):
            raise RuntimeError("blast seeder: " + p.text())
        return p

    def lt_seed(self, P, ip, prt, utp=False, rate=0):
        J = Job(P=P, dir=P.dir, ip=ip, port=prt, home=self.work, utp=utp)
        sp = LT(self).seed(J)
        p = Proc(
            sp["argv"] + (["--rate", str(rate)] if rate else []),
            os.path.join(self.work, "log-ltseed.txt"),
            cpus=self.cpus("peer"),
        )
        if not p.wait_text("READY", 30):
            raise RuntimeError("lt seeder: " + p.text())
        return p

    def probe_ready(self, P, ip, prt, proc, tmo=120):
        """speak the handshake until the client shows a full bitfield"""
        end = time.monotonic() + tmo
        np = (P.size + P.plen - 1) // P.plen
        while time.monotonic() < end and proc.poll() is None:
            try:
                s = socket.create_connection((ip, prt), 2, (IP_PROBE, 0))
                s.settimeout(2)
                s.sendall(
                    b"\x13BitTorrent protocol"
                    + bytes(8)
                    + bytes.fromhex(P.ih)
                    + b"-PB0001-"
                    + os.urandom(12)
                )
                b = b""
                try:
                    while True:
                        c = s.recv(65536)
                        if not c:
                            break
                        b += c
                        q = b[68:]
                        while len(q) >= 5:
                            L = struct.unpack(">I", q[:4])[0]
                            if len(q) < 4 + L:
                                break
                            if (
                                L > 1
                                and q[4] == 5
                                and sum(bin(x).count("1") for x in q[5 : 4 + L]) == np
                            ):
                                s.close()
                                return True
                            q = q[4 + L :]
                        if len(b) > 68 and len(q) == 0 and time.monotonic() > end:
                            break
                except OSError:
                    pass
                s.close()
            except OSError:
                pass
            time.sleep(0.3)
        return False
