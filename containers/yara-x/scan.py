"""YARA-X over a list of files: a rule tagged `suspicious` only suspects."""

import sys

import acquit_driver
import yara_x

SECONDS = 55


def compile_rules(path):
    compiler = yara_x.Compiler(relaxed_re_syntax=True)
    compiler.enable_includes(True)
    compiler.add_include_dir(path.rsplit("/", 1)[0])
    with open(path, encoding="utf-8") as source:
        compiler.add_source(source.read(), origin=path)
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


rules, scanner = compile_rules(sys.argv[-1]), None
acquit_driver.run(examine, SECONDS + 3, prepare=start)
