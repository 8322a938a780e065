"""How clients that run as daemons are started, and how the end of their work is seen."""

import glob
import json
import os
import shutil
import urllib.error
import urllib.request

from client import Client
from processes import port


class Transmission(Client):
    name = "transmission"
    uses_tracker = True
    utp = True

    def _cfg(self, J, **kw):
        g = os.path.join(J.home, "tr")
        os.makedirs(g + "/torrents", exist_ok=True)
        J.rpc = port()
        J.marker = os.path.join(J.home, "done.marker")
        sc = os.path.join(J.home, "done.sh")
        with open(sc, "w") as f:
            f.write("#!/bin/sh\n: > '%s'\n" % J.marker)
        os.chmod(sc, 0o755)
        s = {
            "dht-enabled": False,
            "lpd-enabled": False,
            "pex-enabled": False,
            "utp-enabled": J.utp,
            "port-forwarding-enabled": False,
            "encryption": 0,
            "peer-port": J.port,
            "download-dir": J.dir,
            "rpc-enabled": True,
            "rpc-port": J.rpc,
            "rpc-bind-address": "127.0.0.1",
            "rpc-whitelist-enabled": False,
            "rpc-host-whitelist-enabled": False,
            "rpc-authentication-required": False,
            "script-torrent-done-enabled": True,
            "script-torrent-done-filename": sc,
            "start-added-torrents": True,
            "incomplete-dir-enabled": False,
            "bind-address-ipv4": "0.0.0.0",
            "speed-limit-down-enabled": False,
            "speed-limit-up-enabled": False,
            "upload-slots-per-torrent": 50,
            "queue-stalled-enabled": False,
            "download-queue-enabled": False,
            "seed-queue-enabled": False,
            "scrape-paused-torrents-enabled": False,
            "message-level": 1,
        }
        s.update(kw)
        json.dump(s, open(g + "/settings.json", "w"))
        return ["transmission-daemon", "-f", "-g", g]

    def rpc(self, J, method, **args):
        u = "http://127.0.0.1:%d/transmission/rpc" % J.rpc
        b = json.dumps({"method": method, "arguments": args}).encode()
        for _ in range(3):
            try:
                return json.load(
                    urllib.request.urlopen(
                        urllib.request.Request(
                            u, b, {"X-Transmission-Session-Id": getattr(J, "sid", "")}
                        ),
                        timeout=60,
                    )
                ).get("arguments")
            except urllib.error.HTTPError as e:
                if e.code == 409:
                    J.sid = e.headers["X-Transmission-Session-Id"]
                else:
                    raise
            except OSError:
                return None

    def download(self, J):
        a = self._cfg(J)
        shutil.copy(J.P.ttorrent, J.home + "/tr/torrents/x.torrent")
        return dict(argv=a, done=("marker", J.marker))

    def seed(self, J):
        a = self._cfg(J)
        shutil.copy(J.P.torrent, J.home + "/tr/torrents/x.torrent")
        return dict(argv=a, done=("exit",))

    def recheck(self, J):
        a = self._cfg(J, **{"start-added-torrents": False})
        shutil.copy(J.P.torrent, J.home + "/tr/torrents/x.torrent")
        st = []

        def ok(p):
            r = self.rpc(
                J, "torrent-get", fields=["status", "recheckProgress", "leftUntilDone", "haveValid"]
            )
            if not r or not r["torrents"]:
                return False
            t = r["torrents"][0]
            if not st:
                if t["status"] in (1, 2):
                    st.append(1)  # it checks on its own
                elif t["haveValid"] == 0:
                    self.rpc(J, "torrent-verify", ids=[1])
                    st.append(2)
                else:
                    self.rpc(J, "torrent-verify", ids=[1])
                    st.append(3)
                return False
            return (
                t["status"] not in (1, 2) and t["leftUntilDone"] == 0 and t["haveValid"] == J.P.size
            )

        return dict(argv=a, done=("fn", ok), poll=0.03)

    def magnet(self, J):
        a = self._cfg(J)
        added = []

        def ok(p):
            if not added:
                if self.rpc(J, "torrent-add", filename=J.magnet):
                    added.append(1)
                return False
            r = self.rpc(J, "torrent-get", fields=["metadataPercentComplete"])
            return bool(r and r["torrents"] and r["torrents"][0]["metadataPercentComplete"] == 1)

        return dict(argv=a, done=("fn", ok), poll=0.02)

    def scale(self, J):
        if J.cold:
            a = self._cfg(J)
            [shutil.copy(t, J.home + "/tr/torrents/") for t in glob.glob(J.torrents + "/*.torrent")]
        else:
            a = self._cfg(J)
        n = len(glob.glob(J.torrents + "/*.torrent"))

        def ok(p):
            r = self.rpc(J, "torrent-get", fields=["status", "leftUntilDone"])
            return (
                bool(r)
                and sum(t["status"] == 6 and t["leftUntilDone"] == 0 for t in r["torrents"]) >= n
            )

        return dict(argv=a, done=("fn", ok), poll=0.5)


