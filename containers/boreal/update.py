"""Keeps boreal's rules new; what the installed boreal does not compile stays out."""

import os
import re
import signal

import acquit_rules
import acquit_update
import boreal
from acquit_rules import Problem
from rules import compile_rules

OWN = "/opt/boreal/acquit.yar"
PLACE = re.compile(r"(?P<file>[^\s:]+):(?P<line>\d+):\d+")


def too_long(_number, _frame):
    raise TimeoutError


def check(paths, seconds):
    """Compiles files as one; complaints about the last of them have a line."""
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(max(1, int(seconds)))
    try:
        compile_rules(paths)
    except TimeoutError:
        return [Problem("it takes too long to compile")]
    except (boreal.Error, UnicodeDecodeError, ValueError) as error:
        return [_problem(str(error), paths[-1])]
    finally:
        signal.alarm(0)
    return []


def _problem(text, path):
    words = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
    first = words.splitlines()[0].split("error: ")[-1] if words else "it does not compile"
    found = PLACE.search(words)
    about = found and os.path.basename(found["file"]) == os.path.basename(path)
    return Problem(first, int(found["line"]) if about else None)


acquit_update.run(lambda sources: acquit_rules.update(sources, OWN, check))
