"""rtfobj over a list of files: objects in RTF documents that exploit or carry a program."""

import logging

import acquit_driver
from acquit_driver import suspicious, undetected
from documents import PROGRAM, examined
from oletools import rtfobj

SECONDS = 55


def judge(found):
    name = (found.class_name or b"").lower()
    about = found.clsid_desc or ""
    if name.startswith(b"equation"):
        return "rtfobj.Equation"
    if name.startswith(b"ole2link"):
        return "rtfobj.OLE2Link"
    if "CVE-" in about:
        return "rtfobj.Exploit"
    if found.is_package:
        return "rtfobj.Program" if PROGRAM.search(str(found.filename)) else "rtfobj.Package"
    return None


def examine(path):
    examined(path, ("rtf",))
    with open(path, "rb") as document:
        parser = rtfobj.RtfObjParser(document.read())
    parser.parse()
    names = [name for name in map(judge, parser.objects) if name]
    return suspicious(names[0]) if names else undetected()


logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
