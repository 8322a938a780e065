"""The scenarios: each sets a scene up, runs a client in it, checks what it did, and writes a line."""

import glob
import json
import os
import re
import shutil
import statistics
import subprocess
import time

from client import Template
from clients import HERE, LT, Aria2, Floor
from daemons import Rtorrent
from payloads import IP_CLIENT, IP_SEED, MIB, many, payload
from processes import Job, PROCS, Proc, lo_rx, port
from limited import Limited


class Scenarios(Limited):
    def dl(self, sc, C, run, P, seeders, kind, tmo, storage, utp=False, magnet=False, extra=None, keep=None):
        """one download run: start seeders with seeders(), then the client; verify; record.
        keep: a folder in which the result stays"""
        d, h = self.dirs(storage)
        sp = []
        try:
            sp, peers = seeders()
            self.tracker.peers = list(peers)
            J = Job(
                P=P,
                dir=d,
                home=h,
                port=port(),
                ip=IP_CLIENT,
                peers=peers,
                utp=utp,
                magnet=(P.magnet(peers[0], C.uses_tracker) if magnet else None),
            )
            cal = self.calib()
            spec = C.download(J) if kind == "download" else C.magnet(J)
            if kind == "download":
                self.prewarm(d, P.size + P.size // 4)
            b = lo_rx()
            s0 = sum(x.cpu()[0] for x in sp)
            p = self.start(C, spec, J, sc, self.cpus("client"))
            r = self.await_done(p, spec, tmo, b)
            s1 = sum(x.cpu()[0] for x in sp)
            tail = p.text()[-300:]
            p.stop()
            if kind == "download":
                r["verified"] = r["ok"] and P.verify(d)
                r["ok"] = r["ok"] and r["verified"]
            self.rec(
                scenario=sc,
                client=C.name,
                run=run,
                bytes=P.size,
                storage=storage,
                pin=self.A.pin,
                peer_cpu=s1 - s0,
                calib=cal,
                **r,
                **(extra or {}),
                **({} if r["ok"] else {"why": tail}),
            )
        finally:
            for x in sp:
                x.stop()
            for x in list(PROCS):
                x.stop()
            if keep:
                os.rename(d, os.path.join(keep, "%s-%d" % (C.name, run)))
            shutil.rmtree(d, ignore_errors=True)
            if storage == "disk":
                os.sync()

    def each(self, role, fn):
        for run in range(1, self.A.runs + 1):
            for C in self.clients:
                if C.supports(role):
                    try:
                        fn(C, run)
                    except Exception as e:
                        self.rec(
                            scenario=self.A.scenario,
                            client=C.name,
                            run=run,
                            ok=False,
                            why=repr(e)[:300],
                        )

    def s1(self):
        P = payload(self.work, self.A.payload or "g1")

        def go(C, run):
            a = (IP_SEED, port())
            seeders = (
                (lambda: ([self.blast_seed(P, [a])], [a]))
                if self.A.seeder == "blast"
                else (lambda: ([self.lt_seed(P, *a)], [a]))
            )
            self.dl(
                "s1",
                C,
                run,
                P,
                seeders,
                "download",
                self.A.timeout,
                self.A.storage,
                extra={"seeder": self.A.seeder},
            )

        self.each("download", go)

    def s2(self):
        P = payload(self.work, self.A.payload or "g1")

        def go(C, run):
            d, h = self.dirs("shm")
            J = Job(P=P, dir=P.dir, home=h, port=port(), ip=IP_SEED)
            spec = C.seed(J)
            cal = self.calib()
            p = self.start(C, spec, J, "s2", self.cpus("client"))
            try:
                ready = self.probe_ready(P, IP_SEED, J.port, p)
                t_ready = time.monotonic() - p.t0
                time.sleep(0.3)
                c0 = p.cpu()
                b = lo_rx()
                if self.A.leecher == "blast":
                    argv = [
                        self.blast,
                        "leech",
                        "--hash",
                        P.ih,
                        "--size",
                        str(P.size),
                        "--piece",
                        str(P.plen),
                        "--connect",
                        "%s:%d" % (IP_SEED, J.port),
                        "--bind",
                        IP_CLIENT,
                        "--depth",
                        "500",
                        "--data",
                        P.flat,
                    ]
                else:
                    self.prewarm(d, P.size + P.size // 4)
                    argv = LT(self).download(
                        Job(
                            P=P, dir=d, home=h, port=port(), ip=IP_CLIENT, peers=[(IP_SEED, J.port)]
                        )
                    )["argv"]
                l = Proc(argv, os.path.join(self.work, "log-leech.txt"), cpus=self.cpus("peer"))
                r = self.await_done(l, dict(done=("exit",)), self.A.timeout, b)
                c1 = p.cpu()
                p.mem()
                ok = (
                    r["ok"]
                    and ready
                    and (P.verify(d) if self.A.leecher != "blast" else '"leech"' in l.text())
                )
                if self.A.leecher == "blast" and ok:
                    r["active"] = json.loads(l.text().strip().splitlines()[-1])["active"]
                self.rec(
                    scenario="s2",
                    client=C.name,
                    run=run,
                    ok=ok,
                    bytes=P.size,
                    leecher=self.A.leecher,
                    pin=self.A.pin,
                    wall=r["wall"],
                    active=r["active"],
                    cpu=c1[0] - c0[0],
                    user=c1[1] - c0[1],
                    sys=c1[2] - c0[2],
                    rss=p.hwm,
                    anon=p.anon,
                    ready=t_ready,
                    calib=cal,
                    peer_cpu=r["cpu"],
                    **({} if ok else {"why": (p.text() + l.text())[-300:]}),
                )
                l.stop()
            finally:
                for x in list(PROCS):
                    x.stop()
                shutil.rmtree(d, ignore_errors=True)

        self.each("seed", go)

    def s3(self):
        P = payload(self.work, self.A.payload or "g4")

        def go(C, run):
            # Some clients tell the system to forget what they have read.
            subprocess.call(["cat", P.flat], stdout=subprocess.DEVNULL)
            d, h = self.dirs("shm")
            J = Job(P=P, dir=P.dir, home=h, port=port(), ip=IP_CLIENT)
            cal = self.calib()
            spec = C.recheck(J)
            p = self.start(C, spec, J, "s3", self.cpus("client"))
            r = self.await_done(p, spec, self.A.timeout)
            t = p.text()[-300:]
            p.stop()
            self.rec(
                scenario="s3",
                client=C.name,
                run=run,
                bytes=P.size,
                pin=self.A.pin,
                calib=cal,
                **r,
                **({} if r["ok"] else {"why": t}),
            )

        self.each("recheck", go)
        for x in glob.glob(P.dir + "/*.aria2"):
            os.remove(x)

    def s4(self):
        """20 rate-limited seeders at 20 addresses -> client under test"""
        P = payload(self.work, self.A.payload or "m256")
        n = self.A.peers
        rate = self.A.rate or 5_000_000

        def go(C, run):
            pr = port()
            ad = [("10.99.0.%d" % (10 + i), pr) for i in range(n)]
            self.dl(
                "s4",
                C,
                run,
                P,
                lambda: ([self.blast_seed(P, ad, rate)], ad),
                "download",
                self.A.timeout,
                self.A.storage,
                extra={"peers": n, "rate": rate, "ideal": P.size / (n * rate)},
            )

        self.each("download", go)

    def s4swarm(self):
        """1 seeder limited to --rate per connection + n leechers, all the same client (they find each other through the tracker, or by a list)"""
        P = payload(self.work, self.A.payload or "m64")
        n = self.A.peers
        rate = self.A.rate or 10_000_000

        def go(C, run):
            sd = (IP_SEED, port())
            root = os.path.join("/dev/shm", "peerbench.%d" % os.getuid(), "swarm")
            shutil.rmtree(root, ignore_errors=True)
            s = self.blast_seed(P, [sd], rate)
            ps = []
            ad = [("10.99.0.%d" % (10 + i), port()) for i in range(n)]
            self.tracker.peers = [sd] + ad
            try:
                t0 = time.monotonic()
                for i in range(n):
                    d = os.path.join(root, str(i), "d")
                    h = os.path.join(root, str(i), "h")
                    os.makedirs(d)
                    os.makedirs(h)
                    J = Job(
                        P=P,
                        dir=d,
                        home=h,
                        port=ad[i][1],
                        ip=ad[i][0],
                        peers=[sd] + [x for j, x in enumerate(ad) if j != i],
                    )
                    spec = C.swarm(J) if hasattr(C, "swarm") else C.download(J)
                    ps.append((self.start(C, spec, J, "sw%d" % i, None), spec, d))
                fin = {}
                end = t0 + self.A.timeout
                while len(fin) < n and time.monotonic() < end:
                    for i, (p, spec, d) in enumerate(ps):
                        if i in fin:
                            continue
                        k = spec["done"]
                        x = p.poll() is not None if k[0] == "exit" else os.path.exists(k[1])
                        if x:
                            fin[i] = time.monotonic() - t0
                        p.mem()
                    time.sleep(0.02)
                cpu = sum(p.cpu()[0] for p, _, _ in ps)
                ok = len(fin) == n and all(P.verify(d) for _, _, d in ps)
                s.stop()
                m = re.search(r'"bytes":(\d+)', s.text())
                self.rec(
                    scenario="s4swarm",
                    client=C.name,
                    run=run,
                    ok=ok,
                    bytes=P.size * n,
                    peers=n,
                    rate=rate,
                    wall=max(fin.values(), default=0),
                    first=min(fin.values(), default=0),
                    median=statistics.median(fin.values()) if fin else None,
                    cpu=cpu,
                    rss=max(p.hwm for p, _, _ in ps),
                    seed_copies=int(m.group(1)) / P.size if m else None,
                    done=len(fin),
                )
            finally:
                for x in list(PROCS):
                    x.stop(2)
                shutil.rmtree(root, ignore_errors=True)
                self.tracker.peers = []

        self.each("download", go)

    def s5(self):
        t, tt, d = many(self.work, self.A.torrents)

        def go(C, run):
            _, h = self.dirs("shm")
            for cold in (True, False):
                J = Job(P=None, dir=d, home=h, port=port(), ip=IP_CLIENT, torrents=t, cold=cold)
                spec = C.scale(J)
                p = self.start(C, spec, J, "s5", None)
                try:
                    r = self.await_done(p, spec, self.A.timeout)
                    time.sleep(5)
                    a = p.cpu()[0]
                    t0 = time.monotonic()
                    time.sleep(self.A.idle)
                    c = (p.cpu()[0] - a) / (time.monotonic() - t0)
                    m = p.rss()
                    self.rec(
                        scenario="s5",
                        client=C.name,
                        run=run,
                        torrents=self.A.torrents,
                        cold=cold,
                        **r,
                        rss_idle=m.get("VmRSS"),
                        anon_idle=m.get("RssAnon"),
                        threads=m.get("Threads"),
                        idle_cpu_pct=100 * c,
                        **({} if r["ok"] else {"why": p.text()[-300:]}),
                    )
                finally:
                    p.stop(60)
                if isinstance(C, (Template, Rtorrent, Aria2)) and cold:
                    break

        self.each("scale", go)
        for x in glob.glob(d + "/*.aria2"):
            os.remove(x)

    def s6(self):
        P = payload(self.work, "files20k")
        # ext4 looks at every inode that was deleted in the last minutes before it takes a free one:
        # whoever comes after a run that was deleted pays for that.
        keep = os.path.join(self.work, "kept") if self.A.storage == "disk" else None
        if keep:
            os.makedirs(keep, exist_ok=True)

        def go(C, run):
            a = (IP_SEED, port())
            self.dl(
                "s6",
                C,
                run,
                P,
                lambda: ([self.blast_seed(P, [a])], [a]),
                "download",
                self.A.timeout,
                self.A.storage,
                keep=keep,
            )

        self.clients = [c for c in self.clients if not isinstance(c, Floor)]
        self.each("download", go)
        if keep:
            shutil.rmtree(keep, ignore_errors=True)

    def s7(self):
        P = payload(self.work, self.A.payload or "g1")

        def go(C, run):
            a = (IP_SEED, port())
            self.dl(
                "s7",
                C,
                run,
                P,
                lambda: ([self.lt_seed(P, *a)], [a]),
                "magnet",
                self.A.timeout,
                "shm",
                magnet=True,
            )

        self.each("magnet", go)

    def s8(self):
        P = payload(self.work, self.A.payload or "m256")
        self.clients = [c for c in self.clients if c.utp]

        def go(C, run):
            a = (IP_SEED, port())
            self.dl(
                "s8",
                C,
                run,
                P,
                lambda: ([self.lt_seed(P, *a, utp=True)], [a]),
                "download",
                self.A.timeout,
                self.A.storage,
                utp=True,
            )

        self.each("download", go)

    def floorparts(self):
        """the parts of the floor, each alone: recv from loopback, SHA-1, pwrite; CPU seconds for 1 GiB"""
        P = payload(self.work, "g1")
        x16 = os.path.join(self.work, "sha1x16")
        if not os.path.exists(x16):
            subprocess.call(["cc", "-O3", "-o", x16, HERE + "/sha1x16.c"])
        J = lambda argv: [
            json.loads(l)
            for l in subprocess.run(
                argv,
                capture_output=True,
                text=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {1}),
            ).stdout.splitlines()
        ]
        for run in range(1, self.A.runs + 1):
            a = (IP_SEED, port())
            self.A.pin = "split"
            s = self.blast_seed(P, [a])
            base = [
                self.blast,
                "leech",
                "--hash",
                P.ih,
                "--size",
                str(P.size),
                "--piece",
                str(P.plen),
                "--connect",
                "%s:%d" % a,
            ]
            r = J(base)[0]
            self.rec(
                scenario="floorparts",
                client="recv",
                run=run,
                ok=True,
                bytes=P.size,
                wall=r["wall"],
                cpu=r["user"] + r["sys"],
                user=r["user"],
                sys=r["sys"],
            )
            s.stop()
            for ln in (1, 2):
                m = J(
                    [
                        self.blast,
                        "sha1",
                        "--buf",
                        str(MIB),
                        "--lanes",
                        str(ln),
                        "--total",
                        str(1 << 30),
                    ]
                )[0]["MBps"]
                self.rec(
                    scenario="floorparts",
                    client="sha1-ni-%dlane" % ln,
                    run=run,
                    ok=True,
                    bytes=P.size,
                    wall=P.size / m / 1e6,
                    cpu=P.size / m / 1e6,
                    user=P.size / m / 1e6,
                    sys=0.0,
                    MBps=m,
                )
            for m in J([x16]) if os.path.exists(x16) else []:
                t = P.size / m["MBps"] / 1e6
                self.rec(
                    scenario="floorparts",
                    client="sha1-avx512-16lane-%dK" % (m["buf"] >> 10),
                    run=run,
                    ok=True,
                    bytes=P.size,
                    wall=t,
                    cpu=t,
                    user=t,
                    sys=0.0,
                    MBps=m["MBps"],
                )
            for st in ("shm", "disk"):
                d, _ = self.dirs(st)
                self.prewarm(d, P.size + P.size // 4)
                r = J([self.blast, "write", "--out", d + "/w", "--size", str(P.size)])[0]
                self.rec(
                    scenario="floorparts",
                    client="pwrite-" + st,
                    run=run,
                    ok=True,
                    bytes=P.size,
                    wall=r["wall"],
                    cpu=r["user"] + r["sys"],
                    user=r["user"],
                    sys=r["sys"],
                )
                shutil.rmtree(d)

    def s9(self):
        """download across an emulated link (netem.c: TUN pair, delay, loss, rate, buffer), TCP or uTP"""
        A = self.A
        P = payload(self.work, A.payload or "m64")
        nem = os.path.join(self.work, "netem")
        if not os.path.exists(nem) or os.path.getmtime(nem) < os.path.getmtime(HERE + "/netem.c"):
            subprocess.check_call(["cc", "-O2", "-o", nem, HERE + "/netem.c"])
        if A.utp:
            self.clients = [c for c in self.clients if c.utp]
        net = "%s rtt=%gms loss=%g rate=%g cc=%s" % (
            "utp" if A.utp else "tcp",
            2 * A.delay,
            A.loss,
            A.link,
            A.cc or "default",
        )

        def go(C, run):
            box = Proc(
                ["unshare", "-n", "--", "sleep", "100000"], os.path.join(self.work, "log-box.txt")
            )
            d = None
            try:
                me = os.readlink("/proc/self/ns/net")
                for _ in range(200):
                    if os.readlink("/proc/%d/ns/net" % box.pid) != me:
                        break
                    time.sleep(0.01)
                n = Proc(
                    [
                        nem,
                        "--ns",
                        "/proc/%d/ns/net" % box.pid,
                        "--delay-ms",
                        str(A.delay),
                        "--loss",
                        str(A.loss),
                        "--rate",
                        str(A.link),
                        "--buffer",
                        str(A.buffer or 2 * A.link / 8 * A.delay / 1000),
                        "--seed",
                        str(run),
                    ],
                    os.path.join(self.work, "log-netem.txt"),
                )
                if not n.wait_text("READY", 5):
                    raise RuntimeError("netem: " + n.text())
                x = ["nsenter", "-t", str(box.pid), "-n", "--"]
                run_ = lambda *a: subprocess.check_call(a)
                run_("ip", "addr", "add", "10.98.0.1", "peer", "10.98.0.2", "dev", "nem0")
                run_("ip", "link", "set", "nem0", "up", "mtu", "1500")
                if A.cc:
                    run_(
                        "ip", "route", "replace", "10.98.0.2/32", "dev", "nem0", "congctl", A.cc
                    )  # the sysctl cannot be changed in a namespace
                run_(*x, "ip", "addr", "add", "10.98.0.2", "peer", "10.98.0.1", "dev", "nem1")
                run_(*x, "ip", "link", "set", "nem1", "up", "mtu", "1500")
                run_(*x, "ip", "link", "set", "lo", "up")
                run_(*x, "ip", "route", "add", "10.99.0.0/24", "dev", "nem1")
                d, h = self.dirs("shm")
                a = ("10.98.0.1" if A.utp else IP_SEED, port())
                sd = (
                    self.lt_seed(P, *a, utp=A.utp)
                    if A.utp or A.seeder == "libtorrent"
                    else self.blast_seed(P, [a])
                )
                self.tracker.peers = [a]
                J = Job(P=P, dir=d, home=h, port=port(), ip="10.98.0.2", peers=[a], utp=A.utp)
                spec = C.download(J)
                spec["argv"] = x + spec["argv"]
                tx = lambda: next(
                    int(l.split(":")[1].split()[8]) for l in open("/proc/net/dev") if "nem0" in l
                )
                b = tx()
                p = self.start(C, spec, J, "s9", None)
                r = self.await_done(p, spec, A.timeout, b, rx=tx)
                t = p.text()[-300:]
                p.stop()
                n.stop()
                r["verified"] = r["ok"] and P.verify(d)
                r["ok"] = r["verified"]
                self.rec(
                    scenario="s9",
                    client=C.name,
                    run=run,
                    bytes=P.size,
                    net=net,
                    seeder="libtorrent" if A.utp else A.seeder,
                    **r,
                    link=n.text()[6:].replace("\n", " ")[:400],
                    **({} if r["ok"] else {"why": t}),
                )
            finally:
                for q in list(PROCS):
                    q.stop()
                if d:
                    shutil.rmtree(d, ignore_errors=True)
                for _ in range(100):
                    if (
                        not os.path.exists("/sys/class/net/nem0")
                        and "nem0" not in open("/proc/net/dev").read()
                    ):
                        break
                    time.sleep(0.02)

        self.each("download", go)
