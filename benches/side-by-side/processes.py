"""Processes that are measured: their CPU time, memory, end and output."""

import os
import re
import signal
import subprocess
import time

PROCS = []


class Proc:
    def __init__(self, argv, log, cpus=None, env=None, cwd=None, stdin=None):
        e = dict(os.environ)
        e.update(env or {})
        self.log = log
        self.f = open(log, "wb")
        self.t0 = time.monotonic()

        def pre():
            os.setsid()
            if cpus is not None:
                os.sched_setaffinity(0, cpus)

        self.p = subprocess.Popen(
            argv,
            stdout=self.f,
            stderr=subprocess.STDOUT,
            stdin=stdin or subprocess.DEVNULL,
            env=e,
            cwd=cwd,
            preexec_fn=pre,
        )
        self.pid = self.p.pid
        self.ru = None
        self.rc = None
        self.hwm = 0
        self.anon = 0
        PROCS.append(self)

    def poll(self):
        if self.rc is None:
            try:
                pid, st, ru = os.wait4(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.rc = -1
                return self.rc
            if pid:
                self.rc = os.waitstatus_to_exitcode(st)
                self.ru = ru
                self.p.returncode = self.rc
        return self.rc

    def cpu(self):
        """(total seconds, user, sys) of the whole process, all its threads, so far"""
        if self.ru:
            return self.ru.ru_utime + self.ru.ru_stime, self.ru.ru_utime, self.ru.ru_stime
        try:
            t = time.clock_gettime((~self.pid << 3) | 2)
            f = open("/proc/%d/stat" % self.pid).read().rsplit(")", 1)[1].split()
            u, s = int(f[11]), int(f[12])
            r = u / (u + s) if u + s else 0
            return t, t * r, t * (1 - r)
        except (OSError, ValueError):
            return 0.0, 0.0, 0.0

    def mem(self):
        try:
            for l in open("/proc/%d/status" % self.pid):
                if l.startswith("VmHWM"):
                    self.hwm = max(self.hwm, int(l.split()[1]) * 1024)
                elif l.startswith("RssAnon"):
                    self.anon = max(self.anon, int(l.split()[1]) * 1024)
        except OSError:
            pass

    def rss(self):
        try:
            d = {
                l.split(":")[0]: l.split()[1]
                for l in open("/proc/%d/status" % self.pid)
                if l.startswith(("VmRSS", "RssAnon", "RssFile", "Threads"))
            }
            return {k: int(v) * (1024 if k != "Threads" else 1) for k, v in d.items()}
        except OSError:
            return {}

    def text(self):
        try:
            return open(self.log, errors="replace").read()
        except OSError:
            return ""

    def stop(self, grace=8.0):
        if self.poll() is None:
            try:
                os.kill(self.pid, signal.SIGTERM)
            except OSError:
                pass
            e = time.monotonic() + grace
            while self.poll() is None and time.monotonic() < e:
                time.sleep(0.02)
            if self.poll() is None:
                os.kill(self.pid, signal.SIGKILL)
                while self.poll() is None:
                    time.sleep(0.01)
        self.f.close()
        if self in PROCS:
            PROCS.remove(self)

    def wait_text(self, pat, tmo=60):
        e = time.monotonic() + tmo
        r = re.compile(pat)
        while time.monotonic() < e:
            m = r.search(self.text())
            if m:
                return m
            if self.poll() is not None:
                return r.search(self.text())
            time.sleep(0.02)
        return None


def lo_rx():
    for l in open("/proc/net/dev"):
        if l.lstrip().startswith("lo:"):
            return int(l.split(":")[1].split()[0])
    return 0


_port = [20000]


def port():
    _port[0] += 1
    return _port[0]


class Job:  # what an adapter needs to know to build a command line
    def __init__(self, **k):
        self.__dict__.update(dict(peers=[], utp=False, magnet=None, torrents=None, limit=None), **k)

    @property
    def peerstr(self):
        return ",".join("%s:%d" % p for p in self.peers)
