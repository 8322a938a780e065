"""A libtorrent client for tests: seeds or leeches one torrent on loopback until it is killed.

usage: libtorrent_peer.py SOURCE DIR PORT seed|leech [PEER... | --pex | --lsd | --v6 | --encrypt=LEVEL | --utp=only|both | --dht NODE...]
SOURCE is a .torrent or a magnet URI. With --v6 it listens on ::1. With --dht it is a DHT node too,
known to others by PORT. With --encrypt it speaks to nobody without encryption: LEVEL is 1 for
plaintext behind the handshake, 2 for RC4, 3 for either. With --utp=only it speaks no TCP to peers,
with --utp=both it speaks both; otherwise TCP alone.
Prints READY when it is listening (and, as a seed, checked), METADATA when that is known, PEER and
an address for each connected peer, NODES and their number as they become known, DONE when everything
is there. Takes lines: "put TEXT" stores an immutable item and prints PUT and its hash, "get HASH"
prints GOT and the text, "announce" announces the torrent to the DHT.
"""

import select
import sys
import time

import libtorrent as lt


def settings(port, flags):
    dht = "--dht" in flags
    level = [int(flag[-1]) for flag in flags if flag.startswith("--encrypt=")]
    utp = any(flag.startswith("--utp=") for flag in flags)
    address = "[::1]" if "--v6" in flags else "127.0.0.1"
    return {
        "listen_interfaces": f"{address}:{port}",
        "enable_dht": dht,
        "enable_lsd": "--lsd" in flags,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_outgoing_utp": utp,
        "enable_incoming_utp": utp,
        "enable_outgoing_tcp": "--utp=only" not in flags,
        "enable_incoming_tcp": "--utp=only" not in flags,
        "allow_multiple_connections_per_ip": True,
        "dht_bootstrap_nodes": "",
        "dht_restrict_routing_ips": False,
        "dht_restrict_search_ips": False,
        "dht_prefer_verified_node_ids": False,
        "dht_ignore_dark_internet": False,
        "dht_announce_interval": 5,
        "min_reconnect_time": 1,
        # 0 is forced, 1 enabled, which is what libtorrent does unless told otherwise.
        "out_enc_policy": 0 if level else 1,
        "in_enc_policy": 0 if level else 1,
        "allowed_enc_level": level[0] if level else 3,
        "alert_mask": lt.alert.category_t.dht_notification if dht else 0,
    }


def command(session, handle, line):
    verb, _, rest = line.strip().partition(" ")
    if verb == "put":
        print("PUT", session.dht_put_immutable_item(rest), flush=True)
    elif verb == "get":
        session.dht_get_immutable_item(lt.sha1_hash(bytes.fromhex(rest)))
    elif verb == "announce":
        handle.force_dht_announce()


def report(alert):
    if isinstance(alert, lt.dht_immutable_item_alert):
        item = alert.item
        if isinstance(item, dict):
            item = item.get("value")
        text = item.decode() if isinstance(item, bytes) else str(item)
        print("GOT", text, flush=True)


def main():
    source, folder, port, role, *rest = sys.argv[1:]
    flags = [word for word in rest if word.startswith("--")]
    peers = [word for word in rest if not word.startswith("--")]
    session = lt.session(settings(port, flags))
    if source.startswith("magnet:"):
        params = lt.parse_magnet_uri(source)
    else:
        params = lt.add_torrent_params()
        params.ti = lt.torrent_info(source)
    params.save_path = folder
    if "--pex" not in flags:
        params.flags |= lt.torrent_flags.disable_pex
    handle = session.add_torrent(params)
    ready = done = known = False
    seen, nodes = set(), 0
    if "--dht" in flags:
        for peer in peers:
            host, peer_port = peer.rsplit(":", 1)
            session.add_dht_node((host.strip("[]"), int(peer_port)))
    while True:
        status = handle.status()
        checked = status.state in (lt.torrent_status.downloading, lt.torrent_status.finished,
                                   lt.torrent_status.seeding)
        waiting = status.state == lt.torrent_status.downloading_metadata
        if not ready and ((checked and (role == "leech" or status.is_seeding)) or waiting):
            ready = True
            for peer in peers if "--dht" not in flags else []:
                host, peer_port = peer.rsplit(":", 1)
                handle.connect_peer((host, int(peer_port)))
            print("READY", flush=True)
        if not known and status.has_metadata:
            known = True
            print("METADATA", flush=True)
        for peer in handle.get_peer_info():
            if peer.ip not in seen:
                seen.add(peer.ip)
                print("PEER", f"{peer.ip[0]}:{peer.ip[1]}", flush=True)
        if "--dht" in flags and session.status().dht_nodes != nodes:
            nodes = session.status().dht_nodes
            print("NODES", nodes, flush=True)
        if not done and status.is_seeding:
            done = True
            handle.flush_cache()
            print("DONE", flush=True)
        for alert in session.pop_alerts():
            report(alert)
        if select.select([sys.stdin], [], [], 0.05)[0]:
            line = sys.stdin.readline()
            if line:
                command(session, handle, line)
            else:
                time.sleep(0.05)


main()
