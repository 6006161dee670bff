"""YARA-X over a list of files: a rule tagged `suspicious` only suspects."""

import os
import sys

import acquit_driver
import yara_x
from rules import compile_rules, new_compiler

SECONDS = 55


def load(path):
    compiler = new_compiler(os.path.dirname(path))
    compile_rules(compiler, path)
    return compiler.build()


def start():
    """Makes this process's own scanner: its clock is a thread, which no fork survives."""
    global scanner
    scanner = yara_x.Scanner(rules)
    scanner.set_timeout(SECONDS)


def examine(path):
    matching = scanner.scan_file(path).matching_rules
    if not matching:
        return acquit_driver.undetected()
    sure = [rule for rule in matching if "suspicious" not in rule.tags]
    if sure:
        return acquit_driver.malicious(sure[0].identifier)
    return acquit_driver.suspicious(matching[0].identifier)


rules, scanner = load(sys.argv[-1]), None
acquit_driver.run(examine, SECONDS + 3, prepare=start)
