"""From an incident to the mail about it: how long, one by one and a hundred at once."""

import json
import os
import re
import statistics
import subprocess
import threading
import time

from promotion import promote

PUBLISHER = "bench"
ADDRESS = "release@bench.test"
# Incidents one by one, and at once.
SINGLE, BURST = 30, 100
PATIENCE = 120
HASH = re.compile(r"\b[0-9a-f]{64}\b")


class Mailbox:
    """A real mail server, and when it took which mail."""

    def __init__(self, root, python):
        command = [str(python), str(root / "tests/smtp.py"), "none"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.mails, self.taken = 0, {}
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            mail = json.loads(line)
            self.mails += 1
            for sha256 in HASH.findall(mail["text"]):
                self.taken.setdefault(sha256, mail["at"])

    def wait(self, hashes):
        end = time.monotonic() + PATIENCE
        while not all(sha256 in self.taken for sha256 in hashes):
            if time.monotonic() > end:
                missing = sum(sha256 not in self.taken for sha256 in hashes)
                raise SystemExit(f"{missing} incidents were not told in {PATIENCE} s")
            time.sleep(0.005)

    def close(self):
        self.process.kill()
        self.process.wait()

    def settings(self):
        return {
            "mail.server": "127.0.0.1",
            "mail.port": self.port,
            "mail.security": "none",
            "mail.from": "Acquit <acquit@bench.test>",
        }


def python_of(root):
    """A Python with the mail server: the one the tests set up."""
    found = root / "target/tools/venv/bin/python3"
    if not found.exists():
        subprocess.run(["/usr/bin/python3", "-m", "venv", found.parent.parent], check=True)
        requirements = root / "tests/requirements.txt"
        subprocess.run([found, "-m", "pip", "install", "--quiet", "--requirement", requirements], check=True)
    return found


def upload(appliance, key, name, content):
    """Puts a file into the collection and returns its SHA-256."""
    boundary = os.urandom(16).hex()
    part = f"--{boundary}\r\nContent-Disposition: form-data; name="
    body = f'{part}"path"\r\n\r\n/{name}\r\n{part}"file"; filename="{name}"\r\n\r\n'.encode()
    body += content + f"\r\n--{boundary}--\r\n".encode()
    connection = appliance.connect()
    headers = {"x-apikey": key, "Content-Type": f"multipart/form-data; boundary={boundary}"}
    connection.request("POST", "/api/v3/monitor/items", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"an upload was answered {answer.status}: {text[:300]!r}")
    return json.loads(text)["data"]["attributes"]["sha256"]


def opened(appliance):
    """When each file's incident was opened: an event's number is its time in microseconds."""
    found, cursor = {}, ""
    while True:
        url = f"/api/v3/acquit/events?filter=kind:incident-opened&limit=40{cursor}"
        status, body = appliance.request("GET", url)
        page = json.loads(body)
        assert status == 200, body
        found |= {row["attributes"]["sha256"]: int(row["id"]) / 1e6 for row in page["data"]}
        if not (following := page["meta"].get("cursor")):
            return found
        cursor = f"&cursor={following}"


def measure(appliance, feed, mailbox, say):
    order = {"name": "Bench", "id": PUBLISHER, "emails": [ADDRESS]}
    appliance.call("POST", "/api/v3/acquit/publishers", body=order)
    order = {"name": "bench", "role": "publisher", "publisher": PUBLISHER}
    key = appliance.call("POST", "/api/v3/acquit/keys", body=order)["attributes"]["apikey"]
    # With nothing to look at again there would be no rescan to wait for.
    upload(appliance, key, "clean", b"\x7fELF nothing of interest")
    appliance.wait_until_idle()
    promote(appliance, feed)
    single = []
    for number in range(SINGLE):
        sha256 = upload(appliance, key, f"single-{number}", b"\x7fELF acquit bench 1 %d" % number)
        mailbox.wait([sha256])
        single.append(sha256)
        time.sleep(0.3)
    say(f"{SINGLE} incidents one by one are told")
    before = mailbox.mails
    burst = [upload(appliance, key, f"burst-{n}", b"\x7fELF acquit bench 2 %d." % n) for n in range(BURST)]
    appliance.wait_until_idle()
    promote(appliance, feed)
    mailbox.wait(burst)
    say(f"{BURST} incidents at once are told in {mailbox.mails - before} mails")
    since = opened(appliance)
    late = {name: [mailbox.taken[one] - since[one] for one in these] for name, these in (("single", single), ("burst", burst))}
    return {name: figures(these) for name, these in late.items()} | {"burst_mails": mailbox.mails - before}


def figures(seconds):
    return {
        "incidents": len(seconds),
        "p50_ms": statistics.median(seconds) * 1000,
        "p95_ms": statistics.quantiles(seconds, n=20)[-1] * 1000,
        "max_ms": max(seconds) * 1000,
    }


def print_lines(row):
    print("From an incident opened to the mail accepted by the server:\n")
    print("| | incidents | p50, ms | p95, ms | longest, ms |")
    print("|---|---:|---:|---:|---:|")
    for name, words in (("single", "one by one"), ("burst", f"at once, in {row['burst_mails']} mails")):
        cells = [f"{row[name][what]:.0f}" for what in ("incidents", "p50_ms", "p95_ms", "max_ms")]
        print(f"| {words} | " + " | ".join(cells) + " |")
    print()
