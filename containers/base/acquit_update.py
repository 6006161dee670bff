"""What the update commands of Acquit's engines share: sources and how they are fetched.

An update command finds its sources in `ACQUIT_SOURCES`, the set in service in
`/candidate` and what it kept last time in `/cache`. A mirror is a guest-house:
whoever asks too often is sent away. So everything fetched is kept, the next
time only its change is asked for, and a mirror that says "wait" is not asked
again before that time, in whatever container.

Nothing enters the cache before it is complete, and of the right digest and
signature if the source names them; both are checked again at each use.
"""

import calendar
import contextlib
import email.utils
import hashlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass

CANDIDATE = "/candidate"
CACHE = "/cache"

MOST_BYTES = 1 << 30
MOST_SIGNATURE_BYTES = 16 << 10
# A server that says nothing for so long is down.
SILENCE_SECONDS = 30
# A server slower than this much in that time is no better than one that is down.
SLOW_SECONDS, SLOW_BYTES = 20, 20 << 10
# How long a mirror is left alone that says "too many requests" and not for how long.
PAUSE_SECONDS = 3600
LONGEST_PAUSE_SECONDS = 24 * 3600
# What the cache keeps of a URL's former content, and of a URL that no source names any more.
LEFT_SECONDS = 24 * 3600
KEEP_SECONDS = 30 * 24 * 3600
TEXT_LIMIT = 300


class Failed(Exception):
    """The candidate cannot be made; says why in one sentence."""


@dataclass(frozen=True)
class Source:
    """One entry of the list of sources; `kind` is mirror, url or directory."""

    number: int
    kind: str
    place: str
    sha256: str | None = None
    minisign: str | None = None

    def __str__(self):
        return shown(self.place)


