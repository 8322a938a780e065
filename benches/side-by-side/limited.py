"""Downloads and uploads under a limit of the client's own: CPU for a GiB, rate, bursts, context switches."""

import glob
import re
import shutil
import subprocess
import time

from harness import Bench
from payloads import IP_CLIENT, IP_SEED, payload
from processes import Job, PROCS, Proc, lo_rx, port

# How long a client gets to come to its rate before it is measured.
SETTLE = 3.0
# How often it is looked at what is on the wire.
SAMPLE = 0.004


def switches(pid):
    """Context switches of all threads of a process so far."""
    n = 0
    for f in glob.glob("/proc/%d/task/*/status" % pid):
        try:
            n += sum(int(x) for x in re.findall(r"ctxt_switches:\s*(\d+)", open(f).read()))
        except OSError:
            pass
    return n


def sockets(p):
    """(bytes that were read from, bytes that were acknowledged of) the connections to or from a port"""
    out = subprocess.run(
        ["ss", "-tinHO", "state", "established", "( sport = :%d or dport = :%d )" % (p, p)],
        capture_output=True,
        text=True,
    ).stdout
    read = acked = 0
    for l in out.splitlines():
        queue = int(l.split()[0])
        n = lambda k: int((re.search(r"\b%s:(\d+)" % k, l) or [0, 0])[1])
        read = max(read, n("bytes_received") - queue)
        acked = max(acked, n("bytes_acked"))
    return read, acked


class Limited(Bench):
    def window(self, p, prt, rate, down):
        """what a running transfer does in a stretch of time"""
        time.sleep(SETTLE)
        moved = lambda: sockets(prt)[0 if down else 1]
        c0, n0, b0, t0, w0 = p.cpu(), switches(p.pid), moved(), time.monotonic(), lo_rx()
        least = burst = 0.0
        while time.monotonic() - t0 < self.A.window:
            time.sleep(SAMPLE)
            ahead = lo_rx() - w0 - rate * (time.monotonic() - t0)
            burst = max(burst, ahead - least)
            least = min(least, ahead)
        c1, n1, b1, t1 = p.cpu(), switches(p.pid), moved(), time.monotonic()
        p.mem()
        n = b1 - b0
        return dict(
            ok=n > 0 and p.poll() is None,
            bytes=n,
            wall=t1 - t0,
            cpu=c1[0] - c0[0],
            user=c1[1] - c0[1],
            sys=c1[2] - c0[2],
            rss=p.hwm,
            anon=p.anon,
            rate_error_pct=100 * (n / (t1 - t0) / rate - 1),
            burst_ms=1000 * burst / rate,
            switches_per_s=(n1 - n0) / (t1 - t0),
        )

    def whole(self, p, last, size, before):
        """a whole transfer without a limit, which ends with the process `last`; CPU counts from `before` on"""
        end = p.t0 + self.A.timeout
        while last.poll() is None and time.monotonic() < end:
            time.sleep(SAMPLE)
        c = [after - b for after, b in zip(p.cpu(), before)]
        ok = last.poll() == 0
        return dict(ok=ok, bytes=size, wall=time.monotonic() - p.t0, cpu=c[0], user=c[1], sys=c[2])

    def under_limit(self, sc, role):
        P = payload(self.work, self.A.payload or "g1")
        down = role == "download"
        rate = self.A.rate

        def go(C, run):
            d, h = self.dirs(self.A.storage)
            if down:
                self.prewarm(d, P.size)
            sd = (IP_SEED, port())
            before = (0, 0, 0)
            try:
                if down:
                    other = self.blast_seed(P, [sd])
                    self.tracker.peers = [sd]
                    J = Job(P=P, dir=d, home=h, port=port(), ip=IP_CLIENT, peers=[sd], limit=rate)
                    p = self.start(C, C.download(J), J, sc, self.cpus("client"))
                    end = time.monotonic() + 30
                    while rate and not sockets(sd[1])[0] > 1 << 18 and time.monotonic() < end:
                        time.sleep(0.05)
                else:
                    J = Job(P=P, dir=P.dir, home=h, port=sd[1], ip=IP_SEED, limit=rate)
                    p = self.start(C, C.seed(J), J, sc, self.cpus("client"))
                    self.probe_ready(P, IP_SEED, J.port, p)
                    # What was read and hashed before is not part of the upload.
                    before = p.cpu()
                    other = Proc(self.leech(P, sd), self.work + "/log-leech.txt", cpus=self.cpus("peer"))
                if rate:
                    r = self.window(p, sd[1], rate, down)
                else:
                    r = self.whole(p, p if down else other, P.size, before)
                text = p.text()[-300:]
                self.rec(
                    scenario=sc,
                    client=C.name,
                    run=run,
                    rate=rate,
                    pin=self.A.pin,
                    **r,
                    **({} if r["ok"] else {"why": text}),
                )
                other.stop(1)
            finally:
                for x in list(PROCS):
                    x.stop(2)
                shutil.rmtree(d, ignore_errors=True)
                for x in glob.glob(P.dir + "/*.aria2"):
                    shutil.os.remove(x)

        self.each(role, go)

    def leech(self, P, sd):
        return [
            self.blast,
            "leech",
            "--hash",
            P.ih,
            "--size",
            str(P.size),
            "--piece",
            str(P.plen),
            "--connect",
            "%s:%d" % sd,
            "--bind",
            IP_CLIENT,
            "--depth",
            "500",
        ]

    def s10(self):
        """download under a limit of the client's own, --rate bytes a second; 0 is none"""
        self.under_limit("s10", "download")

    def s11(self):
        """seed under a limit of the client's own"""
        self.under_limit("s11", "seed")
