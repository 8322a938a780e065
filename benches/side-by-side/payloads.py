"""Bencode, and the content that is downloaded: made once in the work folder and kept."""

import hashlib
import json
import os
import random
import shutil
import urllib.parse

IP_CLIENT, IP_SEED, IP_PROBE = "10.99.0.1", "10.99.0.2", "10.99.0.3"
TRACKER_PORT = 6969
MIB = 1 << 20


def benc(x):
    if isinstance(x, int):
        return b"i%de" % x
    if isinstance(x, bytes):
        return b"%d:%s" % (len(x), x)
    if isinstance(x, str):
        return benc(x.encode())
    if isinstance(x, list):
        return b"l" + b"".join(map(benc, x)) + b"e"
    return (
        b"d"
        + b"".join(
            benc(k) + benc(x[k])
            for k in sorted(x, key=lambda k: k.encode() if isinstance(k, str) else k)
        )
        + b"e"
    )


def bdec(b, i=0):
    c = b[i : i + 1]
    if c == b"i":
        j = b.index(b"e", i)
        return int(b[i + 1 : j]), j + 1
    if c == b"l":
        i += 1
        r = []
        while b[i : i + 1] != b"e":
            v, i = bdec(b, i)
            r.append(v)
        return r, i + 1
    if c == b"d":
        i += 1
        r = {}
        while b[i : i + 1] != b"e":
            k, i = bdec(b, i)
            r[k.decode("latin1")], i = bdec(b, i)
        return r, i + 1
    j = b.index(b":", i)
    n = int(b[i:j])
    return b[j + 1 : j + 1 + n], j + 1 + n


class Payload:
    """data: flat file with the torrent's bytes; dir: folder a client can seed from; torrent / ttorrent: without / with tracker."""

    def __init__(self, work, name):
        self.base = os.path.join(work, "data", name)
        self.name = name
        self.meta = os.path.join(self.base, "meta.json")

    def load(self):
        m = json.load(open(self.meta))
        self.__dict__.update(
            {
                k: (
                    os.path.join(self.base, v)
                    if k in ("flat", "dir", "torrent", "ttorrent", "hashes")
                    else v
                )
                for k, v in m.items()
            }
        )
        return self

    def make(self, size, plen, files=None, seed=1):
        if os.path.exists(self.meta):
            return self.load()
        shutil.rmtree(self.base, ignore_errors=True)
        os.makedirs(self.base + "/seed")
        nm = self.name + (".bin" if not files else "")
        flat = "seed/" + nm if not files else "flat.bin"
        rnd = random.Random(seed)
        hs = []
        with open(os.path.join(self.base, flat), "wb") as f:
            left = size
            while left:
                n = min(left, plen)
                b = rnd.randbytes(n) if n < 65536 else os.urandom(n)
                f.write(b)
                hs.append(hashlib.sha1(b).digest())
                left -= n
        info = {"name": nm, "piece length": plen, "pieces": b"".join(hs)}
        if files:
            info["files"] = [{"length": n, "path": p} for p, n in files]
            with open(os.path.join(self.base, flat), "rb") as f:
                for p, n in files:
                    q = os.path.join(self.base, "seed", nm, *p)
                    os.makedirs(os.path.dirname(q), exist_ok=True)
                    with open(q, "wb") as o:
                        o.write(f.read(n))
        else:
            info["length"] = size
        ih = hashlib.sha1(benc(info)).hexdigest()
        open(self.base + "/t.torrent", "wb").write(benc({"info": info}))
        open(self.base + "/tt.torrent", "wb").write(
            benc({"info": info, "announce": "http://%s:%d/announce" % (IP_SEED, TRACKER_PORT)})
        )
        open(self.base + "/hashes", "wb").write(b"".join(hs))
        json.dump(
            dict(
                size=size,
                plen=plen,
                ih=ih,
                fname=nm,
                flat=flat,
                dir="seed",
                torrent="t.torrent",
                ttorrent="tt.torrent",
                hashes="hashes",
                nfiles=len(files or [1]),
            ),
            open(self.meta, "w"),
        )
        os.sync()
        return self.load()

    def verify(self, d):
        """True only when every byte below folder d is what the torrent says."""
        hs = open(self.hashes, "rb").read()
        info = bdec(open(self.torrent, "rb").read())[0]["info"]
        root = os.path.join(d, self.fname)
        parts = (
            [
                (os.path.join(root, *[x.decode() for x in f["path"]]), f["length"])
                for f in info["files"]
            ]
            if "files" in info
            else [(root, self.size)]
        )
        try:
            h = hashlib.sha1()
            room = self.plen
            i = 0
            for p, n in parts:
                if os.path.getsize(p) != n:
                    return False
                with open(p, "rb") as f:
                    while n:
                        b = f.read(min(n, room))
                        if not b:
                            return False
                        h.update(b)
                        n -= len(b)
                        room -= len(b)
                        if not room:
                            if h.digest() != hs[20 * i : 20 * i + 20]:
                                return False
                            i += 1
                            h = hashlib.sha1()
                            room = self.plen
            if room != self.plen:
                return h.digest() == hs[20 * i : 20 * i + 20] and 20 * (i + 1) == len(hs)
            return 20 * i == len(hs)
        except OSError:
            return False

    def magnet(self, peer, tracker=False):
        return (
            "magnet:?xt=urn:btih:%s&dn=%s" % (self.ih, self.fname)
            + (
                "&tr="
                + urllib.parse.quote("http://%s:%d/announce" % (IP_SEED, TRACKER_PORT), safe="")
                if tracker
                else ""
            )
            + "&x.pe=%s:%d" % peer
        )


def payload(work, name):
    P = Payload(work, name)
    if name == "g1":
        return P.make(1 << 30, MIB)
    if name == "m256":
        return P.make(256 * MIB, MIB)
    if name == "m16":
        return P.make(16 * MIB, 256 << 10)
    if name == "m64":
        return P.make(64 * MIB, 256 << 10)
    if name == "g4":
        return P.make(4 << 30, MIB)
    if name == "files20k":
        r = random.Random(7)
        n = 20000
        w = [r.randint(1, 1999) for _ in range(n)]
        tot = 200 * MIB
        s = sum(w)
        sz = [x * tot // s for x in w]
        sz[-1] += tot - sum(sz)
        return P.make(
            tot, 256 << 10, [(["d%03d" % (i // 100), "f%05d.dat" % i], z) for i, z in enumerate(sz)]
        )
    raise SystemExit("no payload " + name)


def many(work, n):
    """n one-file torrents of 16 KiB; returns (folder with .torrent files, folder with .torrent files with tracker, data folder)"""
    b = os.path.join(work, "data", "many%d" % n)
    t, tt, d = b + "/t", b + "/tt", b + "/seed"
    if not os.path.exists(b + "/ok"):
        for x in (t, tt, d):
            os.makedirs(x, exist_ok=True)
        r = random.Random(n)
        for i in range(n):
            c = r.randbytes(16384)
            nm = "t%05d.bin" % i
            open(d + "/" + nm, "wb").write(c)
            info = {
                "name": nm,
                "piece length": 16384,
                "pieces": hashlib.sha1(c).digest(),
                "length": 16384,
            }
            open(t + "/t%05d.torrent" % i, "wb").write(benc({"info": info}))
            open(tt + "/t%05d.torrent" % i, "wb").write(
                benc({"info": info, "announce": "http://%s:%d/announce" % (IP_SEED, TRACKER_PORT)})
            )
        open(b + "/ok", "w").close()
    return t, tt, d
