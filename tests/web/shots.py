#!/usr/bin/env python3
"""Pictures of every page in both themes and both sizes, for people to look at.

    shots.py WORLD.json DIRECTORY [--url URL] [--only NAME] [--all]

A picture is called NAME-WHO-THEME-SIZE.png. Of the many pages with hostile texts only one of each
kind is taken, and each page only as whoever has most of it, unless --all is given.
"""

import argparse
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

from lab import SIZES, THEMES, lab  # noqa: E402
from places import places  # noqa: E402


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path, help="what world.py wrote")
    parser.add_argument("directory", type=Path, help="where the pictures go")
    parser.add_argument("--url", help="where the pages are, if not where the world is")
    parser.add_argument("--only", metavar="NAME", default="", help="only pages whose names begin so")
    parser.add_argument("--all", action="store_true", help="everything, as everybody")
    return parser.parse_args()


def is_chosen(place, options):
    few = "-hostile-" not in place.name or place.name.endswith("-lines")
    return place.name.startswith(options.only) and (options.all or few)


def main():
    options = parse_arguments()
    world = json.loads(options.world.read_text())
    chosen = [place for place in places(world) if is_chosen(place, options)]
    with lab(options.url or world["url"], options.directory) as browser:
        seen = {who for place in chosen for who in (place.who if options.all else place.who[:1])}
        for who in seen - {None}:
            browser.sign_in(who, user=who, password=world["users"][who]["password"])
        for who in seen:
            for theme in THEMES:
                for size in SIZES:
                    own = [place for place in chosen if who in (place.who if options.all else place.who[:1])]
                    with browser.visit(who, theme, size) as visit:
                        for place in own:
                            visit.go(place.path, place.status)
                            browser.shoot(visit, f"{place.name}-{who or 'nobody'}-{theme}-{size}")


if __name__ == "__main__":
    main()
