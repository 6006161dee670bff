"""Makes a set of YARA rules from what the public and the house publish.

The set is flat: `acquit.yar` with Acquit's own rules, one file for each rule
file of a source, `index.yar` that includes them all, and `VERSION`. The same
rules give the same bytes, so an update without news makes no new set.

Public rules come as they are: for another version of the engine, with a typing
error, in two collections at once. One bad rule must not cost the other five
thousand, so each file is compiled alone, by the engine that will scan with it,
and what does not compile is cut out rule by rule and reported by name. All
rules share one namespace, so of two rules of one name the first stays.
"""

import bisect
import hashlib
import os
import posixpath
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import acquit_archive
import acquit_update
from acquit_update import CACHE, CANDIDATE, Failed, fetch, left_out

EXTENSIONS = (".yar", ".yara", ".rule", ".rules")
# Names Acquit gives a meaning: a foreign rule of such a name could acquit a file.
OWN_PREFIX = "Acquit_"
# How long a file may take until what is left of it compiles.
FILE_SECONDS = 120
MOST_ROUNDS = 50

TOKEN = re.compile(
    r"""
    (?P<skip> \s+ | //[^\n]* | /\*.*?\*/ )
  | (?P<string> "(?:\\.|[^"\\\n])*" )
  | (?P<regex> /(?:\\.|[^/\\\n])+/ )
  | (?P<word> \w+ )
  | (?P<brace> [{}] )
  | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)


@dataclass(frozen=True)
class Problem:
    """One error of the compiler; a line only where it is in the file that is tried."""

    text: str
    line: int | None = None


@dataclass(frozen=True)
class Rule:
    name: str
    is_global: bool
    start: int
    end: int


class Unusable(Exception):
    """A file that stays out of the set; says why."""


@dataclass
class RuleFile:
    """One file of rules, and what of it is cut out."""

    name: str
    text: str
    rules: list[Rule] = field(default_factory=list)
    includes: list[str] = field(default_factory=list)
    cuts: list[tuple[int, int]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    # What it includes and the source does not have.
    missing: str | None = None

    @classmethod
    def read(cls, name, data):
        # Latin-1 gives back every byte as it was; what rules are made of is ASCII.
        file = cls(name, data.removeprefix(b"\xef\xbb\xbf").decode("latin-1"))
        file.lines = [0] + [found.end() for found in re.finditer("\n", file.text)]
        _Reader(file).read()
        return file

    def cut(self, rule):
        self.rules.remove(rule)
        self.cuts.append((rule.start, rule.end))

    def rule_at(self, line):
        """Returns the rule that has the line, counted from 1."""
        if not line or line > len(self.lines):
            return None
        start = self.lines[line - 1]
        end = self.lines[line] if line < len(self.lines) else len(self.text)
        # Of an error that is noticed behind a rule, the rule before is the cause.
        at = bisect.bisect_right([rule.start for rule in self.rules], end - 1) - 1
        if at < 0:
            return None
        rule = self.rules[at]
        return rule if rule.end > start else None

    def rendered(self):
        """Returns what is left; every line is where it was."""
        parts, at = [], 0
        for start, end in sorted(self.cuts):
            parts += [self.text[at:start], "\n" * self.text.count("\n", start, end)]
            at = end
        return ("".join(parts) + self.text[at:]).encode("latin-1")


class _Reader:
    """Finds rules and includes; whether they are right is the compiler's business."""

    def __init__(self, file):
        self.file, self.depth, self.words = file, 0, []

    def read(self):
        for found in TOKEN.finditer(self.file.text):
            kind = found.lastgroup
            if kind == "brace":
                self._brace(found)
            elif self.depth == 0 and kind == "word":
                self.words.append(found)
            elif self.depth == 0 and kind == "string":
                self._string(found)

    def _brace(self, found):
        self.depth = max(0, self.depth + (1 if found.group() == "{" else -1))
        if self.depth == 0 and self.words:
            self._rule(found.end())
            self.words = []

    def _rule(self, end):
        """What stands before the brace is `private global rule NAME : TAGS`."""
        words = [word.group() for word in self.words]
        if "rule" not in words[:-1]:
            return
        at = words.index("rule")
        first = at
        while first and words[first - 1] in ("private", "global"):
            first -= 1
        is_global = "global" in words[first:at]
        start = self.words[first].start()
        self.file.rules.append(Rule(words[at + 1], is_global, start, end))

    def _string(self, found):
        if self.words and self.words[-1].group() == "include":
            self.file.includes.append(found.group()[1:-1])
            self.file.cuts.append((self.words[-1].start(), found.end()))
        self.words = []


def is_rule_file(name):
    return name.lower().endswith(EXTENSIONS)


@dataclass
class Collection:
    """The set in the making."""

    check: Callable[[list[str], float], list[Problem]]
    # Which file has a rule.
    owners: dict[str, str] = field(default_factory=dict)
    # What is in the set, in order, with the names it has there.
    accepted: dict[str, str] = field(default_factory=dict)

    def add(self, file, before):
        """Takes what can be used of a file, or says why nothing can."""
        if not file.rules:
            if not file.includes:
                raise Unusable(self._why_empty(file))
            return
        reports = []
        if any(rule.is_global for rule in file.rules):
            raise Unusable("a global rule would restrict all other rules")
        self._cut_known(file, reports)
        self._cut_broken(file, [os.path.join(CANDIDATE, name) for name in before], reports)
        if not file.rules:
            raise Unusable(reports[0][1])
        for rule, reason in reports:
            left_out(f"{file.name} rule {rule}", reason)
        self._take(file)

    def _why_empty(self, file):
        """Tells what the compiler has against a file in which no rule can be made out."""
        with _trial() as trial:
            trial.write(file.rendered())
            trial.flush()
            problems = self.check([trial.name], FILE_SECONDS)
        return problems[0].text if problems else "it has no rules"

    def _cut_known(self, file, reports):
        seen = {}
        for rule in list(file.rules):
            owner = self.owners.get(rule.name) or seen.get(rule.name)
            if rule.name.startswith(OWN_PREFIX):
                reason = f"names with {OWN_PREFIX} are Acquit's own"
            elif owner:
                reason = f"rule {rule.name} is already in {owner}"
            else:
                seen[rule.name] = file.name
                continue
            reports.append((rule.name, reason))
            file.cut(rule)

    def _cut_broken(self, file, before, reports):
        """Compiles, cuts out what is complained of, and again, until there is no complaint."""
        end = time.monotonic() + FILE_SECONDS
        with _trial() as trial:
            for _ in range(MOST_ROUNDS):
                if not file.rules:
                    return
                trial.seek(0)
                trial.truncate()
                trial.write(file.rendered())
                trial.flush()
                problems = self.check([*before, trial.name], end - time.monotonic())
                if not problems:
                    return
                self._cut_all(file, problems, reports)
        raise Unusable("too many of its rules do not compile")

    @staticmethod
    def _cut_all(file, problems, reports):
        found = {file.rule_at(problem.line): problem.text for problem in reversed(problems)}
        found.pop(None, None)
        if not found:
            raise Unusable(problems[0].text)
        for rule, text in found.items():
            reports.append((rule.name, text))
            file.cut(rule)

    def _take(self, file):
        name = _name_in_set(file.name)
        acquit_update.put(name, file.rendered())
        self.owners.update((rule.name, file.name) for rule in file.rules)
        self.accepted[file.name] = name


def _trial():
    """Opens a file to compile; not in `/tmp`, which has little room."""
    return tempfile.NamedTemporaryFile(dir=CACHE, prefix="trial-", suffix=".yar")


def _name_in_set(name):
    """Returns a name without folders, that says where the file came from, for no other file."""
    clean = re.sub(r"[^A-Za-z0-9._-]", "_", name.replace("/", "-", 1))[-120:]
    stem = clean.rsplit(".", 1)[0] if is_rule_file(clean) else clean
    if f"{stem}.yar" != name.replace("/", "-", 1):
        stem += "-" + hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
    return f"{stem}.yar"


def _ordered(files):
    """Returns the files so that each comes after those it includes, with what it includes."""
    ordered, closure = [], {}

    def visit(name):
        if name in closure:
            return
        closure[name] = []
        for path in files[name].includes:
            target = _target(files, name, path)
            if target is None:
                files[name].missing = path
                continue
            visit(target)
            closure[name] += [*closure[target], target]
        ordered.append(name)

    for name in sorted(files):
        visit(name)
    return [(files[name], list(dict.fromkeys(closure[name]))) for name in ordered]


def _target(files, name, path):
    """Finds an included file, beside the one that includes it or from the source's top."""
    path = path.replace("\\\\", "/")
    source = name.split("/", 1)[0]
    for base in (posixpath.dirname(name), source):
        target = posixpath.normpath(posixpath.join(base, path))
        if target in files and target.split("/", 1)[0] == source:
            return target
    return None


def _read_source(source):
    """Returns the rule files of a source, by name."""
    path = source.place if source.kind == "directory" else fetch(source)
    files = {}
    for name, data in acquit_archive.files(source, path, is_rule_file):
        name = f"{source.number}/{posixpath.normpath(name)}"
        if name in files:
            left_out(name, "there is another file of that name before it")
            continue
        files[name] = RuleFile.read(name, data)
    if not files:
        raise Failed(f"{source} has no rule files ({', '.join(EXTENSIONS)})")
    return files


def _add_source(collection, source):
    before = len(collection.accepted)
    reasons = []
    files = _read_source(source)
    for file, needed in _ordered(files):
        try:
            if file.missing is not None:
                raise Unusable(f"it includes {file.missing!r}, which is not there")
            names = [collection.accepted[name] for name in needed if name in collection.accepted]
            collection.add(file, names)
        except Unusable as error:
            reasons.append(str(error))
            left_out(file.name, error)
    if len(collection.accepted) == before:
        said = f": {reasons[0]}" if reasons else ""
        raise Failed(f"no rule of {source} can be used{said}")


def _index(collection):
    lines = ["// Made by the update; the next one makes it anew.", 'include "acquit.yar"']
    lines += [f'include "{name}"' for name in collection.accepted.values()]
    return ("\n".join(lines) + "\n").encode()


def _write_index(collection):
    """Writes the index, and compiles it as the scan will."""
    acquit_update.put("index.yar", _index(collection))
    problems = collection.check([os.path.join(CANDIDATE, "index.yar")], 4 * FILE_SECONDS)
    if problems:
        raise Failed(f"the rules compile one by one, but not together: {problems[0].text}")


def _write_version(collection):
    digest = hashlib.sha256()
    names = ["acquit.yar", *collection.accepted.values(), "index.yar"]
    for name in names:
        with open(os.path.join(CANDIDATE, name), "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    counted = f"rules {len(collection.owners)} files {len(names) - 1}"
    acquit_update.put("VERSION", f"{counted} {digest.hexdigest()[:8]}\n".encode())
    return counted


def update(sources, own, check):
    """Makes the set in `/candidate` from the sources and Acquit's own rules.

    `check` compiles files as one and returns the compiler's problems.
    """
    collection = Collection(check)
    with open(own, "rb") as file:
        rules = RuleFile.read("acquit.yar", file.read())
    acquit_update.put("acquit.yar", rules.rendered())
    collection.owners.update((rule.name, rules.name) for rule in rules.rules)
    for source in sources:
        if source.kind == "mirror":
            raise Failed(f"{source} is a mirror; rules come from a url or a directory")
        _add_source(collection, source)
    _write_index(collection)
    counted = _write_version(collection)
    kept = {"acquit.yar", "index.yar", "VERSION", *collection.accepted.values()}
    acquit_update.drop_all_but(kept)
    acquit_update.tidy_cache()
    print(f"the set has {counted}")
