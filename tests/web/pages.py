#!/usr/bin/env python3
"""Looks at every page as everybody who may see it, in both themes and both sizes.

    pages.py WORLD.json [--url URL] [--only NAME] [--jobs 2]

A page must answer as it should, break no rule of axe, say nothing in the console, ask no other
host, run no hostile text and show each as text, and be there without scripts, too. The first visit
of each is small. Ends with 1 and a line for each fault.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import hostile  # noqa: E402
from lab import FIRST_VISIT_BYTES, Wrong, lab  # noqa: E402
from places import places  # noqa: E402

# Fewest characters a page has that is not empty.
LEAST = 40
# The one has all of a page beside each other, the other below each other; neither loads anything.
WIDE, NARROW = ("light", "wide"), ("dark", "narrow")


class Round:
    """Looks at pages and counts what is wrong."""

    def __init__(self, browser, world):
        self.lab, self.world, self.faults, self.looks = browser, world, 0, 0

    def sign_in(self, names):
        for name in names:
            if name:
                self.lab.sign_in(name, user=name, password=self.world["users"][name]["password"])

    def guarded(self, what, look):
        """Takes down what a look finds, and goes on."""
        self.looks += 1
        try:
            look()
        except Wrong as wrong:
            self.fault(str(wrong))
        except Exception as error:
            self.fault(f"{what}: {str(error).splitlines()[0]}")

    def fault(self, sentences):
        self.faults += len(sentences.splitlines())
        print(sentences, flush=True)

    def load(self, visit, place):
        """Comes to a page in a tab that has kept nothing of the pages before."""
        taken = visit.bytes
        visit.go(place.path, place.status)
        said = visit.text()
        for text in place.hostile:
            if hostile.shown(text) not in said:
                visit.wrong.append(f"does not show {hostile.shown(text)!r}")
        if visit.bytes - taken > FIRST_VISIT_BYTES:
            visit.wrong.append(f"the first visit takes {visit.bytes - taken} bytes, more than {FIRST_VISIT_BYTES}")

    def look(self, visit, place, looks):
        """Comes to a page once, and looks at it in every way."""
        closely = place.who[0] == visit.who and not place.is_one_of_many
        visit.becomes(*looks[0])
        self.load(visit, place)
        for number, look in enumerate(looks):
            if number > 0:
                self.looks += 1
                visit.becomes(*look)
            visit.inspect()
            if closely:
                visit.axe()
            visit.check(f"{place.name} as {visit.who or 'nobody'}, {', '.join(look)}")

    def everywhere(self, chosen):
        """Whoever has most of a page sees it closely in both themes and sizes, the others once."""
        for who in sorted({who for place in chosen for who in place.who}, key=str):
            with self.lab.visit(who) as visit:
                visit.forgets()
                for place in (place for place in chosen if who in place.who):
                    looks = [look for look in (WIDE, NARROW) if place.is_for(who, look[1])]
                    self.guarded(f"{place.name} as {who or 'nobody'}", lambda: self.look(visit, place, looks))

    def bare(self, visit, place):
        visit.go(place.path, place.status)
        said = " ".join(visit.page.locator("main").inner_text().split())
        if len(said) < LEAST:
            visit.wrong.append(f"is empty without scripts: {said!r}")
        visit.check(f"{place.name} without scripts")

    def without_scripts(self, chosen):
        for who in sorted({place.who[0] for place in chosen}, key=str):
            with self.lab.visit(who, javascript=False) as visit:
                for place in (place for place in chosen if place.who[0] == who and not place.is_one_of_many):
                    self.guarded(f"{place.name} without scripts", lambda: self.bare(visit, place))


def look_at(work):
    """Looks at some pages with a browser of its own; returns how many faults it has told of, and looks."""
    url, world, chosen = work
    with lab(url) as browser:
        looks = Round(browser, world)
        looks.sign_in(sorted({who for place in chosen for who in place.who if who}))
        looks.everywhere(chosen)
        looks.without_scripts(chosen)
    return looks.faults, looks.looks


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path, help="what world.py wrote")
    parser.add_argument("--url", help="where the pages are, if not where the world is")
    parser.add_argument("--only", metavar="NAME", default="", help="only pages whose names begin so")
    parser.add_argument("--jobs", type=int, default=2, help="browsers that look at the same time (default 2)")
    return parser.parse_args()


def main():
    options, began = parse_arguments(), time.monotonic()
    world = json.loads(options.world.read_text())
    chosen = [place for place in places(world) if place.name.startswith(options.only)]
    if not chosen:
        raise SystemExit(f"there is no page called {options.only}")
    parts = [chosen[number :: options.jobs] for number in range(options.jobs)]
    work = [(options.url or world["url"], world, part) for part in parts if part]
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        found = list(pool.map(look_at, work))
    faults, looks = (sum(counts) for counts in zip(*found))
    print(f"{looks} looks at {len(chosen)} pages in {time.monotonic() - began:.0f} s, {faults} faults")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
