"""How clients that work from the command line are started."""

import glob
import json
import os
import subprocess
import urllib.request

from client import Client
from processes import port

HERE = os.path.dirname(os.path.abspath(__file__))


class Eddyline(Client):
    name = "eddyline"

    def __init__(self, C):
        self.bin = C.eddyline

    def _o(self, J):
        return ["--no-config", "--no-dht", "--no-lsd", "--bind", J.ip, "--port", str(J.port)]

    def _peers(self, J):
        return [z for p in J.peers for z in ("--peer", "%s:%d" % p)]

    def env(self, J):
        e = Client.env(self, J)
        e["XDG_STATE_HOME"] = J.home
        return e

    def download(self, J):
        return dict(
            argv=[
                self.bin,
                "download",
                "--quiet",
                J.magnet or J.P.torrent,
                "--dir",
                J.dir,
                *(["--max-down", str(J.limit)] if J.limit else []),
                *self._peers(J),
                *self._o(J),
            ],
            done=("exit",),
        )

    def seed(self, J):
        return dict(
            argv=[
                self.bin,
                "seed",
                J.P.torrent,
                "--dir",
                J.dir,
                *(["--max-up", str(J.limit)] if J.limit else []),
                *self._o(J),
            ],
            done=("text", "READY"),
        )

    def recheck(self, J):
        return dict(
            argv=[self.bin, "verify", "--quiet", J.P.torrent, "--dir", J.dir], done=("exit",)
        )

    def magnet(self, J):
        return dict(
            argv=[
                self.bin,
                "download",
                "--quiet",
                "--metadata-only",
                "-o",
                J.home + "/x.torrent",
                J.magnet,
                *self._peers(J),
                *self._o(J),
            ],
            done=("exit",),
        )

    def scale(self, J):
        return dict(
            argv=[
                self.bin,
                "seed",
                *sorted(glob.glob(J.torrents + "/*.torrent")),
                "--dir",
                J.dir,
                *self._o(J),
            ],
            done=("text", "READY"),
        )


class EddylineSession(Eddyline):
    """The same program with its set of torrents: complete ones stand by until somebody wants them."""

    name = "eddyline-session"

    def scale(self, J):
        if J.cold:
            # Adding is not starting; it is done once.
            subprocess.run(
                [
                    self.bin,
                    "session",
                    "add",
                    *sorted(glob.glob(J.torrents + "/*.torrent")),
                    "--dir",
                    J.dir,
                ],
                env=self.env(J),
                stdout=subprocess.DEVNULL,
                check=True,
            )
        return dict(argv=[self.bin, "session", "run", *self._o(J)], done=("text", "READY"))


class LT(Client):
    name = "libtorrent"
    utp = True

    def __init__(self, C, name="libtorrent", extra=()):
        self.py = C.venv_python
        self.name = name
        self.extra = list(extra)

    def _c(self, role, J, *x):
        return (
            [
                self.py,
                os.path.join(HERE, "lt_client.py"),
                role,
                *x,
                "--dir",
                J.dir,
                "--listen",
                "%s:%d" % (J.ip, J.port),
            ]
            + (["--utp"] if J.utp else [])
            + [z for kv in self.extra for z in ("--set", kv)]
        )

    def download(self, J):
        return dict(
            argv=self._c("download", J, J.magnet or J.P.torrent)
            + (["--set", "download_rate_limit=%d" % J.limit] if J.limit else [])
            + [z for p in J.peers for z in ("--peer", "%s:%d" % p)],
            done=("exit",),
        )

    def seed(self, J):
        limit = ["--set", "upload_rate_limit=%d" % J.limit] if J.limit else []
        return dict(argv=self._c("seed", J, J.P.torrent) + limit, done=("text", "READY"))

    def recheck(self, J):
        return dict(argv=self._c("recheck", J, J.P.torrent), done=("exit",))

    def magnet(self, J):
        return dict(
            argv=self._c("download", J, J.magnet)
            + ["--metadata-only"]
            + [z for p in J.peers for z in ("--peer", "%s:%d" % p)],
            done=("exit",),
        )

    def scale(self, J):
        return dict(
            argv=self._c("scale", J, J.torrents) + (["--check"] if J.cold else []),
            done=("text", "READY"),
        )


