"""Reads the files of a source, be it one file, an archive or a directory.

Nothing is unpacked to disk and no link is followed: a member is read into
memory, under the limits below, and what becomes of its name is the caller's.
An archive that would write outside or make devices is refused as a whole;
whoever packed it wanted something else than to give rules.
"""

import lzma
import os
import stat
import tarfile
import zipfile
import zlib

from acquit_update import Failed, left_out

MOST_MEMBERS = 100_000
MOST_BYTES = 64 << 20
MOST_TOTAL_BYTES = 256 << 20
# What members may have that are not even looked at: it must be read all the same.
MOST_PACKED_BYTES = 4 << 30

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0")
BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


class Limits:
    """Counts what a source has."""

    def __init__(self, source):
        self.source, self.members, self.packed, self.total = source, 0, 0, 0

    def member(self, size):
        self.members, self.packed = self.members + 1, self.packed + size
        if self.members > MOST_MEMBERS:
            raise Failed(f"{self.source} has more than {MOST_MEMBERS} files")
        if self.packed > MOST_PACKED_BYTES:
            raise Failed(f"{self.source} unpacks to more than {MOST_PACKED_BYTES >> 20} MiB")

    def read(self, file, name):
        data = file.read(MOST_BYTES + 1)
        self.total += len(data)
        if len(data) > MOST_BYTES:
            raise Failed(f"{name} in {self.source} has more than {MOST_BYTES >> 20} MiB")
        if self.total > MOST_TOTAL_BYTES:
            raise Failed(f"the files of {self.source} have more than {MOST_TOTAL_BYTES >> 20} MiB")
        return data


def files(source, path, wanted):
    """Yields name and content of the files of a source whose name is wanted.

    A single file is always wanted: somebody named it.
    """
    limits = Limits(source)
    if source.kind == "directory":
        yield from _of_directory(path, wanted, limits)
        return
    with open(path, "rb") as file:
        head = file.read(512)
    try:
        if head.startswith(b"PK\x03\x04"):
            yield from _of_zip(path, wanted, limits)
        elif head.startswith(COMPRESSED) or head[257:262] == b"ustar":
            yield from _of_tar(path, wanted, limits)
        else:
            with open(path, "rb") as file:
                yield os.path.basename(str(source)), limits.read(file, str(source))
    except BROKEN as error:
        raise Failed(f"{source} is no archive that can be read: {error}") from None


def _check_name(name, source):
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or "\0" in name or parts[0].endswith(":"):
        raise Failed(f"{source} is refused: it has a file named {name!r}")


def _of_zip(path, wanted, limits):
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            limits.member(member.file_size)
            _check_name(member.filename, limits.source)
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
                raise Failed(f"{limits.source} is refused: {member.filename!r} is a device")
            if member.is_dir() or not wanted(member.filename):
                continue
            if stat.S_ISLNK(mode):
                left_out(member.filename, "it is a link")
                continue
            with archive.open(member) as file:
                yield member.filename, limits.read(file, member.filename)


def _of_tar(path, wanted, limits):
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            limits.member(member.size)
            _check_name(member.name, limits.source)
            if member.isdev():
                raise Failed(f"{limits.source} is refused: {member.name!r} is a device")
            if member.isdir() or not wanted(member.name):
                continue
            if not member.isreg():
                left_out(member.name, "it is a link")
                continue
            yield member.name, limits.read(archive.extractfile(member), member.name)


def _of_directory(path, wanted, limits):
    for root, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            full = os.path.join(root, name)
            relative = os.path.relpath(full, path)
            limits.member(0)
            if not wanted(name):
                continue
            try:
                # Neither a link nor a pipe that would keep the update waiting.
                handle = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError as error:
                left_out(relative, "it is a link" if os.path.islink(full) else error.strerror)
                continue
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    left_out(relative, "it is no regular file")
                    continue
                yield relative, limits.read(file, relative)
