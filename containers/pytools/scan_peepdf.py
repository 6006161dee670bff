"""peepdf over a list of files, with a rule of our own: what acts when a PDF is opened.

peepdf only counts what it found; an action together with a trigger is suspicious,
and so is the use of a known hole. Scripts are looked at but not run.
"""

import sys
import types

import acquit_driver
from acquit_driver import Unsupported, failure, suspicious, undetected

SECONDS = 55


def no_aes():
    """Stands in for the AES that peepdf would need to look into encrypted documents."""
    package = types.ModuleType("aespython")
    package.key_expander = package.aes_cipher = package.cbc_mode = None
    sys.modules["aespython"] = package


no_aes()
from peepdf.PDFCore import PDFParser  # noqa: E402

SCRIPT = {"/JS", "/JavaScript"}
TRIGGERS = {"/OpenAction", "/AA"}
# Of peepdf's list those that honest documents do not use.
HOLES = (
    "Collab.collectEmailInfo", "spell.customDictionaryOpen", "media.newPlayer", "doc.printSeps",
    "app.removeToolButton", ".SettingContent", "0x01a11d09", "CoolType.SING", "LibTIFF", "keep.previous",
)
# These are also what honest scripts call.
CALLS = ("getAnnots", "getIcon", "util.printf", "arguments.callee", "getPageNthWord")


def judge(versions):
    """Returns the name of the worst thing, or nothing."""
    found = {"Vulns": set(), "Elements": set(), "Events": set(), "Actions": set()}
    for version in versions:
        for key, names in found.items():
            names.update(name.strip() for name in version.get(key) or ())
    used = sorted(found["Vulns"] | found["Elements"])
    holes = [hole for hole in HOLES if any(hole in name for name in used)]
    if holes:
        return f"peepdf.{holes[0]}"
    script, opens = found["Actions"] & SCRIPT, found["Events"] & TRIGGERS
    if opens and "/Launch" in found["Actions"]:
        return "peepdf.LaunchOnOpen"
    if script and any(call in name for call in CALLS for name in used):
        return "peepdf.ScriptCalls"
    if opens and script:
        return "peepdf.ScriptOnOpen"
    if script and any(name.startswith("/EmbeddedFile") for name in used):
        return "peepdf.ScriptAndFile"
    return None


def examine(path):
    with open(path, "rb") as file:
        if b"%PDF-" not in file.read(1024):
            raise Unsupported("not a PDF")
    status, document = PDFParser().parse(path, True, False, True)
    stats = document.getStats()
    name = judge(stats["Versions"])
    if name:
        return suspicious(name)
    if stats["Encrypted"] == "True":
        raise Unsupported("the PDF is encrypted")
    if status != 0:
        return failure("peepdf does not come to the end of the document")
    if stats["Errors"]:
        raise Unsupported(f"the PDF is damaged: {stats['Errors'][0]}")
    return undetected()


acquit_driver.run(examine, SECONDS)