class Aria2(Client):
    name = "aria2"
    uses_tracker = True

    def _c(self, J, *x):
        return [
            "aria2c",
            "--no-conf=true",
            "--dir=" + J.dir,
            "--enable-dht=false",
            "--enable-dht6=false",
            "--bt-enable-lpd=false",
            "--enable-peer-exchange=false",
            "--listen-port=%d" % J.port,
            "--file-allocation=none",
            "--summary-interval=0",
            "--quiet=true",
            "--disable-ipv6=true",
            "--allow-overwrite=true",
            "--follow-torrent=mem",
            *x,
        ]

    def download(self, J):
        limit = ["--max-overall-download-limit=%d" % J.limit] if J.limit else []
        return dict(
            argv=self._c(J, "--seed-time=0", *limit, J.magnet or J.P.ttorrent), done=("exit",)
        )

    def seed(self, J):
        return dict(
            argv=self._c(
                J,
                "--seed-ratio=0.0",
                "--check-integrity=true",
                *(["--max-overall-upload-limit=%d" % J.limit] if J.limit else []),
                J.P.torrent,
            ),
            done=("exit",),
        )

    def recheck(self, J):
        return dict(
            argv=self._c(J, "--check-integrity=true", "--hash-check-only=true", J.P.torrent),
            done=("exit",),
        )

    def magnet(self, J):
        return dict(
            argv=self._c(J, "--bt-metadata-only=true", "--bt-save-metadata=true", J.magnet),
            done=("exit",),
        )

    def scale(self, J):
        ts = sorted(glob.glob(J.torrents + "/*.torrent"))
        rp = port()
        argv = self._c(
            J,
            "--seed-ratio=0.0",
            "-j",
            "100000",
            "--enable-rpc=true",
            "--rpc-listen-port=%d" % rp,
            "--check-integrity=true" if J.cold else "--bt-seed-unverified=true",
            "--check-integrity=true",
            *ts
        )

        def ok(p):
            try:
                q = json.dumps(
                    {
                        "jsonrpc": "2.0",
                        "id": "1",
                        "method": "aria2.tellActive",
                        "params": [["seeder", "verifiedLength"]],
                    }
                ).encode()
                r = json.load(
                    urllib.request.urlopen("http://127.0.0.1:%d/jsonrpc" % rp, q, timeout=60)
                )["result"]
                return sum(x.get("seeder") == "true" for x in r) >= len(ts)
            except (OSError, ValueError):
                return False

        return dict(argv=argv, done=("fn", ok), poll=0.5)


class Rqbit(Client):
    name = "rqbit"
    utp = True

    def __init__(self, C, name="rqbit", extra=()):
        self.bin = C.rqbit
        self.name = name
        self.extra = list(extra)

    def _c(self, J):
        return [
            self.bin,
            "-v",
            "error",
            "--disable-dht",
            "--disable-lsd",
            "--disable-trackers",
            "--disable-upnp-port-forward",
            "--listen-ip",
            "0.0.0.0",
            "--listen-port",
            str(J.port),
            *(
                [
                    "--experimental-enable-utp-listen",
                    "--disable-tcp-connect",
                    "--disable-tcp-listen",
                ]
                if J.utp
                else []
            ),
            *self.extra,
        ]

    def download(self, J):
        return dict(
            argv=self._c(J)
            + [
                "download",
                "--disable-http-api",
                "-e",
                "-o",
                J.dir,
                "--initial-peers",
                J.peerstr,
                J.magnet or J.P.torrent,
            ],
            done=("exit",),
        )

    def seed(self, J):
        return dict(
            argv=self._c(J)
            + ["download", "--disable-http-api", "--overwrite", "-o", J.dir, J.P.torrent],
            done=("exit",),
        )

    def recheck(self, J):
        return dict(
            argv=self._c(J)
            + ["download", "--disable-http-api", "-e", "--overwrite", "-o", J.dir, J.P.torrent],
            done=("exit",),
        )

    def magnet(self, J):
        return dict(
            argv=self._c(J)
            + [
                "download",
                "--disable-http-api",
                "--list",
                "-o",
                J.dir,
                "--initial-peers",
                J.peerstr,
                J.magnet,
            ],
            done=("exit",),
        )

    def scale(self, J):
        hp = port()
        ts = sorted(glob.glob(J.torrents + "/*.torrent"))
        st = os.path.join(J.home, "sess")
        os.makedirs(st, exist_ok=True)
        argv = (
            self._c(J)[:1]
            + ["--http-api-listen-addr", "127.0.0.1:%d" % hp]
            + self._c(J)[1:]
            + ["server", "start", "--persistence-location", st, "--fastresume", J.dir]
        )
        added = []

        def ok(p):
            try:
                u = "http://127.0.0.1:%d" % hp
                if not added and J.cold:
                    urllib.request.urlopen(u + "/", timeout=5).read()
                    added.append(1)

                    def add():
                        for t in ts:
                            urllib.request.urlopen(
                                urllib.request.Request(
                                    u + "/torrents?overwrite=true",
                                    open(t, "rb").read(),
                                    {"Content-Type": "application/x-bittorrent"},
                                ),
                                timeout=120,
                            ).read()

                    add()
                r = json.load(urllib.request.urlopen(u + "/torrents?with_stats=true", timeout=60))[
                    "torrents"
                ]
                return sum(
                    (x.get("stats") or {}).get("state") == "live"
                    and (x.get("stats") or {}).get("finished")
                    for x in r
                ) >= len(ts)
            except OSError:
                return False

        return dict(argv=argv, done=("fn", ok), poll=0.5)


class Floor(Client):
    """blast leech: one connection, readv into piece buffers, SHA-NI, pwrite. Not a client: the floor."""

    def __init__(self, C, name="floor", extra=()):
        self.bin = C.blast
        self.name = name
        self.extra = list(extra)

    def download(self, J):
        P = J.P
        return dict(
            argv=[
                self.bin,
                "leech",
                "--hash",
                P.ih,
                "--size",
                str(P.size),
                "--piece",
                str(P.plen),
                "--connect",
                "%s:%d" % J.peers[0],
                "--hashes",
                P.hashes,
                "--out",
                os.path.join(J.dir, P.fname),
                *self.extra,
                *self.paced(J),
            ],
            done=("exit",),
        )

    def seed(self, J):
        P = J.P
        return dict(
            argv=[
                self.bin,
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
                "%s:%d" % (J.ip, J.port),
                *self.paced(J),
            ],
            done=("exit",),
        )

    def paced(self, J):
        """a limited rate: what is due is moved ten times a second"""
        return ["--rate", str(J.limit), "--every", "100"] if J.limit else []
