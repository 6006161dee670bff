"""oletools over a list of files: macros, DDE links, templates and embedded objects.

MacroRaptor decides about macros; what starts by itself and writes or runs is
suspicious. A file that is no document is not looked into, and neither is an
encrypted one: oletools would find no macro in it.
"""

import logging

import acquit_driver
from acquit_driver import suspicious, undetected
from documents import COMMAND, PROGRAM, code_of, examined, parser_of
from oletools import msodde, oleobj, ooxml, rtfobj
from oletools.mraptor import MacroRaptor

SECONDS = 55


def macros(path):
    parser = parser_of(path)
    if parser is None:
        return None
    try:
        raptor = MacroRaptor(code_of(parser))
        raptor.scan()
        return f"MacroRaptor.{raptor.get_flags()}" if raptor.suspicious else None
    finally:
        parser.close()


def dde(path):
    links = msodde.process_file(path, msodde.FIELD_FILTER_DDE)
    return "OleTools.DDE.Command" if links and COMMAND.search(links) else None


def relations(path):
    for relation, target in oleobj.find_external_relationships(ooxml.XmlParser(path)):
        if relation in ("attachedTemplate", "frame", "oleObject") and "://" in target:
            return f"OleTools.External.{relation}"
    return None


def objects(path):
    with open(path, "rb") as document:
        parser = rtfobj.RtfObjParser(document.read())
    parser.parse()
    for found in parser.objects:
        name = (found.class_name or b"").lower()
        if name.startswith(b"equation"):
            return "OleTools.Rtf.Equation"
        if found.is_package and PROGRAM.search(str(found.filename)):
            return "OleTools.Rtf.Package"
    return None


CHECKS = {
    "ole": (macros, dde),
    "openxml": (macros, dde, relations),
    "rtf": (objects, dde),
    "flat": (macros,),
    "vba": (macros,),
}


def examine(path):
    kind = examined(path, CHECKS)
    names = [name for name in (check(path) for check in CHECKS[kind]) if name]
    return suspicious(names[0]) if names else undetected()


logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
