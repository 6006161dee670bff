"""oletools over a list of files: macros, DDE links, templates and embedded objects.

MacroRaptor decides about macros; what starts by itself and writes or runs is
suspicious. A file that is no document is not looked into, and neither is an
encrypted one: oletools would find no macro in it.
"""

import logging
import re
import zipfile

import acquit_driver
import olefile
from acquit_driver import Unsupported, suspicious, undetected
from oletools import crypto, msodde, oleobj, ooxml, rtfobj
from oletools.mraptor import MacroRaptor
from oletools.olevba import VBA_Parser

SECONDS = 55
OFFICE_STREAMS = (
    "WordDocument", "Workbook", "Book", "PowerPoint Document", "VisioDocument",
    "EncryptedPackage", "EncryptionInfo", "Macros", "_VBA_PROJECT_CUR", "VBA", "__nameid_version1.0",
)
PROGRAM = re.compile(r"\.(exe|dll|scr|com|pif|bat|cmd|ps1|vbs|vbe|js|jse|wsf|hta|lnk|msi|jar)$", re.I)
COMMAND = re.compile(r"cmd|powershell|mshta|rundll32|regsvr32|wscript|cscript|\.exe", re.I)
VBA_HEAD = re.compile(rb"(?im)^\s*(attribute vb_name\b|(private |public )?(sub|function) \w+\s*\()")
VBA_TAIL = re.compile(rb"(?im)^\s*(attribute vb_name\b|end (sub|function)\b)")


def kind_of(path, head):
    if head.startswith(olefile.MAGIC):
        with olefile.OleFileIO(path) as ole:
            if not any(ole.exists(name) for name in OFFICE_STREAMS):
                raise Unsupported("an OLE file that is no document")
        return "ole"
    if head.startswith(b"PK\x03\x04"):
        return kind_of_zip(path)
    if head.lstrip()[:4].lower() == b"{\\rt":
        return "rtf"
    if head.lstrip().startswith((b"<?xml", b"MIME-Version")) and b"ffice" in head:
        return "flat"
    if b"\0" not in head and VBA_HEAD.search(head) and VBA_TAIL.search(head):
        return "vba"
    raise Unsupported("not a document")


def kind_of_zip(path):
    if not zipfile.is_zipfile(path):
        raise Unsupported("a broken ZIP archive")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if "[Content_Types].xml" not in names:
            raise Unsupported("a ZIP archive that is no document")
        parts = ("word/", "xl/", "ppt/", "visio/")
        if not any(name.startswith(parts) for name in names):
            raise Unsupported("an Open Packaging archive that is no document")
        if any(entry.flag_bits & 1 for entry in archive.infolist()):
            raise Unsupported("the document is encrypted")
    return "openxml"


def macros(path):
    parser = VBA_Parser(path, relaxed=True)
    try:
        if not parser.detect_macros():
            return None
        code = "\n".join(module[3] for module in parser.extract_all_macros() if module[3])
        if not code:
            raise ValueError("there are macros, but no code can be read")
        raptor = MacroRaptor(code)
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
    with open(path, "rb") as file:
        head = file.read(65536)
    kind = kind_of(path, head)
    if kind == "ole" and crypto.is_encrypted(path):
        raise Unsupported("the document is encrypted")
    names = [name for name in (check(path) for check in CHECKS[kind]) if name]
    return suspicious(names[0]) if names else undetected()


logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
