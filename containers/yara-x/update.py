"""Keeps YARA-X's rules new; what the installed YARA-X does not compile stays out."""

import json
import os
import select
import signal

import acquit_rules
import acquit_update
import yara_x
from acquit_rules import Problem
from rules import compile_rules, new_compiler

OWN = "/opt/yara-x/acquit.yar"


def check(paths, seconds):
    """Compiles files as one, in a process of its own; a compiler that hangs or dies costs no more."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _compile(paths, writer)
    os.close(writer)
    try:
        said = _read(reader, max(1, seconds))
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if said is None:
        return [Problem("it takes too long to compile")]
    if not said:
        return [Problem(f"YARA-X ends with {os.waitstatus_to_exitcode(status)} compiling it")]
    return [Problem(text, line) for text, line in json.loads(said)]


def _read(reader, seconds):
    """Reads to the end; nothing if that does not come in time."""
    said = b""
    while select.select([reader], [], [], seconds)[0]:
        block = os.read(reader, 1 << 16)
        if not block:
            return said
        said += block
    return None


def _compile(paths, writer):
    """Writes the problems and ends; without a word if it cannot even do that."""
    try:
        problems = json.dumps(_problems(paths)).encode()
        with os.fdopen(writer, "wb") as out:
            out.write(problems)
    finally:
        os._exit(0)


def _problems(paths):
    compiler = new_compiler(os.path.dirname(paths[-1]))
    try:
        for path in paths:
            compile_rules(compiler, path)
        compiler.build()
    except UnicodeDecodeError:
        return [("it is not UTF-8", None)]
    except yara_x.CompileError as error:
        tried = os.path.basename(paths[-1])
        return [_problem(found, tried) for found in compiler.errors()] or [(str(error), None)]
    return []


def _problem(found, tried):
    labels = found.get("labels") or [{}]
    text = "; ".join(part for part in (found["title"], labels[0].get("text")) if part)
    about = labels[0].get("code_origin") == tried
    return text, found.get("line") if about else None


acquit_update.run(lambda sources: acquit_rules.update(sources, OWN, check))
