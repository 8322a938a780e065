"""What a client is to the harness.

Every method of a client is a role: it returns argv and done, which is ("exit",), ("marker", path),
("text", regex) or ("fn", callable(process) -> bool). A client that uses_tracker has no way to be
handed a peer.
"""

import shlex


class Client:
    uses_tracker = False
    utp = False
    name = "?"

    def env(self, J):
        return {
            "HOME": J.home,
            "XDG_CONFIG_HOME": J.home,
            "XDG_CACHE_HOME": J.home,
            "XDG_DATA_HOME": J.home,
        }

    def supports(self, role):
        return hasattr(self, role)


class Template(Client):
    """A client given by command templates, one per role. Placeholders: {torrent} {ttorrent} {magnet} {dir} {port} {ip} {peer} {peers} {home} {torrents} {limit}"""

    def __init__(self, name, roles):
        self.name = name
        self.roles = roles
        self.utp = True
        self.uses_tracker = "{ttorrent}" in roles.get("download", "")

    def supports(self, role):
        return role in self.roles

    def _mk(self, role, J):
        t = self.roles[role]
        if role == "download" and J.magnet is None and J.utp and "download_utp" in self.roles:
            t = self.roles["download_utp"]
        d = dict(
            torrent=J.P.torrent if J.P else "",
            ttorrent=J.P.ttorrent if J.P else "",
            magnet=J.magnet or "",
            dir=J.dir,
            port=J.port,
            ip=J.ip,
            peer="%s:%d" % J.peers[0] if J.peers else "",
            peers=J.peerstr,
            home=J.home,
            torrents=J.torrents or "",
            limit=J.limit or "",
        )
        done = {
            "download": ("exit",),
            "recheck": ("exit",),
            "magnet": ("exit",),
            "seed": ("text", "READY"),
            "scale": ("text", "READY"),
        }[role]
        return dict(argv=[x.format(**d) for x in shlex.split(t)], done=done)

    def __getattr__(self, role):
        if role in ("download", "seed", "recheck", "magnet", "scale"):
            return lambda J: self._mk(role, J)
        raise AttributeError(role)
