"""How fast each engine's parser reads, in MB/s of recorded output repeated."""

import json
import subprocess

COMMAND = ["cargo", "run", "--quiet", "--release", "--locked", "--example", "parsers-bench"]


def measure(root, say):
    say("reading recorded output through every parser")
    done = subprocess.run(COMMAND, cwd=root, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def print_lines(speeds):
    """The slowest and the median of each kind of format."""
    print("\n| parsers | engines | slowest | median, MB/s |\n|---|---:|---|---:|")
    for kind in ("lines", "records"):
        of = sorted((it["mb_per_second"], name) for name, it in speeds.items() if it["format"] == kind)
        if of:
            slowest = f"{of[0][1]}: {of[0][0]:.0f}"
            print(f"| {kind} | {len(of)} | {slowest} | {of[len(of) // 2][0]:.0f} |")
