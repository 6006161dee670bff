"""GuardDog over a list of packages from PyPI and npm, by their source code.

Its rules about metadata ask the network, so they are left out. It knows an
archive by the extension of its name.
"""

import logging
import os
import tempfile
import zipfile

import acquit_driver
from acquit_driver import Unsupported, failure, malicious, suspicious, undetected
from guarddog.analyzer.analyzer import Analyzer
from guarddog.ecosystems import ECOSYSTEM
from guarddog.scanners.scanner import PackageScanner
from guarddog.utils.archives import is_supported_archive, safe_extract

SECONDS = 110
PYTHON = ("setup.py", "pyproject.toml", "PKG-INFO", "METADATA")
NODE = ("package.json",)


def ecosystem_of(folder):
    """Tells what kind of package was unpacked, by the files near its top."""
    top = set()
    for root, folders, files in os.walk(folder):
        top.update(files)
        if os.path.relpath(root, folder).count(os.sep) >= 1:
            del folders[:]
    if top.intersection(PYTHON):
        return ECOSYSTEM.PYPI
    if top.intersection(NODE):
        return ECOSYSTEM.NPM
    raise Unsupported("no package of Python or Node.js")


def unpack(path, folder):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.flag_bits & 1 for entry in archive.infolist()):
                raise Unsupported("the archive is encrypted")
    try:
        safe_extract(path, folder)
    except ValueError as error:
        raise Unsupported(f"the archive is not unpacked: {error}") from error


def weigh(result):
    score = result["risk_score"]
    label = getattr(score["label"], "value", score["label"])
    risks = result["risks"]
    if result.get("errors"):
        return failure(str(result["errors"]))
    if label in ("high_risk", "suspicious") and risks:
        worst = max(risks, key=lambda risk: ("low", "medium", "high").index(risk["severity"]))
        name = f"GuardDog.{worst['threat_rule']}"
        return malicious(name) if label == "high_risk" else suspicious(name)
    if label in ("no_risks_detected", "low"):
        return undetected()
    return failure(f"GuardDog's label {label!r} is not known")


def examine(path):
    if not is_supported_archive(path):
        raise Unsupported("no package archive")
    with tempfile.TemporaryDirectory() as folder:
        unpack(path, folder)
        ecosystem = ecosystem_of(folder)
        if ecosystem not in scanners:
            scanners[ecosystem] = SourceScanner(Analyzer(ecosystem))
        return weigh(scanners[ecosystem].scan_local(folder))


class SourceScanner(PackageScanner):
    """GuardDog's scanner without the part that downloads."""

    def download_and_get_package_info(self, directory, package_name, version=None):
        raise NotImplementedError


scanners = {}
logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
