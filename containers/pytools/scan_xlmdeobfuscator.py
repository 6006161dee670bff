"""XLMMacroDeobfuscator over a list of files: Excel 4.0 macros that start by themselves.

It emulates a macro and prints what each cell does; cells that start a program or
fetch one are suspicious. Its own command line always ends with 0.
"""

import re
import zipfile

import acquit_driver
import olefile
from acquit_driver import Unsupported, failure, suspicious, undetected
from XLMMacroDeobfuscator import deobfuscator

SECONDS = 55
STARTS = re.compile(r"=.*\b(EXEC|CALL|REGISTER|URLDownloadToFile|ShellExecute)[A-Z]?\s*\(", re.IGNORECASE)
ARGUMENTS = {
    "noninteractive": True, "timeout": 0, "start_point": "", "password": "VelvetSweatshop",
    "output_formula_format": "CELL:[[CELL-ADDR]], [[STATUS]], [[INT-FORMULA]]",
}


def check_kind(path):
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith(b"PK"):
        check_archive(path)
    elif head == olefile.MAGIC:
        with olefile.OleFileIO(path) as ole:
            if not any(ole.exists(name) for name in ("Workbook", "Book", "EncryptedPackage")):
                raise Unsupported("no workbook of Excel")
    else:
        raise Unsupported("no workbook of Excel")


def check_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.flag_bits & 1 for entry in archive.infolist()):
                raise Unsupported("the workbook is encrypted")
            if not any(re.fullmatch(r"xl[/\\]workbook\.(xml|bin)", name) for name in archive.namelist()):
                raise Unsupported("no workbook of Excel")
    except zipfile.BadZipFile as error:
        raise Unsupported(f"no ZIP archive that can be read: {error}") from error


def said(*words, **_):
    lines.extend(" ".join(map(str, words)).splitlines())


def examine(path):
    check_kind(path)
    del lines[:]
    try:
        deobfuscator.process_file(file=path, **ARGUMENTS)
    except Exception as error:
        if "Failed to decrypt" in str(error):
            raise Unsupported("the workbook is encrypted") from None
        raise
    started = any(line.startswith("auto_open:") for line in lines)
    for line in lines:
        found = line.startswith("CELL:") and STARTS.search(line)
        if started and found:
            return suspicious(f"XLM.AutoOpen.{found[1].upper()}")
    if "[END of Deobfuscation]" not in lines:
        return failure("the emulation does not come to its end")
    if any(", Error " in line for line in lines):
        raise Unsupported("a cell could not be emulated")
    return undetected()


lines = []
deobfuscator.uprint = said
acquit_driver.run(examine, SECONDS)
