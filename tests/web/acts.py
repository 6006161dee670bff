#!/usr/bin/env python3
"""Plays what people do on the pages of a world, one flow after the other.

    acts.py WORLD.json [--only NAME] [--jobs 2] [--shots DIRECTORY]

A flow is a function of acts_drive.py or acts_live.py; its first line says what must be so. The
world is not the same afterwards. Ends with 1 and a line for each flow that fails.
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

import acts_drive  # noqa: E402
import acts_live  # noqa: E402
from lab import lab  # noqa: E402
from scene import Scene  # noqa: E402

# What waits for engines goes beside what waits for nobody.
GROUPS = (acts_live.FLOWS, acts_drive.FLOWS)


def play(scene, flow):
    """Plays one flow; tells whether it ended well."""
    began, scene.people = time.monotonic(), []
    try:
        flow(scene)
    except Exception as error:
        said = "; ".join(line for line in str(error).splitlines()[:6] if line)
        print(f"{flow.__name__}: {flow.__doc__} FAILED: {type(error).__name__}: {said}", flush=True)
        return False
    print(f"{flow.__name__}: {time.monotonic() - began:.1f} s", flush=True)
    return True


def play_all(work):
    """Plays the flows of a group with a browser of its own; returns how many failed."""
    world, flows, shots = work
    with lab(world["url"], shots) as browser:
        scene = Scene(browser, world)
        return sum(not play(scene, flow) for flow in flows)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path, help="what world.py wrote")
    parser.add_argument("--only", metavar="NAME", default="", help="only flows whose names begin so")
    parser.add_argument("--jobs", type=int, default=2, help="browsers that act at the same time (default 2)")
    parser.add_argument("--shots", type=Path, help="where pictures of what failed go")
    return parser.parse_args()


def main():
    options, began = parse_arguments(), time.monotonic()
    world = json.loads(options.world.read_text())
    groups = [[flow for flow in group if flow.__name__.startswith(options.only)] for group in GROUPS]
    work = [(world, group, options.shots) for group in groups if group]
    if not work:
        raise SystemExit(f"there is no flow called {options.only}")
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        failed = sum(pool.map(play_all, work))
    print(f"{sum(map(len, groups))} flows in {time.monotonic() - began:.0f} s, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
