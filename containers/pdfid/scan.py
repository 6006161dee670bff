"""pdfid over a list of files, with a score of our own.

pdfid counts names; what is suspicious is what acts when the document is opened,
and names that are written in a way that hides them.
"""

import acquit_driver
from acquit_driver import Unsupported, failure, suspicious, undetected
from pdfid.pdfid import PDFiD

SECONDS = 55
ACTIVE = ("/JS", "/JavaScript", "/Launch", "/OpenAction", "/AA", "/EmbeddedFile", "/RichMedia")


def attribute(document, name):
    return document.documentElement.getAttribute(name)


def counts_of(document):
    counts = {}
    for keyword in document.getElementsByTagName("Keyword"):
        number = int(keyword.getAttribute("Count"))
        hidden = int(keyword.getAttribute("HexcodeCount"))
        counts[keyword.getAttribute("Name")] = (number, hidden)
    return counts


def judge(counts):
    """Returns the name of the worst thing, or nothing."""
    def has(name):
        return counts.get(name, (0, 0))[0] > 0

    opens = has("/OpenAction") or has("/AA")
    script = has("/JS") or has("/JavaScript")
    if any(counts.get(name, (0, 0))[1] for name in ACTIVE):
        return "PDFiD.HiddenName"
    if opens and has("/Launch"):
        return "PDFiD.LaunchOnOpen"
    if opens and script:
        return "PDFiD.ScriptOnOpen"
    if script and has("/EmbeddedFile"):
        return "PDFiD.ScriptAndFile"
    if has("/JBIG2Decode") and script:
        return "PDFiD.ScriptAndJBIG2"
    return None


def examine(path):
    with open(path, "rb") as file:
        if b"%PDF" not in file.read(1024):
            raise Unsupported("not a PDF")
    document = PDFiD(path)
    if attribute(document, "ErrorOccured") != "False":
        return failure(attribute(document, "ErrorMessage"))
    if attribute(document, "IsPDF") != "True":
        raise Unsupported("not a PDF")
    counts = counts_of(document)
    if not counts:
        return failure("pdfid counted nothing")
    name = judge(counts)
    if name:
        return suspicious(name)
    if counts.get("/Encrypt", (0, 0))[0]:
        raise Unsupported("the PDF is encrypted")
    return undetected()


acquit_driver.run(examine, SECONDS)
