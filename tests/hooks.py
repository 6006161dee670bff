"""Receives webhooks and says on standard output, a JSON object a line, what came.

The signature is checked by the libraries of Standard Webhooks' own authors. The
path says how to answer: /ok /soon /late /gone /late-gone /busy /once /redirect /slow /huge /fail.
"""

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook

LOCK = threading.Lock()
SEEN = {}
SECRET_FILE = sys.argv[1]


def signed(body, headers):
    if not os.path.exists(SECRET_FILE):
        return None
    with open(SECRET_FILE) as file:
        secrets = file.read().split()
    for secret in secrets:
        try:
            Webhook(secret).verify(body, headers)
            return True
        except Exception:
            continue
    return False


class Receiver(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        line = {
            "path": self.path,
            "at": time.time(),
            "id": headers.get("webhook-id"),
            "signatures": headers.get("webhook-signature", "").split(),
            "signed": signed(body, headers),
            "size": len(body),
            "body": json.loads(body),
        }
        with LOCK:
            count = SEEN[self.path] = SEEN.get(self.path, 0) + 1
            print(json.dumps(line), flush=True)
        if self.path.startswith("/soon"):
            time.sleep(0.02)
        self.answer(self.path, count)
        if self.path.startswith("/soon"):
            self.wfile.flush()
            with LOCK:
                answered = {"answered": line["id"], "path": self.path, "at": time.time()}
                print(json.dumps(answered), flush=True)

    def answer(self, path, count):
        if path == "/slow":
            time.sleep(30)
        if path.startswith("/late"):
            time.sleep(1.5)
        status = {"/gone": 410, "/late-gone": 410, "/redirect": 302, "/fail": 500}.get(path, 200)
        if path == "/once" and count == 1:
            status = 500
        if path == "/busy" and count == 1:
            status = 429
        self.send_response(status)
        if status == 429:
            self.send_header("retry-after", "7")
        if status == 302:
            self.send_header("location", "/ok")
        size = 1 << 30 if path == "/huge" else 0
        self.send_header("content-length", str(size))
        self.end_headers()
        try:
            for _ in range(size >> 16):
                self.wfile.write(b"x" * (1 << 16))
        except OSError:
            pass

    def do_GET(self):
        with LOCK:
            print(json.dumps({"path": self.path, "got": True}), flush=True)
        self.send_response(200)
        self.end_headers()


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
server.daemon_threads = True
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
