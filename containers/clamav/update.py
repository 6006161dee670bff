"""Keeps ClamAV's databases new, with freshclam.

freshclam exits with 0 when the mirror refused it and it does not even try any
more; what it printed is judged too, and a database counts as new only where
freshclam says so of that very database. Its own notes, by which a mirror knows
who asks how often, live in the cache: a new container is no new stranger.

A mirror is a URL; the names of databases it shall be asked for may follow a
`#`, as in `https://mirror.example/clamav#main,daily`.
"""

import os
import pwd
import re
import shutil
import struct
import subprocess
import time
import urllib.parse
from subprocess import PIPE, STDOUT

import acquit_archive
import acquit_update
from acquit_update import CACHE, CANDIDATE, Failed, Source

OFFICIAL = "database.clamav.net"
DATABASES = ("main", "daily", "bytecode")
SIGNED = (".cvd", ".cld", ".cud")
OWN_FORMATS = (
    ".cat .cbc .cdb .cfg .crb .crtdb .fp .ftm .gdb .hdb .hdu .hsb .hsu .idb .ign .ign2 .imp .info "
    ".ldb .ldu .mdb .mdu .msb .msu .ndb .ndu .pdb .pwdb .sfp .wdb .yar .yara"
).split()
STATE = "freshclam.dat"
# What freshclam itself takes for granted after a mirror has refused it.
REFUSED_SECONDS = 24 * 3600
# Its notes: a name, a version, a UUID, and a time.
RETRY_AFTER = struct.Struct("<13s4x37x7xq")
REFUSED = re.compile(r"error code (?:429|403)|cool-down|[Rr]ate limit", re.ASCII)
FRESH = re.compile(r"^(\S+) (?:updated|database is up-to-date|is up-to-date)\b", re.MULTILINE)
NOT_THERE = re.compile(r"file not found: \S+\.cvd$", re.MULTILINE)
OLDER = re.compile(r"Received an older (\S+) CVD than was advertised")
CONFIG = "/tmp/freshclam.conf"
SETTINGS = (
    # The canary tests them, and it has the memory for it.
    "TestDatabases no",
    "ScriptedUpdates yes",
    "CompressLocalDatabase no",
    "MaxAttempts 1",
    "ConnectTimeout 30",
    "ReceiveTimeout 300",
)


class NotThere(Failed):
    """The mirror has not what the official one has."""


def is_database(name):
    return name.lower().endswith((*SIGNED, *OWN_FORMATS)) and not name.startswith(".")


# --- freshclam ----------------------------------------------------------------


def from_mirror(source):
    """Asks a mirror for its databases; returns the names of their files."""
    url, _, names = source.place.partition("#")
    wanted = [name for name in names.split(",") if name] or list(DATABASES)
    if bad := [name for name in wanted if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name)]:
        raise Failed(f"{bad[0]!r} is no name of a database")
    choice = [f"ExcludeDatabase {name}" for name in DATABASES if name not in wanted]
    choice += [f"ExtraDatabase {name}" for name in wanted if name not in DATABASES]
    if acquit_update.host_of(url) == OFFICIAL:
        printed = freshclam(url, [f"DatabaseMirror {OFFICIAL}", *choice])
    else:
        printed = from_private(url.rstrip("/"), choice)
    said = fresh(printed)
    for name in wanted:
        if name not in said or not present(f"{name}{ending}" for ending in SIGNED):
            raise Failed(f"freshclam does not say that {name} is as new as on {source}")
    return {f"{name}{ending}" for name in wanted for ending in SIGNED}


def from_private(url, choice):
    """Asks a mirror that serves what the official one does, or else another freshclam's files."""
    try:
        return freshclam(url, [f"DatabaseMirror {url}", *choice])
    except NotThere:
        return freshclam(url, [f"PrivateMirror {url}", *choice])


def from_url(source):
    """Fetches one database file; freshclam does it unless a digest or a signature is to be checked."""
    name = os.path.basename(urllib.parse.urlsplit(source.place).path)
    check_name(name, source)
    if source.sha256 or source.minisign:
        path = acquit_update.fetch(source)
    else:
        path = from_custom_url(source.place, name)
    try:
        verify(name, path)
    except Failed:
        # What was spoilt on its way must not be taken for known the next time.
        os.remove(path)
        raise
    take(name, path)
    return {name}


def from_custom_url(url, name):
    """Lets freshclam fetch a file into the cache: in the candidate it would remove all others."""
    kept = acquit_update.Kept(url)
    directory = os.path.join(kept.dir, "freshclam")
    os.makedirs(directory, exist_ok=True)
    os.utime(kept.dir)
    lines = [f"DatabaseMirror {OFFICIAL}", f"DatabaseCustomURL {url}"]
    lines += [f"ExcludeDatabase {database}" for database in DATABASES]
    printed = freshclam(url, lines, directory)
    path = os.path.join(directory, name)
    if name.split(".")[0] not in fresh(printed) or not os.path.isfile(path):
        raise Failed(f"freshclam does not say that {name} is as new as on {acquit_update.shown(url)}")
    return path


def fresh(printed):
    """Returns the databases of which freshclam says that they are new, or as new as can be."""
    return {os.path.basename(name).split(".")[0] for name in FRESH.findall(printed)}


