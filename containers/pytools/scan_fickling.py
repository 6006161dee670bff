"""fickling over a list of files: pickles, and ZIP archives that have some.

Its own command line calls whatever is no pickle unsafe; here only what can be
decoded to its end is judged, unless it is bad long before that.
"""

import io
import logging
import zipfile

import acquit_driver
from acquit_driver import Unsupported, malicious, suspicious, undetected, unsupported
from fickling.analysis import Severity, check_safety
from fickling.exception import ResourceExhaustionError
from fickling.fickle import EmptyPickleError, StackedPickle

SECONDS = 55
PROTOCOLS = tuple(bytes([0x80, version]) for version in range(2, 6))
NAMED = (".pkl", ".pickle", ".joblib", ".dill", ".dat", ".data", ".pt", ".pth", ".ckpt", ".bin")
MEMBER_BYTES = 256 << 20
# What these say is that the bytes are no pickle, or not a whole one.
ABOUT_FORM = ("InterpretationError", "InvalidOpcode")


def worst(data):
    """Returns the worst that is said of a stream of pickles, and whether it can be read to its end."""
    found, whole = None, True
    for pickled in StackedPickle.load(io.BytesIO(data), fail_on_decode_error=False):
        whole = whole and not pickled.has_invalid_opcode
        for result in check_safety(pickled).results:
            if result.analysis_name in ABOUT_FORM:
                whole = False
            elif found is None or result.severity > found.severity:
                found = result
    return found, whole


def judge(data):
    try:
        found, whole = worst(data)
    except EmptyPickleError:
        raise Unsupported("no pickle") from None
    except ResourceExhaustionError:
        return malicious("fickling.Expansion")
    # Its truth value would say that it is safe.
    severity = Severity.LIKELY_SAFE if found is None else found.severity
    if severity >= Severity.LIKELY_OVERTLY_MALICIOUS:
        return malicious(f"fickling.{found.analysis_name}")
    if not whole:
        raise Unsupported("not a pickle that can be read to its end")
    if severity > Severity.LIKELY_SAFE:
        return suspicious(f"fickling.{found.analysis_name}")
    return undetected()


def judge_archive(path):
    """The worst of the members; one that cannot be read leaves nothing clean."""
    best, seen = None, 0
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.flag_bits & 1 for entry in entries):
            raise Unsupported("the archive is encrypted")
        for entry in entries:
            if entry.file_size > MEMBER_BYTES:
                raise Unsupported(f"{entry.filename} is too large")
            data = archive.read(entry)
            if not data.startswith(PROTOCOLS) and not entry.filename.endswith((".pkl", ".pickle")):
                continue
            seen += 1
            try:
                verdict = judge(data)
            except Unsupported as error:
                verdict = unsupported(f"{entry.filename}: {error}")
            if best is None or RANK.index(verdict["verdict"]) > RANK.index(best["verdict"]):
                best = verdict
    if not seen:
        raise Unsupported("no pickle in the archive")
    return best


RANK = ("undetected", "type-unsupported", "suspicious", "malicious")


def examine(path):
    with open(path, "rb") as file:
        data = file.read()
    if zipfile.is_zipfile(io.BytesIO(data)) and not data.startswith(PROTOCOLS):
        try:
            return judge_archive(path)
        except zipfile.BadZipFile as error:
            raise Unsupported(f"no ZIP archive that can be read: {error}") from error
    if not data.startswith(PROTOCOLS) and not (path.endswith(NAMED) and b"." in data):
        raise Unsupported("neither a pickle nor a ZIP archive")
    return judge(data)


logging.disable(logging.CRITICAL)
acquit_driver.run(examine, SECONDS)
