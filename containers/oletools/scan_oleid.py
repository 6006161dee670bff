"""oleid over a list of files: what of a document carries a high risk.

An indicator that could not be found out is a failure, not a good sign.
"""

import logging

import acquit_driver
from acquit_driver import Unsupported, failure, suspicious, undetected
from documents import examined
from oletools.ftguess import CONTAINER
from oletools.oleid import RISK, OleID

SECONDS = 55


def is_high(indicator):
    # Links that a reader clicks are a high risk to oleid, too.
    only_links = "found: hyperlink - " in str(indicator.description)
    if indicator.id == "ext_rels" and only_links:
        return False
    # A spreadsheet of today has no XLM macros; oleid calls them a medium risk.
    is_xlm = indicator.id == "xlm" and str(indicator.value).startswith("Yes")
    return indicator.risk == RISK.HIGH or is_xlm


def examine(path):
    kind = examined(path, ("ole", "openxml", "rtf", "flat", "vba"))
    indicators = OleID(path).check()
    high = [found for found in indicators if is_high(found)]
    if high:
        return suspicious(f"oleid.{high[0].name.replace(' ', '-')}")
    container = next(found.value for found in indicators if found.id == "container")
    if kind == "openxml" and container != CONTAINER.OpenXML:
        # It looks for relationships only where it knows the format.
        raise Unsupported("oleid does not know this kind of document")
    for found in indicators:
        if found.id == "encrypted" and found.value is True:
            raise Unsupported("the document is encrypted")
        if found.risk == RISK.ERROR:
            return failure(f"{found.name}: {found.description}")
    return undetected()


logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