def freshclam(url, lines, directory=CANDIDATE):
    """Runs freshclam once and returns what it printed."""
    host = acquit_update.host_of(url)
    acquit_update.check_pause(host)
    owner = pwd.getpwuid(os.getuid()).pw_name
    common = [f"DatabaseDirectory {directory}", f"DatabaseOwner {owner}", *SETTINGS]
    with open(CONFIG, "w", encoding="utf-8") as file:
        file.write("\n".join([*common, *lines]) + "\n")
    command = ["freshclam", f"--config-file={CONFIG}", "--stdout"]
    # Only the official mirror tells by DNS what there is.
    command += [] if host == OFFICIAL else ["--no-dns"]
    state = os.path.join(CACHE, f"freshclam-{host}.dat")
    move(state, os.path.join(directory, STATE))
    try:
        done = heard(command)
    finally:
        move(os.path.join(directory, STATE), state)
    judge(host, done, blocked_until(state))
    return done.stdout


def heard(command):
    """Runs a command and passes on its lines as they come, for those who watch."""
    lines = []
    with subprocess.Popen(command, stdout=PIPE, stderr=STDOUT, text=True, errors="replace") as running:
        for line in running.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    return subprocess.CompletedProcess(command, running.returncode, "".join(lines))


def move(old, new):
    """Moves a file between two file systems, so that it is there as a whole or not at all."""
    if os.path.isfile(old):
        shutil.copyfile(old, f"{new}.part")
        os.replace(f"{new}.part", new)
        os.remove(old)


def blocked_until(state):
    """Returns the time before which freshclam will not ask again, from its own notes."""
    try:
        with open(state, "rb") as file:
            notes = file.read(RETRY_AFTER.size)
        magic, until = RETRY_AFTER.unpack(notes)
    except (OSError, struct.error):
        return 0
    return until if magic == b"FreshClamData" else 0


def judge(host, done, until):
    if until <= time.time() and REFUSED.search(done.stdout):
        until = time.time() + REFUSED_SECONDS
    if until > time.time():
        raise Failed(f"{host} refuses freshclam; it is left alone until {acquit_update.pause(host, until)}")
    if NOT_THERE.search(done.stdout):
        raise NotThere(f"{host} does not have all databases")
    if older := OLDER.search(done.stdout):
        raise Failed(f"{host} has an older {older[1]} than it advertises")
    if done.returncode != 0:
        # An error that freshclam has got over, as of a patch, is none.
        errors = [line for line in done.stdout.splitlines() if line.startswith("ERROR: ")]
        said = errors[0].removeprefix("ERROR: ") if errors else "it does not say why"
        raise Failed(f"freshclam ends with {done.returncode}: {said}")


# --- files --------------------------------------------------------------------


def from_directory(source):
    """Takes the databases of a directory, as cvdupdate leaves them."""
    limits = acquit_archive.Limits(source)
    names = set()
    for entry in sorted(os.scandir(source.place), key=lambda entry: entry.name):
        limits.member(0)
        if not is_database(entry.name):
            continue
        if not entry.is_file(follow_symlinks=False):
            acquit_update.left_out(entry.name, "it is no regular file")
            continue
        check_name(entry.name, source)
        verify(entry.name, entry.path)
        take(entry.name, entry.path)
        names.add(entry.name)
    if not names:
        raise Failed(f"{source} has no database of ClamAV")
    return names


def check_name(name, source):
    if not is_database(name) or not re.fullmatch(r"[A-Za-z0-9._-]{1,120}", name):
        raise Failed(f"{name!r} of {source} is no name of a database of ClamAV")
    if name.startswith("acquit."):
        raise Failed(f"{name} of {source} has the name of one of Acquit's own")


def take(name, path):
    """Copies a file into the candidate, unless it is there already just so."""
    to = os.path.join(CANDIDATE, name)
    if os.path.isfile(to) and acquit_update.digest_of(to) == acquit_update.digest_of(path):
        return
    shutil.copyfile(path, f"{to}.part")
    os.replace(f"{to}.part", to)
    # Of an older form of the same database, only one may stay.
    stem, ending = os.path.splitext(name)
    for other in SIGNED:
        if ending in SIGNED and other != ending and os.path.exists(os.path.join(CANDIDATE, stem + other)):
            os.remove(os.path.join(CANDIDATE, stem + other))


def verify(name, path):
    """Checks the vendor's signature, or loads what has none."""
    if name.endswith((".cvd", ".cud", ".cld")):
        command = ["sigtool", f"--info={path}", "--tempdir=/tmp"]
        proof = "Verification OK." if name.endswith(".cvd") else "Version: "
    else:
        # It loads before it scans, whatever it scans.
        command = ["clamscan", f"--database={path}", "--no-summary", __file__]
        proof = f"{__file__}: "
    done = subprocess.run(command, capture_output=True, check=False, text=True, errors="replace")
    if done.returncode not in (0, 1) or proof not in done.stdout:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        said = re.sub(r"^(LibClamAV Error|ERROR): ", "", lines[0]).replace(f"{os.path.dirname(path)}/", "")
        raise Failed(f"{name} is no database that ClamAV takes: {said}")


def present(names):
    return any(os.path.isfile(os.path.join(CANDIDATE, name)) for name in names)


def update(sources: list[Source]):
    ways = {"mirror": from_mirror, "url": from_url, "directory": from_directory}
    kept = set()
    for source in sources:
        kept |= ways[source.kind](source)
    # From here on the canary's EICAR shall speak for the vendor's database.
    if not present(name + ending for name in ("main", "daily") for ending in SIGNED if name + ending in kept):
        kept |= {name for name in os.listdir(CANDIDATE) if name.startswith("acquit.")}
    acquit_update.drop_all_but(kept)
    acquit_update.tidy_cache()


acquit_update.run(update)
