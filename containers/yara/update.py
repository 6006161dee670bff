"""Keeps YARA's rules new; what the installed yarac does not compile stays out."""

import os
import re
import subprocess

import acquit_rules
import acquit_update
from acquit_rules import Problem

OWN = "/opt/yara/acquit.yar"
# Rules of public collections ask for these; the manifest's command defines them too.
EXTERNALS = ("filename", "filepath", "extension", "filetype", "owner")
LINE = re.compile(r"^error: (?:rule \"[^\"]*\" in )?(?P<file>.+?)\((?P<line>\d+)\): (?P<text>.+)$")


def check(paths, seconds):
    """Compiles files as one; complaints about the last of them have a line."""
    defined = [word for name in EXTERNALS for word in ("-d", f"{name}=")]
    command = ["yarac", "-w", *defined, *paths, "/dev/null"]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=max(1, seconds), check=False, encoding="latin-1"
        )
    except subprocess.TimeoutExpired:
        return [Problem("it takes too long to compile")]
    if done.returncode == 0:
        return []
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    problems = [_problem(line, paths[-1]) for line in lines]
    return problems or [Problem(f"yarac ends with {done.returncode}")]


def _problem(line, path):
    found = LINE.match(line)
    if not found:
        return Problem(line.removeprefix("error: "))
    # Some versions name only the last part of the path.
    about = os.path.basename(found["file"]) == os.path.basename(path)
    return Problem(found["text"], int(found["line"]) if about else None)


acquit_update.run(lambda sources: acquit_rules.update(sources, OWN, check))
