"""MacroRaptor over a list of files: macros that start by themselves and write or run.

Its own command line calls an encrypted document free of macros.
"""

import logging

import acquit_driver
from acquit_driver import suspicious, undetected
from documents import code_of, examined, parser_of
from oletools.mraptor import MacroRaptor

SECONDS = 55


def examine(path):
    examined(path, ("ole", "openxml", "flat", "vba"))
    parser = parser_of(path)
    if parser is None:
        return undetected()
    try:
        raptor = MacroRaptor(code_of(parser))
        raptor.scan()
        return suspicious(f"MacroRaptor.{raptor.get_flags()}") if raptor.suspicious else undetected()
    finally:
        parser.close()


logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
