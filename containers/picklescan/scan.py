"""picklescan over a list of files: pickles, and archives that may hold some.

picklescan only logs a member that it could not read and goes on; here that is
no clean answer.
"""

import logging
import zipfile

import acquit_driver
from acquit_driver import Unsupported, failure, malicious, undetected
from picklescan import scanner

SECONDS = 55
PROTOCOLS = tuple(bytes([0x80, version]) for version in range(2, 6))
NAMED = (".pkl", ".pickle", ".joblib", ".dill", ".dat", ".data", ".pt", ".pth", ".ckpt", ".bin")


class Complaints(logging.Handler):
    """What picklescan would only have logged."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def is_pickle(path, head):
    return head.startswith(PROTOCOLS) or (path.endswith(NAMED) and b"." in head)


def check_archive(path):
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.flag_bits & 1 for entry in archive.infolist()):
                raise Unsupported("the archive is encrypted")
    except zipfile.BadZipFile as error:
        raise Unsupported(f"no ZIP archive that can be read: {error}") from error


def verdict_of(result, complaints):
    dangerous = [
        found for found in result.globals if found.safety is scanner.SafetyLevel.Dangerous
    ]
    if dangerous:
        names = sorted(f"{found.module}.{found.name}" for found in dangerous)
        return malicious(f"Pickle.Dangerous-Import.{names[0]}")
    if any("Invalid file" in text for text in complaints):
        return failure(complaints[0])
    if result.scan_err:
        return failure("the pickle cannot be read to its end")
    if result.scanned_files == 0:
        raise Unsupported("no pickle in the archive")
    if any("could not parse" in text for text in complaints):
        raise Unsupported("not a pickle that can be read")
    return undetected()


def examine(path):
    with open(path, "rb") as file:
        head = file.read(4096)
        file.seek(0)
        is_zip = zipfile.is_zipfile(file)
    if head.startswith(b"\x93NUMPY"):
        raise Unsupported("NumPy arrays are not read")
    if is_zip:
        check_archive(path)
    elif not is_pickle(path, head):
        raise Unsupported("neither a pickle nor a ZIP archive")
    del complaints.texts[:]
    try:
        with open(path, "rb") as file:
            result = scanner.scan_bytes(file, path)
    except ModuleNotFoundError:
        raise Unsupported("an archive of NumPy arrays or a 7z archive") from None
    return verdict_of(result, complaints.texts)


complaints = Complaints()
log = logging.getLogger("picklescan")
log.handlers = [complaints]
log.propagate = False
log.setLevel(logging.WARNING)
acquit_driver.run(examine, SECONDS)
