"""A libtorrent client for tests: seeds or leeches one torrent on loopback until it is killed.

usage: libtorrent_peer.py TORRENT DIR PORT seed|leech [PEER...]
Prints READY when it is listening (and, as a seed, checked), DONE when everything is there.
"""

import sys
import time

import libtorrent as lt


def main():
    torrent, folder, port, role, *peers = sys.argv[1:]
    session = lt.session({
        "listen_interfaces": f"127.0.0.1:{port}",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": False,
        "enable_incoming_utp": False,
        "allow_multiple_connections_per_ip": True,
        "out_enc_policy": 2,
        "in_enc_policy": 2,
        "alert_mask": 0,
    })
    params = lt.add_torrent_params()
    params.ti = lt.torrent_info(torrent)
    params.save_path = folder
    handle = session.add_torrent(params)
    ready = done = False
    while True:
        status = handle.status()
        checked = status.state in (lt.torrent_status.downloading, lt.torrent_status.finished,
                                   lt.torrent_status.seeding)
        if not ready and checked and (role == "leech" or status.is_seeding):
            ready = True
            for peer in peers:
                host, peer_port = peer.rsplit(":", 1)
                handle.connect_peer((host, int(peer_port)))
            print("READY", flush=True)
        if not done and status.is_seeding:
            done = True
            handle.flush_cache()
            print("DONE", flush=True)
        time.sleep(0.05)


main()
