"""msodde over a list of files: fields that start a program through Dynamic Data Exchange."""

import logging

import acquit_driver
from acquit_driver import suspicious, undetected
from documents import COMMAND, examined
from oletools import msodde

SECONDS = 55


def examine(path):
    examined(path, ("ole", "openxml", "rtf", "flat"))
    links = msodde.process_file(path, msodde.FIELD_FILTER_DDE)
    if not links.strip():
        return undetected()
    return suspicious("msodde.Command" if COMMAND.search(links) else "msodde.Link")


logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
