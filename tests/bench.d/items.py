"""A real daemon with a collection of a million items, asked over HTTP."""

import base64
import hashlib
import random
import shutil
import statistics
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

OWNER = "bench"
# Items of the largest folder, of middle ones, of small ones; as in items.rs.
LARGE, MIDDLE, SMALL = 100_000, 1000, 40
DETECTED, NEW = 100, 10
# Times each question is asked.
ASKED = 1000
# Seconds the daemon is left alone before its memory is looked at.
SETTLE = 10

WORDS = {
    "large_folder": "a page of the folder of 100,000",
    "any_folder": "a page of any folder",
    "whole_tree": "a page of everything",
    "tag_of_none": "a tag that nothing has",
    "tag_of_ten": "a tag that ten have",
    "tag_of_many": "a tag that one in a hundred has",
    "item": "one item by its id",
    "events": "a page of the publisher's events",
}


def path(number):
    if number < LARGE:
        return f"/large/file-{number:06}.exe"
    if number < 6 * LARGE:
        return f"/products/line-{number // MIDDLE:04}/bin/library-{number}.dll"
    return f"/releases/{number // SMALL}/{number}.exe"


def content(number):
    return hashlib.sha256(number.to_bytes(8, "big")).digest()


def place(number):
    """The key of an item, which is what a cursor holds."""
    folder, name = path(number).rsplit("/", 1)
    return b"\0".join([OWNER.encode(), f"{folder}/".encode(), name.encode()])


def cursor(key):
    return "&cursor=" + base64.urlsafe_b64encode(key).decode().rstrip("=")


class Questions:
    """What is asked, each for another item."""

    def __init__(self, count):
        self.count = count

    def any(self, below=None):
        return random.randrange(min(below or self.count, self.count))

    def listed(self, words, key=None):
        return f"/api/v3/monitor/items?filter={quote(words)}&limit=40" + (cursor(key) if key else "")

    def large_folder(self):
        return self.listed("path:/large/", place(self.any(LARGE))), 1

    def any_folder(self):
        folder = path(self.any()).rsplit("/", 1)[0]
        return self.listed(f"path:{folder}/"), 1

    def whole_tree(self):
        return "/api/v3/monitor/items?recursive=true&limit=40" + cursor(place(self.any())), 1

    def tag_of_none(self):
        return self.listed("tag:solved-detections"), 0

    def tag_of_ten(self):
        return self.listed("tag:new-detections"), NEW

    def tag_of_many(self):
        number = self.any() // DETECTED * DETECTED
        return self.listed("tag:detected", content(number) + place(number)), 1

    def item(self):
        name = f"vtmonitor-v1://{OWNER}{path(self.any())}"
        return "/api/v3/monitor/items/" + quote(base64.b64encode(name.encode()).decode(), safe=""), 1

    def events(self):
        return "/api/v3/monitor/events?limit=40", 1


def fill(root, appliance, count):
    command = ["cargo", "run", "--quiet", "--release", "--locked", "--example", "items-bench", "--"]
    command += [str(appliance.directory / "data"), str(count)]
    began = time.monotonic()
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)
    for made in (appliance.directory / "data").rglob("*"):
        shutil.chown(made, "nobody")
    return time.monotonic() - began


def measure(root, appliance, count, cache_mb, say, also):
    """Fills a directory, starts a daemon on it, asks, also for pages; the rest of the answer is its memory."""
    # Nothing may scan: the files themselves are not there.
    engines = [path.stem for path in sorted((root / "engines").glob("*.toml")) if '"installed"' in path.read_text()]
    try:
        appliance.prepare(root / "target/release/acquit", engines, values={"storage.cache_mb": cache_mb})
        row = {"count": count, "fill_seconds": fill(root, appliance, count)}
        say(f"filled in {row['fill_seconds']:.0f} s")
        appliance.make_key()
        row["start_seconds"] = appliance.start("/livez")
        body = {"name": "bench", "role": "publisher", "publisher": OWNER}
        appliance.key = appliance.call("POST", "/api/v3/acquit/keys", body=body)["attributes"]["apikey"]
        ask(appliance, Questions(count), row, say)
        row["pages"] = also(appliance, Questions(count), say)
        time.sleep(SETTLE)
        row["memory_mb"] = appliance.memory_mb("VmRSS")
        row["peak_mb"] = appliance.memory_mb("VmHWM")
        files = [found for found in Path(appliance.directory).rglob("*") if found.is_file()]
        row["disk_mb"] = sum(found.stat().st_size for found in files) / (1 << 20)
        return row
    finally:
        appliance.remove()


def ask(appliance, questions, row, say):
    connection = appliance.connect()
    for name in WORDS:
        times = []
        for _ in range(ASKED):
            url, fewest = getattr(questions, name)()
            began = time.perf_counter()
            data = appliance.call("GET", url, connection)
            times.append((time.perf_counter() - began) * 1000)
            assert len(data) >= fewest, f"{url}: {len(data)} items"
        parts = statistics.quantiles(times, n=100)
        row[f"{name}_p50_ms"], row[f"{name}_p99_ms"] = parts[49], parts[98]
        row[f"{name}_max_ms"] = max(times)
        say(f"{name}: p50 {parts[49]:.2f} ms, p99 {parts[98]:.2f} ms, {appliance.memory_mb('VmRSS'):.0f} MiB")
    connection.close()


def print_lines(row):
    print(f"A daemon with {row['count']} items, over HTTP, pages of 40:\n")
    print("| question | p50, ms | p99, ms | longest, ms |")
    print("|---|---:|---:|---:|")
    for name, words in WORDS.items():
        cells = [f"{row[f'{name}_{what}_ms']:.2f}" for what in ("p50", "p99", "max")]
        print(f"| {words} | " + " | ".join(cells) + " |")
    print(
        f"\nThe daemon's resident memory {row['memory_mb']:.0f} MiB, at most {row['peak_mb']:.0f} MiB; "
        f"{row['disk_mb']:.0f} MiB on disk; it starts in {row['start_seconds']:.1f} s.\n"
    )
