"""Promotions of signatures while files come in: does any scan fail or wait?

One engine, fed from a directory. Windows with one promotion after the other take
turns with windows without any, under the same steady load.
"""

import os
import shutil
import statistics
import threading
import time

ENGINE = "yara"
# Takes over whatever the directory holds.
COMMAND = ["sh", "-ec", "rm -rf /candidate/*; cp -r /sources/0/. /candidate/"]
# Around the moment at which the new container takes over, in seconds.
TAKE_OVER = (-0.05, 0.2)
# What a scan may wait longer because of a promotion, in seconds.
ALLOWED = 0.1


class Feed:
    """The directory that signatures come from, and a manifest that takes them from there."""

    def __init__(self, root, directory):
        self.rules, self.manifests, self.number = directory / "rules", directory / "engines", 0
        self.manifests.mkdir(parents=True)
        shutil.copytree(root / "containers" / ENGINE / "signatures", self.rules)
        shipped = (root / f"engines/{ENGINE}.toml").read_text()
        before, update, after = shipped.partition("[update]\n")
        lines = after.splitlines()
        assert update and lines[0].startswith("command = "), "the manifest's [update] does not begin with its command"
        lines[0] = f"command = {COMMAND!r}"
        (self.manifests / f"{ENGINE}.toml").write_text("\n".join([before + update.strip(), *lines]) + "\n")
        for path in (directory, *directory.rglob("*")):
            os.chmod(path, 0o755 if path.is_dir() else 0o644)

    def settings(self):
        return f'\n[updates.engines.{ENGINE}]\nsources = [{{ directory = "{self.rules}" }}]\n'

    def bring(self):
        """Brings a rule that there was not, so that the next update has something to promote."""
        self.number += 1
        rule = f'rule Bench_{self.number} {{ strings: $a = "acquit bench {self.number}" condition: $a }}\n'
        with (self.rules / "acquit.yar").open("a") as file:
            file.write(rule)


class Load:
    """Small new files, so many a second, over some connections."""

    def __init__(self, appliance, scratch, options):
        self.appliance, self.scratch, self.options = appliance, scratch, options
        self.scans, self.failed, self.stop = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(number,)) for number in range(options.connections)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def work(self, number):
        path, pause = self.scratch / f"load-{number}", self.options.connections / self.options.rate
        due = time.time() + pause * number / self.options.connections
        while not self.stop.is_set():
            time.sleep(max(0, due - time.time()))
            path.write_bytes(b"MZ" + os.urandom(4094))
            # A file that is late because the one before it waited has waited too.
            self.scan(path, due)
            due = max(due + pause, time.time() - 1)

    def scan(self, path, due):
        try:
            analysis = self.appliance.wait_for_analysis(self.appliance.upload(path), 0.004)
            answered = analysis["stats"]["undetected"] == 1
            what = None if answered else f"{analysis['stats']}"
        except (OSError, SystemExit) as error:
            what = f"{error}"
        if what:
            self.failed.append((due, what))
        else:
            self.scans.append((due, time.time() - due))


def promote(appliance, feed):
    """One promotion and the rescan it brings; returns when each phase began."""
    feed.bring()
    before = appliance.newest_rescan()
    phases = [("download", time.time())]
    number = appliance.call("POST", f"/api/v3/acquit/engines/{ENGINE}/update")["id"].rsplit("-", 1)[1]
    while True:
        update = appliance.call("GET", f"/api/v3/acquit/engines/{ENGINE}/updates/{number}")["attributes"]
        if update["phase"] != phases[-1][0]:
            phases.append((update["phase"], time.time()))
        if update.get("outcome"):
            break
        time.sleep(0.05)
    if update["outcome"] != "promoted":
        raise SystemExit(f"the update was {update['outcome']}: {update['reason']}")
    event = appliance.call("GET", "/api/v3/acquit/events?filter=kind:signatures-promoted&limit=1")[0]
    taken = int(event["id"]) / 1e6  # the number of an event is its time in microseconds
    phases.append(("rescan", taken + TAKE_OVER[1]))
    appliance.wait_for_rescan(before)
    phases.append(("after", time.time()))
    return taken, phases


