#!/usr/bin/env python3
"""A mirror that behaves, and on request does not: `mirror.py ROOT STATE`.

Serves the files below ROOT with ETag, Last-Modified, conditional and range
requests, on a free port, which it prints. STATE is a directory:

    STATE/requests      every request, one JSON object a line
    STATE/faults.json   {"/path": "fault"}, read anew for each request

Faults: `down` (closes at once), `503`, `403`, `429` (with Retry-After),
`truncated` (half of what it promised), `corrupt` (the right length, other
bytes), `trickle` (a
byte a second), `endless` (a stream without an end), `huge` (promises a
tebibyte), `redirect` (to /path.elsewhere). A fault of `*` is one of all paths.

`NAME.advertised` beside a file answers range requests for it, which is how
freshclam asks for the version of a database.
"""

import email.utils
import hashlib
import http.server
import json
import os
import sys
import threading
import time
import urllib.parse

ROOT, STATE = sys.argv[1:3]
LOG_LOCK = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "mirror"

    def do_GET(self):
        path = urllib.parse.urlsplit(self.path).path
        fault = self.fault(path)
        self.answered = None
        try:
            if fault:
                getattr(self, f"fault_{fault}")(path)
            else:
                self.serve(path)
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            self.note(path)

    def fault(self, path):
        try:
            with open(os.path.join(STATE, "faults.json"), encoding="utf-8") as file:
                faults = json.load(file)
        except FileNotFoundError:
            return None
        return faults.get(path) or faults.get("*")

    def note(self, path):
        names = ("If-None-Match", "If-Modified-Since", "Range", "User-Agent")
        asked = {name.lower(): self.headers[name] for name in names if self.headers[name]}
        line = json.dumps({"path": path, "status": self.answered, "asked": asked})
        with LOG_LOCK, open(os.path.join(STATE, "requests"), "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def log_message(self, *_):
        pass

    def head(self, status, headers):
        self.answered = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def read(self, path):
        full = os.path.join(ROOT, path.lstrip("/"))
        if "Range" in self.headers and os.path.exists(full + ".advertised"):
            full += ".advertised"
        with open(full, "rb") as file:
            return file.read(), os.fstat(file.fileno()).st_mtime

    def serve(self, path):
        try:
            data, modified = self.read(path)
        except OSError:
            self.head(404, {"Content-Length": "0"})
            return
        headers = {
            "ETag": '"' + hashlib.sha256(data).hexdigest()[:16] + '"',
            "Last-Modified": email.utils.formatdate(modified, usegmt=True),
        }
        if self.is_known(headers, modified):
            self.head(304, headers)
            return
        status, data = self.part_of(data)
        self.head(status, headers | {"Content-Length": str(len(data))})
        self.wfile.write(data)

    def is_known(self, headers, modified):
        tag, since = self.headers["If-None-Match"], self.headers["If-Modified-Since"]
        if tag:
            return tag == headers["ETag"]
        return since and email.utils.parsedate_to_datetime(since).timestamp() >= int(modified)

    def part_of(self, data):
        wanted = self.headers["Range"]
        if not wanted:
            return 200, data
        first, last = wanted.removeprefix("bytes=").split("-")
        return 206, data[int(first) : int(last) + 1 if last else None]

    def refuse(self, status, headers=None):
        self.head(status, {"Content-Length": "0"} | (headers or {}))

    def fault_down(self, _path):
        self.close_connection = True

    def fault_503(self, _path):
        self.refuse(503)

    def fault_403(self, _path):
        self.refuse(403)

    def fault_429(self, _path):
        self.refuse(429, {"Retry-After": "1800"})

    def fault_truncated(self, path):
        data, _ = self.read(path)
        self.head(200, {"Content-Length": str(len(data))})
        self.wfile.write(data[: len(data) // 2])
        self.close_connection = True

    def fault_corrupt(self, path):
        status, data = self.part_of(self.read(path)[0])
        middle = len(data) // 2
        # The header of a database stays: it must be its content that is noticed.
        wrong = bytes(byte ^ 0xFF for byte in data[middle:])
        data = data if "Range" in self.headers else data[:middle] + wrong
        self.head(status, {"Content-Length": str(len(data))})
        self.wfile.write(data)

    def fault_trickle(self, _path):
        self.head(200, {"Content-Length": "100000"})
        for _ in range(100_000):
            self.wfile.write(b" ")
            self.wfile.flush()
            time.sleep(1)

    def fault_endless(self, _path):
        self.head(200, {"Connection": "close"})
        self.close_connection = True
        while True:
            self.wfile.write(b" " * (1 << 20))

    def fault_huge(self, _path):
        self.head(200, {"Content-Length": str(1 << 40)})
        self.close_connection = True

    def fault_redirect(self, path):
        self.refuse(302, {"Location": f"{path}.elsewhere"})


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


if __name__ == "__main__":
    server = Server(("0.0.0.0", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
