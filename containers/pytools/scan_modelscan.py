"""modelscan over a list of files: models of machine learning that run code when loaded.

It knows a file by the extension of its name. Its own command line wraps its JSON
at eighty columns and ends with 0 when some member was skipped.
"""

import logging
import os
import tempfile
import zipfile

import acquit_driver
from acquit_driver import Unsupported, failure, malicious, suspicious, undetected
from modelscan.modelscan import ModelScan

SECONDS = 55
PROTOCOLS = tuple(bytes([0x80, version]) for version in range(2, 6))
# What these say is that the file is of no kind modelscan reads.
NOT_READ = ("SCAN_NOT_SUPPORTED", "NOT_IMPLEMENTED", "MAGIC_NUMBER", "H5_DATA", "MODEL_CONFIG", "BAD_ZIP")
# A member of an archive that is no model is nothing that was left out.
NO_MODEL = ("SCAN_NOT_SUPPORTED",)


def as_pickle(path):
    """Gives a pickle without a telling name one that modelscan knows."""
    with open(path, "rb") as file:
        is_pickle = file.read(2) in PROTOCOLS
    if not is_pickle or os.path.splitext(path)[1]:
        return path
    named = os.path.join(tempfile.mkdtemp(), "file.pkl")
    os.symlink(path, named)
    return named


def check_archive(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.flag_bits & 1 for entry in archive.infolist()):
                raise Unsupported("the archive is encrypted")


def name_of(issue):
    return f"ModelScan.{issue['module']}.{issue['operator']}" if "module" in issue else "ModelScan.Lambda"


def weigh(report):
    """Detections first, then whatever leaves doubt about the rest."""
    issues = report["issues"]
    severe = [issue for issue in issues if issue["severity"] in ("CRITICAL", "HIGH")]
    if severe:
        return malicious(name_of(severe[0]))
    if issues:
        return suspicious(name_of(issues[0]))
    errors = report["errors"]
    if errors:
        if all(error["category"] in ("NESTED_ZIP", "PICKLE_GENOPS") for error in errors):
            raise Unsupported(errors[0]["description"])
        return failure(errors[0]["description"])
    return None


def weigh_skipped(report, scanned):
    skipped = report["summary"]["skipped"]["skipped_files"]
    unread = [found for found in skipped if found["category"] not in NO_MODEL]
    if unread:
        known = all(found["category"] in NOT_READ for found in unread)
        reason = unread[0]["description"]
        if not known:
            return failure(reason)
        raise Unsupported(reason)
    if not scanned:
        raise Unsupported("no model that modelscan reads")
    return undetected()


def examine(path):
    with open(path, "rb"):
        pass
    check_archive(path)
    report = scanner.scan(as_pickle(path))
    return weigh(report) or weigh_skipped(report, report["summary"]["scanned"]["total_scanned"])


logging.disable(logging.CRITICAL)
scanner = ModelScan()
if scanner._init_errors:
    raise SystemExit("modelscan does not load all its scanners")
acquit_driver.run(examine, SECONDS)