def place(start, latency, promotions):
    """Names what was under way while a scan waited: the take-over, or the phase it began in."""
    for taken, _ in promotions:
        if start <= taken + TAKE_OVER[1] and start + latency >= taken + TAKE_OVER[0]:
            return "take-over"
    began = "before"
    for _, phases in promotions:
        for phase, at in phases:
            if at <= start:
                began = phase
    return began


def measure(appliance, feed, scratch, options, say):
    """Seconds of each scan, by windows without and with promotions."""
    windows, promotions, failed, rounds = {"without": [], "with": []}, [], [], []
    with Load(appliance, scratch, options) as load:
        time.sleep(3)
        for number in range(options.repeat):
            these = {}
            for kind in windows:
                say(f"repetition {number + 1}, a window {kind} promotions")
                begin = time.time()
                while time.time() < begin + options.window:
                    if kind == "with":
                        promotions.append(promote(appliance, feed))
                    else:
                        time.sleep(min(1, options.window))
                end = time.time()
                these[kind] = (begin, end)
                time.sleep(1)
            rounds.append(these)
    for these in rounds:
        for kind, (begin, end) in these.items():
            windows[kind] += [scan for scan in load.scans if begin <= scan[0] < end]
            failed += [(kind, what) for due, what in load.failed if begin <= due < end]
    return report(windows, promotions, failed)


def report(windows, promotions, failed):
    quiet = [latency for _, latency in windows["without"]]
    bound, usual = max(quiet) + ALLOWED, statistics.median(quiet) + ALLOWED
    over = [scan for scan in windows["with"] if scan[1] > bound]
    slow = {kind: [scan for scan in scans if scan[1] > usual] for kind, scans in windows.items()}
    near = [latency for start, latency in windows["with"] if place(start, latency, promotions) == "take-over"]
    places = [place(*scan, promotions) for scan in slow["with"]]
    return {
        "promotions": len(promotions),
        **{kind: figures([latency for _, latency in scans]) for kind, scans in windows.items()},
        "take_over": figures(near),
        "failed": {kind: sum(1 for one, _ in failed if one == kind) for kind in windows},
        "failures": sorted({what for _, what in failed})[:5],
        "over": len(over),
        "over_near_take_over": sum(1 for scan in over if place(*scan, promotions) == "take-over"),
        "slow": {kind: len(scans) for kind, scans in slow.items()},
        "slow_places": {name: places.count(name) for name in sorted(set(places))},
    }


def figures(latencies):
    if len(latencies) < 2:
        return {"scans": len(latencies)}
    parts = statistics.quantiles(latencies, n=100)
    return {
        "scans": len(latencies),
        "p50_ms": parts[49] * 1000,
        "p99_ms": parts[98] * 1000,
        "max_ms": max(latencies) * 1000,
    }


def print_lines(row):
    print(f"{row['promotions']} promotions of {ENGINE} under steady load, upload to completed analysis:\n")
    print("| | scans | p50, ms | p99, ms | max, ms | failed | over the usual by 100 ms |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for kind in ("without", "with"):
        cells = [f"{row[kind][what]:.0f}" for what in ("scans", "p50_ms", "p99_ms", "max_ms")]
        print(f"| {kind} promotions | " + " | ".join(cells) + f" | {row['failed'][kind]} | {row['slow'][kind]} |")
    near = row["take_over"]
    if near["scans"] > 1:
        print(f"| of these around a take-over | {near['scans']} | {near['p50_ms']:.0f} | {near['p99_ms']:.0f} | {near['max_ms']:.0f} | | {row['slow_places'].get('take-over', 0)} |")
    places = ", ".join(f"{name} {count}" for name, count in row["slow_places"].items()) or "none"
    print(f"\nMore than 100 ms over the slowest scan without promotions: {row['over']} ({row['over_near_take_over']} at a take-over).")
    print(f"Over the usual by 100 ms, by what was under way: {places}.")
