"""What the drivers of Acquit's Python engines share.

A driver is given a file with one path a line. It prints one JSON object a line
for each path, whatever happens to it, and then the number of paths:

    {"path": "/scan/a/b", "verdict": "malicious", "name": "…"}
    {"path": "/scan/a/c", "verdict": "failure", "reason": "…"}
    {"done": 2}

Nothing else reaches standard output, however much a library likes to talk.

Most of a short scan is Python reading its libraries. With `--serve SOCKET` that
is done once: the driver listens, and each connection gets a process of its own,
forked from the one that has everything loaded. The connection's first line is
the list's path, what comes back is what would have been printed, and `exit 0`
on a last line says that nothing is missing. No state passes from one batch to
the next, and a batch that dies takes nobody with it.
"""

import gc
import json
import os
import shutil
import signal
import socket
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


def run(examine, seconds, prepare=None):
    """Examines every path of the list named on the command line, or serves lists.

    `prepare` is called in the process that examines, before its first path: for
    what must not be shared by two batches, such as a place for temporary files.
    """
    answers = _own_stdout()
    if sys.argv[1] == "--serve":
        _serve(sys.argv[2], lambda path, to: _batch(path, to, (examine, seconds, prepare)))
    _batch(sys.argv[1], answers, (examine, seconds, prepare))
    # A library's thread or exit handler must not turn a finished scan around.
    os._exit(0)


def _batch(list_path, answers, work):
    examine, seconds, prepare = work
    signal.signal(signal.SIGALRM, _on_alarm)
    if prepare:
        prepare()
    with open(list_path, encoding="ascii") as paths:
        paths = paths.read().splitlines()
    for path in paths:
        answer = {"path": path} | _answer(examine, path, seconds)
        answer = {key: str(value)[:TEXT_LIMIT] for key, value in answer.items()}
        answers.write(json.dumps(answer) + "\n")
    answers.write(json.dumps({"done": len(paths)}) + "\n")
    answers.flush()
    # The container serves many batches; what a library forgot must not fill it.
    shutil.rmtree(tempfile.tempdir, ignore_errors=True)


def _serve(path, batch):
    """Forks a process for each connection, for ever."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # What is loaded stays as it is: a collection would only copy it for each child.
    gc.collect()
    gc.freeze()
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _child(connection, batch)
        connection.close()


def _child(connection, batch):
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        tempfile.tempdir = tempfile.mkdtemp(dir=tempfile.tempdir)
        to = connection.makefile("w", encoding="ascii")
        asked = connection.makefile("r", encoding="ascii").readline().strip()
        if asked != "ping":
            batch(asked, to)
        to.write("exit 0\n")
        to.flush()
    except BaseException:
        # Without its last line the answer counts for nothing.
        os._exit(1)
    os._exit(0)