class Rtorrent(Client):
    name = "rtorrent"
    uses_tracker = True

    def _c(self, J, load, ev):
        s = os.path.join(J.home, "sess")
        os.makedirs(s, exist_ok=True)
        rc = os.path.join(J.home, "rc")
        J.marker = os.path.join(J.home, "done.marker")
        open(rc, "w").write(
            "\n".join(
                [
                    "system.daemon.set=true",
                    "directory.default.set=" + J.dir,
                    "session.path.set=" + s,
                    "network.port_range.set=%d-%d" % (J.port, J.port),
                    "network.port_random.set=no",
                    "dht.mode.set=disable",
                    "protocol.pex.set=no",
                    "trackers.use_udp.set=no",
                    "protocol.encryption.set=none",
                    "pieces.hash.on_completion.set=no",
                    "network.bind_address.set=0.0.0.0",
                    'method.set_key=%s,pbdone,"execute2={touch,%s}"' % (ev, J.marker),
                    "%s=%s" % ("load.start", load),
                    "",
                ]
            )
        )
        return ["rtorrent", "-n", "-o", "import=" + rc]

    def env(self, J):
        e = Client.env(self, J)
        e["TERM"] = "xterm"
        return e

    def download(self, J):
        return dict(
            argv=self._c(J, J.P.ttorrent, "event.download.finished"),
            done=("marker", J.home + "/done.marker"),
        )

    def seed(self, J):
        return dict(
            argv=self._c(J, J.P.ttorrent, "event.download.hash_done"), done=("exit",)
        )  # 0.9.8 does not load a torrent without a tracker

    def recheck(self, J):
        return dict(
            argv=self._c(J, J.P.ttorrent, "event.download.hash_done"),
            done=("marker", J.home + "/done.marker"),
        )

    def scale(self, J):
        sc = os.path.join(J.home, "cnt.sh")
        n = len(glob.glob(J.torrents + "/*.torrent"))
        c = os.path.join(J.home, "count")
        argv = self._c(J, J.torrents + "t/*.torrent", "event.download.hash_done")
        rc = os.path.join(J.home, "rc")
        t = open(rc).read()
        open(rc, "w").write(
            t.replace("execute2={touch,%s}" % J.marker, "execute2={sh,-c,echo x >> %s}" % c)
        )
        return dict(
            argv=argv,
            done=("fn", lambda p: os.path.exists(c) and os.path.getsize(c) >= 2 * n),
            poll=0.2,
        )


class Qbt(Client):
    name = "qbittorrent"
    uses_tracker = True

    def _cfg(self, J):
        d = os.path.join(J.home, "qBittorrent", "config")
        os.makedirs(d, exist_ok=True)
        J.web = port()
        J.marker = os.path.join(J.home, "done.marker")
        open(d + "/qBittorrent.conf", "w").write(
            "\n".join(
                [
                    "[LegalNotice]",
                    "Accepted=true",
                    "[AutoRun]",
                    "enabled=true",
                    "program=touch %s" % J.marker,
                    "[BitTorrent]",
                    "Session\\DHTEnabled=false",
                    "Session\\LSDEnabled=false",
                    "Session\\PeXEnabled=false",
                    "Session\\Encryption=2",
                    "Session\\BTProtocol=TCP",
                    "Session\\Port=%d" % J.port,
                    "Session\\DefaultSavePath=" + J.dir,
                    "Session\\MultiConnectionsPerIp=true",
                    "Session\\QueueingSystemEnabled=false",
                    "[Network]",
                    "PortForwardingEnabled=false",
                    "[Preferences]",
                    "Connection\\UPnP=false",
                    "WebUI\\Port=%d" % J.web,
                    "WebUI\\Address=127.0.0.1",
                    "WebUI\\LocalHostAuth=false",
                    "WebUI\\UseUPnP=false",
                    "General\\Locale=en",
                    "",
                ]
            )
        )
        return [
            "qbittorrent-nox",
            "--profile=" + J.home,
            "--webui-port=%d" % J.web,
            "--save-path=" + J.dir,
            "--sequential",
        ][:4]

    def download(self, J):
        return dict(argv=self._cfg(J) + [J.P.ttorrent], done=("marker", J.home + "/done.marker"))

    def seed(self, J):
        return dict(argv=self._cfg(J) + ["--skip-hash-check", J.P.torrent], done=("exit",))
