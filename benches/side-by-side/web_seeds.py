#!/usr/bin/env python3
"""Downloads from web servers on this machine, by every client in turns; prints the medians as Markdown.

  web_seeds.py --eddyline target/release/eddyline --work /dev/shm/w --python W/venv/bin/python --runs 3 [--caddy caddy]

Needs nginx, aria2 and curl, a Python with the `libtorrent` wheel (--python), and caddy where --caddy names it. Wall time
and CPU are those of the client's process from start to end; what it wrote is compared with what is served. `curl` only
fetches: it hashes nothing, and knows no torrent. `eddyline, TCP` downloads the same from a seed of its own.
"""

import argparse, os, pathlib, resource, shutil, signal, socket, statistics, subprocess, sys, time

ap = argparse.ArgumentParser()
ap.add_argument("--eddyline", required=True)
ap.add_argument("--work", required=True)
ap.add_argument("--python", default=sys.executable)
ap.add_argument("--caddy")
ap.add_argument("--runs", type=int, default=3)
ap.add_argument("--mib", type=int, default=1024)
ap.add_argument("--files", type=int, default=20000)
a = ap.parse_args()

work = pathlib.Path(a.work).resolve()
root, got = work / "served", work / "got"
quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
env = {"HOME": str(work), "PATH": os.environ["PATH"], "XDG_DATA_HOME": str(work)}

LIBTORRENT = """
import sys, time, libtorrent as lt
s = lt.session({"enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False,
                "listen_interfaces": "127.0.0.1:0", "ssrf_mitigation": False, "allow_idna": True})
h = s.add_torrent({"ti": lt.torrent_info(sys.argv[1]), "save_path": sys.argv[2]})
while not h.status().is_seeding:
    time.sleep(0.02)
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit(f"nobody listens on port {port}")


def prepare():
    shutil.rmtree(work, ignore_errors=True)
    (root / "many").mkdir(parents=True)
    with open("/dev/urandom", "rb") as random:
        with open(root / "one.bin", "wb") as out:
            for _ in range(a.mib):
                out.write(random.read(1 << 20))
        each = 200 * (1 << 20) // max(a.files, 1)
        for n in range(a.files):
            folder = root / "many" / f"{n // 1000:02}"
            folder.mkdir(exist_ok=True)
            (folder / f"{n:05}.bin").write_bytes(random.read(each))


def nginx(port):
    conf = work / "nginx.conf"
    conf.write_text(f"""
daemon off; worker_processes 1; pid {work}/nginx.pid; error_log {work}/nginx.log;
events {{ worker_connections 256; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000;
  client_body_temp_path {work}/n1; proxy_temp_path {work}/n2; fastcgi_temp_path {work}/n3;
  uwsgi_temp_path {work}/n4; scgi_temp_path {work}/n5;
  server {{ listen 127.0.0.1:{port}; root {root}; }} }}
""")
    return subprocess.Popen(["nginx", "-c", str(conf)], **quiet)


def caddy(port):
    command = [a.caddy, "file-server", "--root", str(root), "--listen", f"127.0.0.1:{port}"]
    return subprocess.Popen(command, env=env, **quiet)


def commands(port, what, seed):
    base = f"http://127.0.0.1:{port}/"
    torrent = work / f"{what.split('.')[0]}.torrent"
    quiet_flags = ["--no-dht", "--no-lsd", "--port", "0", "--quiet", "--state-dir", str(work / "state")]
    download = [a.eddyline, "download", str(torrent), "--dir", str(got), *quiet_flags]
    table = {
        "eddyline": [*download, "--mirror", base],
        "aria2": ["aria2c", "-q", "-d", str(got), "--seed-time=0", "--file-allocation=none", "--enable-dht=false",
                  "--bt-enable-lpd=false", "--no-conf", "--listen-port", str(free_port()), str(torrent)],
        "libtorrent": [a.python, "-c", LIBTORRENT, str(torrent), str(got)],
    }
    if what == "one.bin":
        table["curl (no hash)"] = ["curl", "-s", "-o", str(got / what), base + what]
        table["eddyline, TCP"] = [*download, "--peer", f"127.0.0.1:{seed}"]
    return table


def make_torrent(port, what):
    """A torrent that names this server, for those who know no --mirror."""
    torrent = work / f"{what.split('.')[0]}.torrent"
    url = f"http://127.0.0.1:{port}/" + (what if what == "one.bin" else "")
    torrent.unlink(missing_ok=True)
    made = [a.eddyline, "create", str(root / what), "--web-seed", url, "-o", str(torrent), "--quiet"]
    subprocess.run(made, check=True, env=env)
    return torrent


def measure(command, what):
    shutil.rmtree(got, ignore_errors=True)
    shutil.rmtree(work / "state", ignore_errors=True)
    got.mkdir()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    try:
        code = subprocess.run(command, env=env, timeout=180, **quiet).returncode
    except subprocess.TimeoutExpired:
        return None
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    same = subprocess.run(["diff", "-rq", str(root / what), str(got / what)], **quiet).returncode == 0
    return (wall, cpu) if code == 0 and same else None


def main():
    prepare()
    rows = {}
    servers = {"nginx": nginx} | ({"caddy": caddy} if a.caddy else {})
    for name, start in servers.items():
        port, seed_port = free_port(), free_port()
        server = start(port)
        wait_for(port)
        for what in ["one.bin", "many"] if name == "nginx" else ["one.bin"]:
            torrent = make_torrent(port, what)
            seed = None
            if what == "one.bin":
                seeds = [a.eddyline, "seed", str(torrent), "--dir", str(root), "--no-dht", "--no-lsd", "--quiet",
                         "--port", str(seed_port), "--state-dir", str(work / "seed")]
                seed = subprocess.Popen(seeds, env=env, **quiet)
                wait_for(seed_port)
            for _ in range(a.runs):
                for client, command in commands(port, what, seed_port).items():
                    rows.setdefault((what, name, client), []).append(measure(command, what))
            if seed:
                seed.send_signal(signal.SIGTERM)
                seed.wait()
        server.terminate()
        server.wait()
    print("| what | server | client | wall s | CPU s |\n| --- | --- | --- | --- | --- |")
    for (what, name, client), runs in rows.items():
        good = [run for run in runs if run]
        titles = {"one.bin": f"{a.mib} MiB, one file", "many": f"{a.files} files, 200 MiB"}
        figures = [f"{statistics.median(x):.2f}" for x in zip(*good)] if good else ["failed", "failed"]
        lost = f" ({len(runs) - len(good)} of {len(runs)} failed)" if good and len(good) < len(runs) else ""
        print(f"| {titles[what]} | {name} | {client}{lost} | {' | '.join(figures)} |")
    shutil.rmtree(work, ignore_errors=True)


main()
