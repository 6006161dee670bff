"""The API as the tests use it: as anybody, in JSON, and forms with files."""

import http.client
import json
import secrets
import time
from urllib.parse import quote, urlencode, urlsplit

PATIENCE = 180


class Refused(Exception):
    """An answer that was no 200: its status and what it says."""

    def __init__(self, what, status, body):
        super().__init__(f"{what} answered {status}: {body[:400]!r}")
        self.status = status


class Client:
    """Whoever has a key, at an appliance."""

    def __init__(self, url, key):
        parts = urlsplit(url)
        self.host, self.port, self.key = parts.hostname, parts.port, key

    def request(self, method, path, body=None, headers=None):
        """Asks and returns status and bytes, whatever they are."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {"x-apikey": self.key, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def call(self, method, path, attributes=None, **query):
        """Asks for `path` below /api/v3 and returns `data` of the answer."""
        url = f"/api/v3{path}" + (f"?{urlencode(query)}" if query else "")
        body = None if attributes is None else json.dumps({"data": {"attributes": attributes}})
        status, answer = self.request(method, url, body, {"Content-Type": "application/json"})
        if status != 200:
            raise Refused(f"{method} {path}", status, answer)
        return json.loads(answer or b"{}").get("data")

    def get(self, path, **query):
        return self.call("GET", path, **query)

    def post(self, path, attributes=None, **query):
        return self.call("POST", path, attributes or {}, **query)

    def patch(self, path, attributes):
        return self.call("PATCH", path, attributes)

    def every(self, path, **query):
        """All rows of a list, page after page."""
        rows, cursor = [], ""
        while True:
            words = urlencode({**query, "limit": 40, **({"cursor": cursor} if cursor else {})})
            status, answer = self.request("GET", f"/api/v3{path}?{words}")
            if status != 200:
                raise Refused(f"GET {path}", status, answer)
            answer = json.loads(answer)
            rows += answer["data"]
            cursor = answer.get("meta", {}).get("cursor")
            if not cursor:
                return rows

    def form(self, path, fields, file=None):
        """Sends a form, with a file called `file` if there is one, and returns the whole answer."""
        mark = secrets.token_hex(16)
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        if file is not None:
            head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n'
            parts += [head.encode(), b"Content-Type: application/octet-stream\r\n\r\n", file, b"\r\n"]
        body = b"".join(parts) + f"--{mark}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        status, answer = self.request("POST", f"/api/v3{path}", body, headers)
        if status != 200:
            raise Refused(f"POST {path}", status, answer)
        return json.loads(answer)

    # --- what is done often ---------------------------------------------------

    def put(self, path, content, owner=None):
        """Puts a file into a collection; returns the item and the id of its analysis."""
        query = f"?owner={quote(owner)}" if owner else ""
        answer = self.form(f"/monitor/items{query}", {"path": path}, content)
        return answer["data"], answer["meta"].get("analysis")

    def scan(self, content):
        """Scans a file; returns the id of its analysis."""
        return self.form("/files", {}, content)["data"]["id"]

    def until(self, path, good, seconds=PATIENCE, **query):
        """Reads until something is found in the answer; returns that."""
        end = time.monotonic() + seconds
        while True:
            data = self.get(path, **query)
            found = good(data)
            if found:
                return found
            if time.monotonic() > end:
                raise TimeoutError(f"{path} after {seconds} s: {json.dumps(data)[:2000]}")
            time.sleep(0.1)

    def completed(self, analysis):
        """Waits for the end of an analysis and returns its attributes."""
        def done(data):
            return data["attributes"]["status"] == "completed" and data["attributes"]

        return self.until(f"/analyses/{analysis}", done)

    def update(self, engine):
        """Updates an engine's signatures and waits for the end; returns the update's attributes."""
        begun = self.post(f"/acquit/engines/{engine}/update")["attributes"]
        path = f"/acquit/engines/{engine}/updates/{begun['number']}"
        return self.until(path, lambda data: data["attributes"].get("outcome") and data["attributes"])

    def newest_rescan(self):
        """The number of the newest rescan; 0 if there was none."""
        rows = self.get("/acquit/rescans", limit=1)
        return int(rows[0]["id"]) if rows else 0

    def rescanned(self, engine, before):
        """Waits until an engine has looked at everything again, in a rescan after `before`."""
        def through(rows):
            newer = [row["attributes"] for row in rows if int(row["id"]) > before]
            own = [row for row in newer if row.get("engine") in (engine, None)]
            return own and all(row["status"] == "completed" for row in own)

        self.until("/acquit/rescans", through, limit=20)


def item_path(identifier, part=""):
    """The API's path of an item: its id has characters that must be escaped."""
    return f"/acquit/items/{quote(identifier, safe='')}" + (f"/{part}" if part else "")