def run(update):
    """Calls `update` with the sources; the last line of stderr says why it failed."""
    # The daemon's end of an update shall not leave half a file.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        update(sources())
    except Failed as error:
        _die(str(error))
    except OSError as error:
        _die(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    except Exception as error:
        _die(f"{type(error).__name__}: {error}")


def _die(reason):
    sys.stdout.flush()
    print(one_line(reason), file=sys.stderr)
    sys.exit(1)


def one_line(text):
    printable = "".join(c if c.isprintable() else " " for c in str(text))
    return " ".join(printable.split())[:TEXT_LIMIT]


def say(text):
    """Tells those who watch what is being done."""
    print(one_line(text), flush=True)


def left_out(name, reason):
    # The first colon ends the name.
    print(f"left out {one_line(name).replace(':', '_')}: {one_line(reason)}")


def shown(url):
    """Returns a URL without what may be a secret."""
    return url.split("?", 1)[0].split("#", 1)[0]


def sources():
    listed = json.loads(os.environ.get("ACQUIT_SOURCES") or "[]")
    found = []
    for number, entry in enumerate(listed):
        kind = next(kind for kind in ("mirror", "url", "directory") if entry.get(kind))
        sha256 = (entry.get("sha256") or "").lower() or None
        found.append(Source(number, kind, entry[kind], sha256, entry.get("minisign")))
    return found


# --- the cache ----------------------------------------------------------------


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _key(text):
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def write_whole(path, data):
    """Writes a file that is there as a whole or not at all."""
    part = f"{path}.part"
    with open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


class Kept:
    """What the cache has of one URL."""

    def __init__(self, url):
        self.url = url
        self.dir = os.path.join(CACHE, _key(url))
        self.about = self._read()

    def _read(self):
        try:
            with open(os.path.join(self.dir, "about.json"), encoding="utf-8") as file:
                about = json.load(file)
            path = os.path.join(self.dir, about["sha256"])
            return about if digest_of(path) == about["sha256"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def path(self):
        return self.about and os.path.join(self.dir, self.about["sha256"])

    def conditions(self):
        if not self.about:
            return {}
        asked = {
            "If-None-Match": self.about.get("etag"),
            "If-Modified-Since": self.about.get("last_modified"),
        }
        return {name: value for name, value in asked.items() if value}

    def part(self):
        """Opens a new file; engines that share a cache may ask for a URL at the same time."""
        os.makedirs(self.dir, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=self.dir, suffix=".part")
        return path, os.fdopen(handle, "wb")

    def keep(self, got):
        """Puts what was fetched in the place of what was there."""
        os.replace(got.path, os.path.join(self.dir, got.sha256))
        self.about = {
            "url": shown(self.url),
            "sha256": got.sha256,
            "etag": got.etag,
            "last_modified": got.last_modified,
        }
        write_whole(os.path.join(self.dir, "about.json"), json.dumps(self.about).encode())

    def used(self):
        """Notes that a source names the URL, and removes what nobody reads any more."""
        os.utime(self.dir)
        for entry in os.scandir(self.dir):
            current = entry.name in (self.about["sha256"], "about.json")
            if not current and entry.stat().st_mtime < time.time() - LEFT_SECONDS:
                os.remove(entry.path)


def tidy_cache():
    """Removes what was not used for long, and what an update left that was ended."""
    for entry in os.scandir(CACHE):
        age = time.time() - entry.stat(follow_symlinks=False).st_mtime
        if re.fullmatch(r"[0-9a-f]{32}", entry.name) and age > KEEP_SECONDS:
            shutil.rmtree(entry.path, ignore_errors=True)
        elif entry.name.startswith(("trial-", "wait-")) and age > LEFT_SECONDS:
            os.remove(entry.path)


# --- mirrors that want to be left alone ---------------------------------------


def _pause_path(host):
    return os.path.join(CACHE, f"wait-{_key(host)}")


def check_pause(host):
    """Fails without asking, if the host said to wait and the time is not over."""
    try:
        with open(_pause_path(host), encoding="ascii") as file:
            until = float(file.read())
    except (OSError, ValueError):
        return
    # A clock that was set back must not make the pause endless.
    if time.time() < until <= time.time() + LONGEST_PAUSE_SECONDS:
        raise Failed(f"{host} asked to be left alone until {utc(until)}; it was not asked again")


def pause(host, until):
    until = min(until, time.time() + LONGEST_PAUSE_SECONDS)
    write_whole(_pause_path(host), str(int(until)).encode())
    return utc(until)


def utc(seconds):
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def host_of(url):
    return urllib.parse.urlsplit(url).netloc


def _retry_after(value):
    """Returns the time a `Retry-After` means, or none."""
    if not value:
        return None
    if value.strip().isdigit():
        return time.time() + int(value)
    parsed = email.utils.parsedate(value)
    return calendar.timegm(parsed) if parsed else None


# --- fetching -----------------------------------------------------------------


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise Failed(f"{shown(req.full_url)} leads from https to {shown(newurl)}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener():
    """HTTP and HTTPS through the proxy of the environment, and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener


@dataclass
class Got:
    """One answer with a body, complete, not yet in the cache."""

    path: str
    sha256: str
    etag: str | None
    last_modified: str | None


def _ask(kept, most):
    """Asks for a URL; returns nothing if what is kept is still what the server has."""
    if "@" in host_of(kept.url):
        raise Failed("a URL with a user's name in it is not supported")
    check_pause(host_of(kept.url))
    headers = {"User-Agent": "acquit-update", "Accept-Encoding": "identity"}
    request = urllib.request.Request(kept.url, headers=headers | kept.conditions())
    say(f"asking for {shown(kept.url)}")
    try:
        with _opener().open(request, timeout=SILENCE_SECONDS) as answer:
            got = _receive(answer, kept, most)
            say(f"{os.path.getsize(got.path)} bytes came")
            return got
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 304 and kept.about:
                say("it is as it was")
                return None
            raise _refusal(kept.url, error) from None
    except urllib.error.URLError as error:
        raise Failed(f"{shown(kept.url)} cannot be fetched: {error.reason}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise Failed(f"{shown(kept.url)} cannot be fetched: {reason}") from None


def _refusal(url, error):
    said = f"{shown(url)}: the server answers {error.code} {error.reason}"
    until = _retry_after(error.headers.get("Retry-After"))
    if error.code == 429 and until is None:
        until = time.time() + PAUSE_SECONDS
    if error.code in (429, 503) and until is not None:
        said += f" and asks to be left alone until {pause(host_of(url), until)}"
    return Failed(said)


def _receive(answer, kept, most):
    length = answer.headers.get("Content-Length")
    length = int(length) if length and length.isdigit() else None
    if length is not None and length > most:
        raise Failed(f"{shown(kept.url)} has {length} bytes; {most} are the most that is taken")
    path, part = kept.part()
    try:
        with part:
            sha256, size = _copy(answer, part, most, _Pace(kept.url))
        if length is not None and size != length:
            raise Failed(f"{shown(kept.url)} is cut off: {size} of {length} bytes came")
    except BaseException:
        os.remove(path)
        raise
    header = answer.headers.get
    return Got(path, sha256, header("ETag"), header("Last-Modified"))


def _copy(answer, part, most, pace):
    digest, size = hashlib.sha256(), 0
    while block := answer.read1(1 << 16):
        size += len(block)
        if size > most:
            raise Failed(f"{shown(pace.url)} has more than {most} bytes")
        pace.check(len(block))
        digest.update(block)
        part.write(block)
    part.flush()
    os.fsync(part.fileno())
    return digest.hexdigest(), size


class _Pace:
    """Gives up on a server that sends, but not in this life."""

    def __init__(self, url):
        self.url, self.since, self.bytes = url, time.monotonic(), 0

    def check(self, size):
        self.bytes += size
        if time.monotonic() - self.since < SLOW_SECONDS:
            return
        if self.bytes < SLOW_BYTES:
            raise Failed(f"{shown(self.url)} is too slow: {self.bytes} bytes in {SLOW_SECONDS} s")
        self.since, self.bytes = time.monotonic(), 0


def fetch(source, most=MOST_BYTES):
    """Returns the path, in the cache, of what a URL gives now, checked."""
    kept = Kept(source.place)
    # What is pinned by its digest and here needs no word of the server.
    pinned = kept.about and source.sha256 == kept.about["sha256"]
    got = None if pinned else _ask(kept, most)
    _check_digest(source, got.sha256 if got else kept.about["sha256"])
    if source.minisign:
        _check_signature(source, got.path if got else kept.path)
    if got:
        kept.keep(got)
    kept.used()
    return kept.path


def _check_digest(source, seen):
    if source.sha256 and seen != source.sha256:
        raise Failed(f"{source} has the SHA-256 {seen}, not {source.sha256} as configured")


def _check_signature(source, path):
    """Checks the minisign signature at `<url>.minisig`, new or kept."""
    parts = urllib.parse.urlsplit(source.place)
    signature = Kept(urllib.parse.urlunsplit(parts._replace(path=parts.path + ".minisig")))
    got = _ask(signature, MOST_SIGNATURE_BYTES)
    at = got.path if got else signature.path
    command = ["minisign", "-V", "-q", "-P", source.minisign, "-m", path, "-x", at]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        said = one_line(done.stderr or done.stdout or "no reason given")
        raise Failed(f"the signature of {source} is not right: {said}")
    if got:
        signature.keep(got)
    signature.used()


# --- the candidate ------------------------------------------------------------


def put(name, data):
    """Writes a file of the candidate, unless it is there already just so."""
    path = os.path.join(CANDIDATE, name)
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if not os.path.islink(path) and file.read(len(data) + 1) == data:
            return
    write_whole(path, data)


def drop_all_but(names):
    """Removes from the candidate whatever is not named; it has no directories."""
    for entry in os.scandir(CANDIDATE):
        if entry.name in names:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.remove(entry.path)
