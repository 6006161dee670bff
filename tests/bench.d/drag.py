#!/usr/bin/env python3
"""A thousand small files, dragged into a page and put there by the API alone, in turns.

    drag.py URL KEY FILES REPETITIONS

Runs with the tests' own Python, which has a browser. KEY is an administrator's, the collection that
of the publisher `bench`. Prints the seconds of each repetition as JSON.
"""

import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "web"))

from client import Client  # noqa: E402
from lab import lab  # noqa: E402

OWNER = "bench"
# Bytes of a file.
SIZE = 1024
# Connections a browser has for one server.
CONNECTIONS = 6


def make(directory, count):
    """Files that nobody has seen yet."""
    paths = [Path(directory, f"file-{number:04}.bin") for number in range(count)]
    for path in paths:
        path.write_bytes(os.urandom(SIZE))
    return paths


def stored(client):
    return client.get("/acquit/collection", owner=OWNER)["attributes"]["storage_files"]


def settle(client):
    """Waits until the engines have scanned what came, so that they do not take time from what comes."""
    waiting = ("queued_interactive", "queued_nightly", "running")
    while any(engine["attributes"][name] for engine in client.get("/acquit/engines") for name in waiting):
        time.sleep(0.2)


def by_api(client, folder, paths):
    began = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        list(threads.map(lambda path: client.put(f"{folder}{path.name}", path.read_bytes(), OWNER), paths))
    return time.monotonic() - began


def by_page(client, visit, folder, paths):
    """From the drop until the last file is in the collection."""
    client.put(folder, None, OWNER)
    visit.go(f"/collection?owner={OWNER}&folder={quote(folder, safe='')}")
    wanted, end = stored(client) + len(paths), time.monotonic() + 600
    began = time.monotonic()
    visit.drop("main", paths)
    while stored(client) < wanted:
        if time.monotonic() > end:
            raise SystemExit(f"{wanted - stored(client)} files have not come: {visit.wrong}")
        visit.page.wait_for_timeout(20)
    seconds = time.monotonic() - began
    visit.check("the drag")
    return seconds


def main():
    url, key, count, repetitions = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    client, rows = Client(url, key), []
    with lab(url) as browser, tempfile.TemporaryDirectory() as scratch:
        browser.sign_in("admin", key=key)
        with browser.visit("admin") as visit:
            for number in range(repetitions):
                ways = {"api": lambda folder, paths: by_api(client, folder, paths),
                        "page": lambda folder, paths: by_page(client, visit, folder, paths)}
                row = {}
                for way in sorted(ways, reverse=number % 2 == 1):
                    row[way] = ways[way](f"/{way}-{number}/", make(scratch, count))
                    settle(client)
                rows.append(row)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
