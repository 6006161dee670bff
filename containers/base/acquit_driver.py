"""What the drivers of Acquit's Python engines share.

A driver is given a file with one path a line. It prints one JSON object a line
for each path, whatever happens to it, and then the number of paths:

    {"path": "/scan/a/b", "verdict": "malicious", "name": "…"}
    {"path": "/scan/a/c", "verdict": "failure", "reason": "…"}
    {"done": 2}

Nothing else reaches standard output, however much a library likes to talk.
"""

import json
import os
import shutil
import signal
import sys
import tempfile

TEXT_LIMIT = 300

# Before any library asks where temporary files go, so that they can be removed.
tempfile.tempdir = tempfile.mkdtemp()


class Unsupported(Exception):
    """The engine cannot look into this file."""


class TookTooLong(BaseException):
    """One file took longer than it may; not caught by a library's own `except Exception`."""


def malicious(name):
    return {"verdict": "malicious", "name": name}


def suspicious(name):
    return {"verdict": "suspicious", "name": name}


def undetected():
    return {"verdict": "undetected"}


def unsupported(reason):
    return {"verdict": "type-unsupported", "reason": reason}


def failure(reason):
    return {"verdict": "failure", "reason": reason}


def _describe(error):
    text = str(error) or "no reason given"
    return f"{type(error).__name__}: {text}"


def _answer(examine, path, seconds):
    signal.alarm(seconds)
    try:
        return examine(path)
    except Unsupported as error:
        return unsupported(str(error))
    except TookTooLong:
        return failure(f"took longer than {seconds} seconds")
    except (SystemExit, KeyboardInterrupt) as error:
        return failure(_describe(error))
    except Exception as error:
        return failure(_describe(error))
    finally:
        signal.alarm(0)


def _on_alarm(_number, _frame):
    raise TookTooLong


def _own_stdout():
    """Keeps standard output for the answers; what libraries print goes nowhere."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    sys.stdout = os.fdopen(silent, "w")
    return answers


def run(examine, seconds):
    """Examines every path of the list named on the command line."""
    answers = _own_stdout()
    signal.signal(signal.SIGALRM, _on_alarm)
    with open(sys.argv[1], encoding="ascii") as paths:
        paths = paths.read().splitlines()
    for path in paths:
        answer = {"path": path} | _answer(examine, path, seconds)
        answer = {key: str(value)[:TEXT_LIMIT] for key, value in answer.items()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
    answers.write(json.dumps({"done": len(paths)}) + "\n")
    answers.flush()
    # The container serves many batches; what a library forgot must not fill it.
    shutil.rmtree(tempfile.tempdir, ignore_errors=True)
    # A library's thread or exit handler must not turn a finished scan around.
    os._exit(0)
