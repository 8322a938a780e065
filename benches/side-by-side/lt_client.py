#!/usr/bin/env python3
"""A scripted libtorrent client for benchmarks (run it with a Python that has the `libtorrent` wheel).

Settings chosen for fairness: no DHT/LSD/UPnP/NAT-PMP, no encryption, one transport at a time,
several connections per address allowed, everything else at libtorrent's defaults.

  lt_client.py download T.torrent|magnet: --dir D --listen IP:PORT [--peer IP:PORT].. [--utp] [--metadata-only]
  lt_client.py seed     T.torrent.. --dir D --listen IP:PORT [--check] [--utp] [--rate B/s]
  lt_client.py recheck  T.torrent --dir D
  lt_client.py scale    DIR_WITH_TORRENTS --dir D --listen IP:PORT [--check]
Prints READY when it seeds everything, DONE when a download / check finished (then exits unless --stay).
"""

import argparse, glob, os, signal, sys, time
import libtorrent as lt

ap = argparse.ArgumentParser()
ap.add_argument("role")
ap.add_argument("torrents", nargs="+")
ap.add_argument("--dir", required=True)
ap.add_argument("--listen", default="127.0.0.1:0")
ap.add_argument("--peer", action="append", default=[])
ap.add_argument("--utp", action="store_true")
ap.add_argument("--check", action="store_true")
ap.add_argument("--rate", type=int, default=0)
ap.add_argument("--stay", action="store_true")
ap.add_argument("--metadata-only", action="store_true")
ap.add_argument("--set", action="append", default=[])
a = ap.parse_args()

cat = lt.alert.category_t
s = {
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "in_enc_policy": int(lt.enc_policy.pe_disabled),
    "out_enc_policy": int(lt.enc_policy.pe_disabled),
    "allow_multiple_connections_per_ip": True,
    "listen_interfaces": a.listen,
    "enable_outgoing_tcp": not a.utp,
    "enable_incoming_tcp": not a.utp,
    "enable_outgoing_utp": a.utp,
    "enable_incoming_utp": a.utp,
    "rate_limit_ip_overhead": False,
    "upload_rate_limit": a.rate,
    "alert_mask": int(cat.status_notification | cat.error_notification | cat.storage_notification),
    "user_agent": "ltbench",
    "announce_to_all_trackers": True,
}
if a.role in ("seed", "scale"):
    s.update(
        {
            "active_limit": -1,
            "active_seeds": -1,
            "active_downloads": -1,
            "active_checking": 1,
            "dont_count_slow_torrents": False,
            "auto_manage_interval": 30,
            "alert_queue_size": 200000,
        }
    )
for kv in a.set:
    k, v = kv.split("=", 1)
    s[k] = int(v) if v.lstrip("-").isdigit() else v
ses = lt.session(s)
if any(s.get(k) for k in ("download_rate_limit", "upload_rate_limit")):
    # Limits are not for local networks, unless their addresses are of the class of all others.
    everyone = lt.ip_filter()
    everyone.add_rule("0.0.0.0", "255.255.255.255", 1 << lt.session.global_peer_class_id)
    ses.set_peer_class_filter(everyone)


def say(x):
    sys.stdout.write(x + "\n")
    sys.stdout.flush()


def params(t):
    if t.startswith("magnet:"):
        p = lt.parse_magnet_uri(t)
    else:
        p = lt.load_torrent_file(t) if hasattr(lt, "load_torrent_file") else lt.add_torrent_params()
        if not hasattr(lt, "load_torrent_file"):
            p.ti = lt.torrent_info(t)
    p.save_path = a.dir
    F = lt.torrent_flags
    p.flags &= ~(F.auto_managed | F.paused)
    p.flags |= F.disable_dht | F.disable_lsd | F.disable_pex
    if a.role in ("seed", "scale") and not a.check:
        p.flags |= F.seed_mode
    return p


stop = []
signal.signal(signal.SIGTERM, lambda *x: stop.append(1))
signal.signal(signal.SIGINT, lambda *x: stop.append(1))
t0 = time.monotonic()
files = a.torrents
if a.role == "scale":
    files = sorted(glob.glob(os.path.join(a.torrents[0], "*.torrent")))
    for f in files:
        ses.async_add_torrent(params(f))
    n = len(files)
    seen = 0
    while seen < n and not stop:
        ses.wait_for_alert(1000)
        for al in ses.pop_alerts():
            if isinstance(al, (lt.torrent_finished_alert,)):
                seen += 1
            elif isinstance(al, lt.torrent_error_alert):
                say("ERROR " + al.message())
                sys.exit(3)
    say("READY %.3f" % (time.monotonic() - t0))
    while not stop:
        time.sleep(0.2) if stop else signal.pause()
    os._exit(0)

hs = [ses.add_torrent(params(f)) for f in files]
for h in hs:
    for p in a.peer:
        ip, port = p.rsplit(":", 1)
        h.connect_peer((ip, int(port)))
if a.role == "seed":
    while not stop and not all(h.status().is_seeding for h in hs):
        time.sleep(0.02)
    say("READY %.3f" % (time.monotonic() - t0))
    while not stop:
        signal.pause()
    os._exit(0)

fin = False
while not fin and not stop:
    ses.wait_for_alert(1000)
    for al in ses.pop_alerts():
        if isinstance(al, lt.torrent_finished_alert):
            fin = True
        elif isinstance(al, lt.metadata_received_alert):
            say("METADATA %.4f" % (time.monotonic() - t0))
            if a.metadata_only:
                fin = True
        elif isinstance(
            al,
            (
                lt.torrent_error_alert,
                lt.file_error_alert,
                lt.metadata_failed_alert,
                lt.listen_failed_alert,
            ),
        ):
            say("ERROR " + al.message())
            sys.exit(3)
if a.role == "download" and not a.metadata_only:
    # torrent_finished means every piece passed its hash; wait until the disk jobs are flushed too
    hs[0].flush_cache() if hasattr(hs[0], "flush_cache") else None
    ok = False
    end = time.monotonic() + 10
    while not ok and time.monotonic() < end:
        ses.wait_for_alert(500)
        for al in ses.pop_alerts():
            if isinstance(al, lt.cache_flushed_alert):
                ok = True
say("DONE %.4f" % (time.monotonic() - t0))
while a.stay and not stop:
    signal.pause()
sys.stdout.flush()
os._exit(0 if fin else 4)  # skip session teardown (tracker 'stopped' timeouts)
