"""A daemon of the benchmark's own, and its HTTP API."""

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

# Whom the daemon becomes: somebody every machine has.
USER = "nobody"


def with_value(text, key, value):
    """Changes a line of a configuration; `key` is that of the section and the line's own."""
    section, name = key.split(".")
    line = re.compile(rf"(?ms)(^\[{section}\]$(?:(?!^\[).)*?^){name} = [^\n]*$")
    text, found = line.subn(lambda part: f"{part[1]}{name} = {json.dumps(value)}", text)
    assert found == 1, f"config/acquit.toml has {found} lines for {key}"
    return text


class Appliance:
    """`acquit serve` on a port and a data directory of its own."""

    def __init__(self, root, directory, port):
        self.root, self.directory, self.port = root, directory, port
        self.program = root / "target/release/acquit"
        self.config = directory / "acquit.toml"
        self.log = directory / "acquit.log"
        self.process = None
        self.key = None

    def prepare(self, runner, disabled, manifests=None, more="", values=None):
        """Writes the configuration: the shipped one with other places and values, and more at its end."""
        self.directory.mkdir(parents=True, exist_ok=True)
        os.chmod(self.directory, 0o755)
        data = self.directory / "data"
        data.mkdir(mode=0o700)
        shutil.chown(data, USER)
        text = (self.root / "config/acquit.toml").read_text()
        for key, value in {
            "http.listen": f"127.0.0.1:{self.port}",
            "storage.data_dir": str(self.directory / "data"),
            "engines.manifests": [str(manifests or self.root / "engines")],
            "engines.containers": str(self.root / "containers"),
            "docker.runner": str(runner),
            "engines.disabled": disabled,
            "updates.enabled": False,
            "docker.user": USER,
            "http.requests_per_minute": 0,
            **(values or {}),
        }.items():
            text = with_value(text, key, value)
        self.config.write_text(text + more)

    def command(self, *arguments):
        return [str(self.program), "--config", str(self.config), *arguments]

    def make_key(self):
        key = self.directory / "admin.key"
        command = self.command("keys", "init", "--out", str(key))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        self.key = key.read_text().strip()

    def start(self, ready="/readyz"):
        """Starts the daemon and returns the seconds until it was ready, or whatever is asked for."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("serve"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        while not self.is_ready(ready):
            if self.process.poll() is not None or time.monotonic() - began > 300:
                raise SystemExit(f"the daemon did not get ready, see {self.log}")
            time.sleep(0.005)
        return time.monotonic() - began

    def is_ready(self, path="/readyz"):
        try:
            return self.request("GET", path)[0] == 200
        except OSError:
            return False

    def kill(self):
        """Ends the daemon at once; its containers stay."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()

    def remove(self):
        """Stops the daemon and leaves nothing of it behind."""
        self.stop()
        instance = self.directory / "data/instance"
        if instance.exists():
            label = f"label=acquit.instance={instance.read_text().strip()}"
            listed = subprocess.run(["docker", "ps", "-aq", "--filter", label], capture_output=True, text=True, check=True)
            if listed.stdout.split():
                subprocess.run(["docker", "rm", "-f", *listed.stdout.split()], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- memory ---------------------------------------------------------------

    def memory_mb(self, field):
        """VmRSS or VmHWM of the daemon, in mebibytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+) kB", status).group(1)) / 1024

    def forget_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    # --- the API --------------------------------------------------------------

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)

    def request(self, method, path, connection=None, body=None):
        own = connection or self.connect()
        try:
            own.request(method, path, json.dumps(body) if body else None, {"x-apikey": self.key or ""})
            answer = own.getresponse()
            return answer.status, answer.read()
        finally:
            if connection is None:
                own.close()

    def call(self, method, path, connection=None, body=None):
        status, answer = self.request(method, path, connection, body)
        if status != 200:
            raise SystemExit(f"{method} {path} answered {status}: {answer[:300]!r}")
        return json.loads(answer)["data"]

    def engines(self):
        """The status of every engine, by id."""
        rows = self.call("GET", "/api/v3/acquit/engines")
        return {row["id"]: row["attributes"] for row in rows}

    def upload(self, path, engine=None):
        """Uploads a file by the way its size asks for, for one engine or all; returns the analysis' id."""
        url = "/api/v3/files"
        if path.stat().st_size > 32 << 20:
            parts = urlsplit(self.call("GET", "/api/v3/files/upload_url"))
            url = parts.path + ("?" + parts.query if parts.query else "")
        boundary = secrets.token_hex(16)
        chosen = f"--{boundary}\r\nContent-Disposition: form-data; name=\"engines\"\r\n\r\n{engine}\r\n" if engine else ""
        head = (
            f"{chosen}--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"sample\"\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        connection = self.connect()
        connection.putrequest("POST", url)
        connection.putheader("x-apikey", self.key)
        connection.putheader("Content-Type", f"multipart/form-data; boundary={boundary}")
        connection.putheader("Content-Length", str(len(head) + path.stat().st_size + len(tail)))
        connection.endheaders(head)
        with path.open("rb") as file:
            connection.sock.sendfile(file)
        connection.send(tail)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"the upload of {path} was answered {answer.status}: {body[:300]!r}")
        return json.loads(body)["data"]["id"]

    def wait_for_analysis(self, identifier, pause=0.002):
        connection = self.connect()
        while True:
            analysis = self.call("GET", f"/api/v3/analyses/{identifier}", connection)["attributes"]
            if analysis["status"] == "completed":
                connection.close()
                return analysis
            time.sleep(pause)

    def rescan(self, engine):
        """Asks for the nightly work of one engine over everything, done again."""
        self.call("POST", "/api/v3/acquit/rescan", body={"engine": engine, "reuse": "never"})

    def rescan_all(self):
        """Has every engine look at everything again, and waits for the end of that."""
        before = self.newest_rescan()
        self.call("POST", "/api/v3/acquit/rescan", body={"reuse": "never"})
        self.wait_for_rescan(before)

    def newest_rescan(self):
        rows = self.call("GET", "/api/v3/acquit/rescans?limit=1")
        return int(rows[0]["id"]) if rows else 0

    def wait_for_rescan(self, before, seconds=600):
        """Waits until a rescan newer than `before` is complete, and none is under way."""
        end = time.monotonic() + seconds
        connection = self.connect()
        while True:
            rows = self.call("GET", "/api/v3/acquit/rescans?limit=10", connection)
            newer = [row["attributes"] for row in rows if int(row["id"]) > before]
            if newer and all(row["status"] == "completed" for row in newer):
                connection.close()
                return
            if time.monotonic() > end:
                raise SystemExit(f"there was no whole rescan in {seconds} s, see {self.log}")
            time.sleep(0.01)

    def jobs_done(self, engine):
        """Jobs answered and jobs failed since the daemon started."""
        coverage = self.call("GET", f"/api/v3/acquit/engines/{engine}")["attributes"]["coverage"]
        return coverage["answered"], coverage["failed"]

    def wait_for_engines(self, seconds=300):
        """Waits until every engine that is not disabled would scan."""
        end = time.monotonic() + seconds
        while True:
            states = {name: row["state"] for name, row in self.engines().items() if row["state"] != "disabled"}
            missing = [f"{name} is {state}" for name, state in states.items() if state not in ("ready", "idle")]
            if not missing:
                return
            if time.monotonic() > end:
                raise SystemExit(f"{', '.join(missing)}, see {self.log}")
            time.sleep(0.1)

    def wait_until_idle(self):
        waiting = ("queued_interactive", "queued_nightly", "running")
        while any(row[field] for row in self.engines().values() for field in waiting):
            time.sleep(0.02)
