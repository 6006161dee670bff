"""olevba over a list of files: macros that start by themselves and use what malware uses.

Either alone is what ordinary macros do. Its own command line calls an encrypted
document free of macros.
"""

import logging

import acquit_driver
from acquit_driver import suspicious, undetected
from documents import code_of, examined, parser_of

SECONDS = 55


def examine(path):
    examined(path, ("ole", "openxml", "flat", "vba"))
    parser = parser_of(path)
    if parser is None:
        return undetected()
    try:
        code_of(parser)
        found = {}
        for kind, keyword, _ in parser.analyze_macros():
            found.setdefault(kind, keyword)
    finally:
        parser.close()
    if "AutoExec" in found and "Suspicious" in found:
        return suspicious(f"olevba.{found['AutoExec']}.{found['Suspicious']}")
    return undetected()


logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
