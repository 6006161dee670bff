"""oleobj over a list of files: programs inside documents, and parts fetched from elsewhere.

Its own command line writes what it finds beside the document, and says nothing
of one it could not open.
"""

import logging

import acquit_driver
from acquit_driver import Unsupported, failure, suspicious, undetected
from documents import PROGRAM, examined
from oletools import oleobj, ooxml

SECONDS = 55
# A link that a reader clicks is no part of the document.
FETCHED = ("attachedTemplate", "externalLink", "externalLinkPath", "externalReference", "frame", "oleObject")


class Complaints(logging.Handler):
    """What oleobj would only have logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def relations(parser):
    for relation, target in oleobj.find_external_relationships(parser):
        if target.startswith("mhtml:"):
            return "oleobj.External.mhtml"
        if relation in FETCHED and ("://" in target or target.startswith("\\\\")):
            return f"oleobj.External.{relation}"
    if any("!" in target or "://" in target for target in oleobj.find_customUI(parser)):
        return "oleobj.CustomUI"
    return None


def package(ole, parts):
    with ole.openstream(parts) as stream:
        found = oleobj.OleNativeStream(stream)
    if found.is_link:
        return None
    return "oleobj.Program" if PROGRAM.search(str(found.filename)) else None


def packages(path, parser):
    for ole in oleobj.find_ole(path, None, parser):
        if ole is None:
            raise Unsupported("oleobj cannot open the document")
        for parts in ole.listdir():
            if parts[-1].lower() == "\x01ole10native":
                name = package(ole, parts)
                if name:
                    return name
    return None


def examine(path):
    kind = examined(path, ("ole", "openxml"))
    del complaints.texts[:]
    parser = ooxml.XmlParser(path) if kind == "openxml" else None
    name = (relations(parser) if parser else None) or packages(path, parser)
    if name:
        return suspicious(name)
    return failure(complaints.texts[0]) if complaints.texts else undetected()


complaints = Complaints()
for log in (oleobj.log, ooxml.logger):
    log.handlers, log.propagate = [complaints], False
    log.setLevel(logging.WARNING)
acquit_driver.run(examine, SECONDS)
