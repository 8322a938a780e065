"""A tracker with a list of peers that does not change."""

import http.server
import socket
import struct
import threading
import urllib.parse

from payloads import TRACKER_PORT, benc


class Tracker:
    def __init__(self):
        self.peers = []
        self.register = False
        self.seen = {}
        T = self

        class H(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                u = urllib.parse.urlsplit(self.path)
                q = urllib.parse.parse_qs(u.query, encoding="latin1")
                ps = list(T.peers)
                if T.register and "port" in q:
                    ip = q.get("ip", [self.client_address[0]])[0]
                    me = (ip, int(q["port"][0]))
                    ps += [x for x in T.seen if x != me]
                    T.seen[me] = 1
                body = benc(
                    {
                        "interval": 1800,
                        "complete": 1,
                        "incomplete": 1,
                        "peers": b"".join(
                            socket.inet_aton(i) + struct.pack(">H", p) for i, p in ps
                        ),
                    }
                )
                if "announce" not in u.path:
                    body = b"d5:filesdee"
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *a):
                pass

        class S(http.server.ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

        self.s = S(("0.0.0.0", TRACKER_PORT), H)
        threading.Thread(target=self.s.serve_forever, daemon=True).start()
