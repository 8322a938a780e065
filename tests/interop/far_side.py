"""What is reached over either uplink: a name server, a web server with a torrent and a tracker, a tracker over UDP."""

import http.server
import socket
import struct
import sys
import threading

torrent, seed = sys.argv[1], ("203.0.113.7", 7001)
PEER = socket.inet_aton(seed[0]) + struct.pack(">H", seed[1])
ADDRESSES = {"tracker.example": "203.0.113.80", "node.example": seed[0]}
# Another way to all of them, by the family that the chosen uplink does not have.
OTHER_FAMILY = "2001:db8::80"


def names():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("203.0.113.53", 53))
    while True:
        query, asker = server.recvfrom(4096)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        question, kind = query[12 : at + 5], struct.unpack(">H", query[at + 1 : at + 3])[0]
        address = ADDRESSES.get(".".join(labels))
        data = b""
        if address and kind == 1:
            data = socket.inet_aton(address)
        elif address and kind == 28:
            data = socket.inet_pton(socket.AF_INET6, OTHER_FAMILY)
        # A pointer to the name, the class, a lifetime of a second.
        answer = b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 1, len(data)) + data if data else b""
        flags = 0x8180 if address else 0x8183
        head = query[:2] + struct.pack(">HHHHH", flags, 1, bool(data), 0, 0)
        server.sendto(head + question + answer, asker)


class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # The tracker over UDP is asked too then.
        body = b"d14:failure reason4:busye"
        if self.path.startswith("/x.torrent"):
            with open(torrent, "rb") as file:
                body = file.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Web6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def udp_tracker():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("203.0.113.80", 6969))
    while True:
        packet, asker = server.recvfrom(4096)
        action = struct.unpack(">I", packet[8:12])[0]
        if action == 0:
            reply = struct.pack(">I", 0) + packet[12:16] + b"\0" * 8
        else:
            reply = struct.pack(">I", 1) + packet[12:16] + struct.pack(">III", 1800, 0, 1) + PEER
        server.sendto(reply, asker)


threads = [
    names,
    udp_tracker,
    http.server.ThreadingHTTPServer(("203.0.113.80", 80), Web).serve_forever,
    http.server.ThreadingHTTPServer(("203.0.113.80", 8080), Web).serve_forever,
    Web6((OTHER_FAMILY, 80), Web).serve_forever,
]
for thread in threads:
    threading.Thread(target=thread, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
