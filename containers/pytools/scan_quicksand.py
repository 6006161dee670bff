"""QuickSand over a list of files: exploits and active content in documents and PDFs.

QuickSand passes over what it cannot open, and calls the rest clean; here that is
no clean answer. Its own command line does so too, and answers for any bytes.
"""

import zipfile

import acquit_driver
from acquit_driver import Unsupported, malicious, suspicious, undetected
from quicksand.quicksand import quicksand

SECONDS = 55
READ = ("ole", "openxml", "rtf", "mso", "pdf", "xdp")


def watch():
    """Notes the archives that QuickSand could not open and would pass over."""
    analyse = quicksand.analyse_openxml

    def watched(self, document, place):
        said = analyse(self, document, place)
        if said != "ok":
            unread.append(f"{place}: {said}")
        return said

    quicksand.analyse_openxml = watched


def check_archive(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.flag_bits & 1 for entry in archive.infolist()):
                raise Unsupported("the document is encrypted")


def name_of(results):
    """Names the first rule, one about an exploit before the others."""
    found = [rule["rule"] for rules in results.values() for rule in rules if rule["type"] != "structure"]
    return "QuickSand." + min(found, key=lambda rule: "exploit" not in rule)


def examine(path):
    del unread[:]
    with open(path, "rb"):
        pass
    check_archive(path)
    scan = quicksand(path, strings=False)
    scan.process()
    found = scan.results
    if found["rating"] >= 3:
        return malicious(name_of(found["results"]))
    if found["rating"] == 2:
        return suspicious(name_of(found["results"]))
    if found["type"] not in READ:
        raise Unsupported("neither a document nor a PDF")
    if unread:
        raise Unsupported(f"a part cannot be opened: {unread[0]}")
    if "pdf_malformed" in str(found["results"]):
        raise Unsupported("the PDF is damaged")
    if "/Encrypt" in str(scan.data[-4096:]) and found["type"] == "pdf":
        raise Unsupported("the PDF is encrypted")
    return undetected()


unread = []
watch()
acquit_driver.run(examine, SECONDS)
