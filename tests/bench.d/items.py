"""A collection of a million items: what a page, a tag and an item cost."""

import json
import subprocess

QUESTIONS = {
    "large_folder": "a page of the folder of 100,000",
    "any_folder": "a page of any folder",
    "whole_tree": "a page of everything",
    "tag_of_none": "a tag that nothing has",
    "tag_of_ten": "a tag that ten have",
    "tag_of_ten_thousand": "a tag that ten thousand have",
    "item": "one item by its id",
}


def measure(root, count, cache_mb):
    command = ["cargo", "run", "--quiet", "--release", "--locked", "--example", "items-bench", "--"]
    command += [str(count), str(cache_mb)]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return {"count": count, **json.loads(run.stdout.splitlines()[-1])}


def print_lines(row):
    print(f"A collection of {row['count']} items, pages of 40:\n")
    print("| question | p50, ms | p99, ms |")
    print("|---|---:|---:|")
    for name, words in QUESTIONS.items():
        print(f"| {words} | {row[f'{name}_p50_ms']:.2f} | {row[f'{name}_p99_ms']:.2f} |")
    print(f"\nResident memory of the process {row['memory_mb']} MiB, at most {row['peak_mb']} MiB.\n")
