"""pev over a list of files: packed or protected programs for Windows.

pescan and pepack describe a file and judge nothing. Packed is suspicious, and so
is code that runs before the entry point together with another oddity. Neither
notices that a file is cut off.
"""

import json
import re
import struct
import subprocess

import acquit_driver
from acquit_driver import Unsupported, failure, suspicious, undetected

SECONDS = 55
PACKERS = re.compile(
    r"\b(upx|aspack|asprotect|armadillo|execryptor|fsg|mew|mpress|nspack|obsidium|pecompact|pelock"
    r"|petite|themida|vmprotect|winlicense|yoda|packer|protector|crypter)",
    re.IGNORECASE,
)
HEADERS = 4096


def check_whole(path):
    """Says what is no program, or not all of one."""
    with open(path, "rb") as file:
        head = file.read(HEADERS)
        size = file.seek(0, 2)
    if not head.startswith(b"MZ") or len(head) < 0x40:
        raise Unsupported("no program for Windows")
    at = struct.unpack_from("<I", head, 0x3C)[0]
    if head[at : at + 4] != b"PE\0\0":
        raise Unsupported("no program for Windows")
    try:
        count, options = struct.unpack_from("<H", head, at + 6)[0], struct.unpack_from("<H", head, at + 20)[0]
        tables = (at + 24 + options + 40 * index for index in range(count))
        ends = [sum(struct.unpack_from("<II", head, table + 16)) for table in tables]
    except struct.error:
        raise Unsupported("a program whose headers cannot be read") from None
    if any(end > size for end in ends):
        raise Unsupported("the program is cut off")


def ask(tool, path):
    done = subprocess.run(
        [tool, "-f", "json", path], capture_output=True, timeout=SECONDS, check=False, encoding="latin-1"
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise RuntimeError(f"{tool} ends with {done.returncode}: {said}")
    return json.loads(done.stdout)


def judge(about, packer):
    """Returns the name of the worst thing, or nothing."""
    if packer != "no packer found" and PACKERS.search(packer):
        return f"pev.Packer.{re.sub(r'[^0-9A-Za-z.]+', '-', packer).strip('-')}"
    if "packed" in about["file entropy"]:
        return "pev.Packed"
    if about["fpu anti-disassembly"] == "yes":
        return "pev.AntiDisassembly"
    odd = [key for key in ("entrypoint", "imagebase", "timestamp") if not about[key].startswith("normal")]
    if "function" in about["TLS directory"] and "no function" not in about["TLS directory"] and odd:
        return "pev.CodeBeforeEntry"
    return "pev.FakeEntryPoint" if "fake" in about["entrypoint"] else None


def examine(path):
    check_whole(path)
    about, packer = ask("pescan", path), ask("pepack", path)
    if not about.get("sections"):
        return failure("pescan names no section")
    name = judge(about, packer["packer"])
    return suspicious(name) if name else undetected()


acquit_driver.run(examine, SECONDS + 3)
