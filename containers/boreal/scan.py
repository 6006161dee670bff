"""boreal over a list of files: a rule tagged `suspicious` only suspects.

Its own command line ends with 0 when a file of a list cannot be read.
"""

import sys

import acquit_driver
from rules import compile_rules

SECONDS = 55


def examine(path):
    with open(path, "rb"):
        pass
    matching = rules.match(filepath=path, timeout=SECONDS)
    if not matching:
        return acquit_driver.undetected()
    sure = [rule for rule in matching if "suspicious" not in rule.tags]
    if sure:
        return acquit_driver.malicious(sure[0].rule)
    return acquit_driver.suspicious(matching[0].rule)


rules = compile_rules([sys.argv[-1]])
acquit_driver.run(examine, SECONDS + 3)
