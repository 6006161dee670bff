"""What the drivers of this image share: which files are documents, and their macros."""

import re
import zipfile

import olefile
from acquit_driver import Unsupported
from oletools import crypto
from oletools.olevba import VBA_Parser

OFFICE_STREAMS = (
    "WordDocument", "Workbook", "Book", "PowerPoint Document", "VisioDocument",
    "EncryptedPackage", "EncryptionInfo", "Macros", "_VBA_PROJECT_CUR", "VBA", "__nameid_version1.0",
)
PROGRAM = re.compile(r"\.(exe|dll|scr|com|pif|bat|cmd|ps1|vbs|vbe|js|jse|wsf|hta|lnk|msi|jar)$", re.I)
COMMAND = re.compile(r"cmd|powershell|mshta|rundll32|regsvr32|wscript|cscript|\.exe", re.I)
VBA_HEAD = re.compile(rb"(?im)^\s*(attribute vb_name\b|(private |public )?(sub|function) \w+\s*\()")
VBA_TAIL = re.compile(rb"(?im)^\s*(attribute vb_name\b|end (sub|function)\b)")


def examined(path, kinds):
    """Returns a document's kind, if the tool reads such ones and it is not encrypted."""
    with open(path, "rb") as file:
        head = file.read(65536)
    kind = kind_of(path, head)
    if kind not in kinds:
        raise Unsupported(f"a document of the kind {kind} is not looked into")
    if kind == "ole" and crypto.is_encrypted(path):
        raise Unsupported("the document is encrypted")
    return kind


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


def parser_of(path):
    """Returns olevba's parser if there are macros; one that has no code to show is an error."""
    parser = VBA_Parser(path, relaxed=True)
    if not parser.detect_macros():
        parser.close()
        return None
    return parser


def code_of(parser):
    code = "\n".join(module[3] for module in parser.extract_all_macros() if module[3])
    if not code:
        raise ValueError("there are macros, but no code can be read")
    return code
