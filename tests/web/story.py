#!/usr/bin/env python3
"""The story of the product, told by pages only: from an empty appliance to a solved false positive.

    story.py --dir DIRECTORY [--port 8441] [--shots DIRECTORY]

An administrator, a publisher and a vendor sit at browsers of their own. Nothing is asked of the
API, except to learn what a page must say. Ends with 1 where the story stops.
"""

import argparse
import contextlib
import hashlib
import re
import signal
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import samples  # noqa: E402
from lab import Wrong, lab  # noqa: E402
from person import Person  # noqa: E402
from stage import ROOT, Stage  # noqa: E402

ENGINES = ("yara", "clamav", "pdfid")
PASSWORD = "a-long-password"
# What the list says of a file that each engine has looked at.
ALL_SILENT = f"Undetected · {len(ENGINES)} of {len(ENGINES)}"
# The same of a program: PDFiD does not look into those.
PROGRAM_SILENT = f"Undetected · {len(ENGINES) - 1} of {len(ENGINES)}"
OWN_WORDS = "Dear House Rules,\n\nthis program is ours, built in our own house."
OURS = samples.elf("a program made in our own house, number 4711")
SECRET = samples.elf("not announced, number 4711")
FLAGS_OURS = 'rule False_Positive { strings: $a = "number 4711" condition: $a }\n'


def rules(edition, more=""):
    return f'rule V{edition} {{ strings: $a = "house rules, edition {edition}" condition: $a }}\n{more}'


class Story:
    """The chapters, in order; each begins where the one before ended."""

    def __init__(self, stage, browser, people):
        self.stage, self.lab = stage, browser
        self.ada, self.paula, self.hanna = people
        self.api, self.incident, self.faults = stage.client(stage.appliance.key), None, []

    def tell(self):
        """Ends the program where pages were wrong on the way."""
        for chapter in (self.first_run, self.collection_is_filled, self.keyboard, self.false_positive_comes,
                        self.dispute_is_sent, self.vendor_answers, self.it_is_solved, self.password_is_changed):
            began = time.monotonic()
            try:
                chapter()
            except Exception:
                for person in (self.ada, self.paula, self.hanna):
                    print(f"{person.name} was at {person.page.url}: {person.visit.wrong}: {person.visit.text()[:6000]}", file=sys.stderr)
                    if self.lab.out:
                        self.lab.shoot(person.visit, f"stopped-{person.name}")
                raise
            print(f"{chapter.__name__}: {time.monotonic() - began:.1f} s", flush=True)
        if self.faults:
            raise SystemExit("\n".join(self.faults))

    def chapter_ends(self, *people):
        """Takes down what is wrong with the pages that people are at; the story goes on."""
        for person in people:
            try:
                person.looks()
            except Wrong as wrong:
                self.faults.append(str(wrong))
            if self.lab.out:
                self.lab.shoot(person.visit, f"{person.name}-{time.monotonic_ns()}")

    # --- the chapters ---------------------------------------------------------

    def first_run(self):
        """An empty appliance leads to its first person and publisher; others are added to them."""
        ada = self.ada
        ada.go("/")
        ada.sees("Sign in")
        ada.sign_in(key=self.stage.appliance.key)
        ada.is_at("/welcome")
        self.chapter_ends(ada)
        ada.send("/welcome/person", name="Ada", password=PASSWORD)
        ada.sees("Ada can sign in")
        ada.send("/welcome/publisher", name="Acme", email="release@acme.test")
        ada.sees("The publisher Acme is made")
        self.chapter_ends(ada)
        self.seats_are_given()
        self.api.completed(self.api.put("/plans/secret.bin", SECRET, "secretive")[1])

    def seats_are_given(self):
        """What vendors may have, another publisher, a vendor, and who speaks for them."""
        ada = self.ada
        ada.go("/admin/publishers/acme")
        ada.send("/admin/publishers/acme", policy="file")
        ada.sees("The file")
        ada.go("/admin/publishers")
        ada.send("/admin/publishers", name="Secretive", id="secretive", policy="never")
        ada.sees("Secretive")
        ada.go("/admin/vendors")
        ada.send("/admin/vendors", name="House Rules", id="house-rules", emails="fp@rules.test", engines="yara")
        ada.sees("House Rules")
        for user in ({"id": "paula", "name": "Paula", "role": "publisher", "publisher": "acme"},
                     {"id": "hanna", "name": "Hanna", "role": "vendor", "vendor": "house-rules"}):
            ada.go("/admin/users")
            ada.send("/admin/users", **user, password=PASSWORD)
            ada.sees(user["name"])
        self.chapter_ends(ada)

    def collection_is_filled(self):
        """A folder and a file are dragged in, and the engines answer while one looks."""
        paula, release = self.paula, self.stage.directory / "release/acme-1.0"
        (release / "bin").mkdir(parents=True)
        (release / "bin/acme").write_bytes(OURS)
        (release / "bin/acmectl").write_bytes(samples.elf("another program, number 4712"))
        (release / "README.txt").write_bytes(samples.text("Read me."))
        manual = self.stage.directory / "manual.pdf"
        manual.write_bytes(samples.pdf("manual"))
        paula.go("/collection")
        paula.sign_in(user="paula", password=PASSWORD)
        paula.sees("This folder is empty")
        paula.visit.drop("main", [release, manual])
        # From here on nothing is loaded again: the page hears of it.
        paula.sees("^acme-1\\.0$", "#list")
        paula.sees("^manual\\.pdf$", "#list")
        paula.sees(ALL_SILENT, "#list")
        paula.page.locator("#list").get_by_role("link", name="acme-1.0", exact=True).click()
        paula.page.locator("#list").get_by_role("link", name="bin", exact=True).click()
        paula.sees("^acmectl$", "#list")
        paula.page.locator("#list").get_by_text(re.compile(PROGRAM_SILENT)).nth(1).wait_for()
        self.chapter_ends(paula)
        paula.page.locator("#list").get_by_role("link", name="acme", exact=True).click()
        paula.sees(hashlib.sha256(OURS).hexdigest(), "#panel")
        self.chapter_ends(paula)
        paula.press("Results, history and incidents")
        for engine in ("YARA", "ClamAV", "PDFiD"):
            paula.sees(engine, "#verdicts")
        self.chapter_ends(paula)

    def keyboard(self):
        """The list of files is used without a mouse."""
        paula, keys = self.paula, self.paula.page.keyboard
        for number in range(3):
            self.api.completed(self.api.put(f"/scrap/file-{number}.txt", samples.text(f"scrap {number}"), "acme")[1])
        paula.go("/collection?folder=%2Fscrap%2F")
        paula.sees("file-2.txt")
        keys.press("/")
        if paula.page.evaluate("document.activeElement.type") != "search":
            raise Wrong("the slash does not lead to the search")
        keys.press("Escape")
        keys.press("ArrowDown")
        self.expect_selected(1)
        keys.press("Shift+ArrowDown")
        self.expect_selected(2)
        keys.press("Control+a")
        self.expect_selected(3)
        keys.press("Space")
        self.expect_selected(2)
        self.chapter_ends(paula)
        keys.press("Delete")
        paula.sees("2 items are in the trash now")
        paula.go("/collection/trash")
        for number in (0, 2):
            paula.sees(f"/scrap/file-{number}\\.txt")
        self.chapter_ends(paula)

    def expect_selected(self, count):
        selected = self.paula.page.locator("#list [aria-selected=true]").count()
        if selected != count:
            raise Wrong(f"{selected} rows are selected, not {count}")

    def false_positive_comes(self):
        """A signature update, pressed on the engine's page, flags what is good."""
        self.paula.go("/")
        self.stage.mirror.put("rules.yar", rules(2, FLAGS_OURS))
        self.ada.go("/engines/yara")
        self.ada.press("^Update now$")
        self.ada.sees("Promoted")
        self.chapter_ends(self.ada)
        # The dashboard is not loaded again: it changes by itself.
        self.paula.sees("False_Positive")
        self.chapter_ends(self.paula)

    def dispute_is_sent(self):
        """What would leave is shown before it does; what the vendor wants to know comes first."""
        paula = self.paula
        self.folder_is_described()
        paula.go("/incidents")
        paula.page.locator("#incidents").get_by_role("link", name=re.compile("acme")).first.click()
        paula.sees("False_Positive")
        self.incident = urlsplit(paula.page.url).path
        self.chapter_ends(paula)
        paula.press("^Prepare a dispute$")
        for text in ("disputes@rules\\.test", hashlib.sha256(OURS).hexdigest(), "set at"):
            paula.sees(text)
        if self.mails():
            raise Wrong("the preview was sent")
        self.chapter_ends(paula)
        paula.page.locator("#own-words > summary").click()
        paula.page.locator("#words").fill(OWN_WORDS)
        paula.press("^Show what would leave$")
        paula.sees("built in our own house", "pre")
        self.chapter_ends(paula)
        paula.press("^Send to House Rules$")
        # A server that is busy is tried again after half a minute.
        paula.sees("^Sent$", "#state", 90)
        if paula.visit.dialogs != ["Send this to disputes@rules.test?"]:
            raise Wrong(f"it was sent without a question: {paula.visit.dialogs}")
        self.chapter_ends(paula)
        if len(self.mails()) != 1:
            raise Wrong(f"the vendor got {self.mails()}")
        text = self.mails()[0]["text"].replace("\r\n", "\n")
        if not text.startswith(OWN_WORDS) or hashlib.sha256(OURS).hexdigest() not in text:
            raise Wrong(f"the vendor was told something else: {text}")

    def folder_is_described(self):
        """Vendors want to know which product it is: the folder says so, for all that is in it."""
        paula = self.paula
        paula.go("/collection")
        paula.page.locator("#list").get_by_role("link", name="More about acme-1.0").click()
        paula.page.get_by_role("menuitem", name="Details").click()
        paula.page.locator("#panel-card > summary").click()
        paula.page.locator("#panel-card-form > summary").click()
        for field, value in {"product": "Acme", "version": "1.0"}.items():
            paula.page.locator(f"#card-{field}").fill(value)
        paula.press("^Save the release card$")
        paula.sees("The release card is saved")
        self.chapter_ends(paula)

    def mails(self):
        """The disputes that arrived, each with the file."""
        return [mail for mail in self.stage.post.lines() if "disputes@rules.test" in mail["to"] and mail["files"]]

    def vendor_answers(self):
        """The vendor sees its detection, and nothing else; what it says reaches the publisher."""
        hanna, ours = self.hanna, hashlib.sha256(OURS).hexdigest()
        self.paula.go(self.incident)
        hanna.go("/")
        hanna.sign_in(user="hanna", password=PASSWORD)
        hanna.is_at("/vendor")
        hanna.sees("False_Positive")
        for hidden in (hashlib.sha256(SECRET).hexdigest(), "Secretive", "acmectl"):
            hanna.misses(hidden)
        self.chapter_ends(hanna)
        hanna.page.get_by_role("link", name=re.compile("acme$")).click()
        hanna.is_at(f"/vendor/files/{ours}")
        hanna.send(f"/vendor/files/{ours}", "comment", text="The rule is too broad.", fixed_in="edition 3")
        hanna.sees("too broad", "#talk")
        self.chapter_ends(hanna)
        # The publisher has the incident open: the answer comes to it.
        self.paula.sees("too broad", "#talk")
        self.paula.sees("edition 3")
        self.chapter_ends(self.paula)

    def it_is_solved(self):
        """The next signatures resolve it, while the publisher looks."""
        self.hanna.visit.expected.append("status of 404")
        self.stage.mirror.put("rules.yar", rules(3))
        self.ada.go("/engines/yara")
        self.ada.press("^Update now$")
        # The vendor has the file open, which it may not see any more.
        self.hanna.sees("not there for you any more", "#toasts")
        self.paula.sees("^Resolved$", "#state")
        self.chapter_ends(self.ada, self.paula)
        self.hanna.go("/vendor")
        self.hanna.misses("False_Positive")
        self.hanna.sees("Nothing to look at")
        self.chapter_ends(self.hanna)

    def password_is_changed(self):
        """Somebody changes their password, which takes the old one."""
        hanna, new = self.hanna, f"{PASSWORD} and more"
        hanna.visit.expected.append("status of 403")
        hanna.go("/account")
        hanna.send("/account", old="not the password", password=new, again=new)
        hanna.sees("the old password is wrong")
        self.chapter_ends(hanna)
        hanna.send("/account", old=PASSWORD, password=new, again=new)
        hanna.sees("Your password is changed")
        self.chapter_ends(hanna)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", required=True, type=Path, help="directory of all of it; it must not exist")
    parser.add_argument("--port", type=int, default=8441, help="port of the daemon (default 8441)")
    parser.add_argument("--shots", type=Path, help="take pictures and put them there")
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="cargo's target directory")
    return parser.parse_args()


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    stage = Stage(options.dir, options.port, ENGINES, options.target)
    try:
        stage.prepare()
        stage.mirror.put("rules.yar", rules(1))
        stage.start()
        with lab(stage.url, options.shots) as browser, contextlib.ExitStack() as stack:
            looks = (("ada", "light", "wide"), ("paula", "dark", "wide"), ("hanna", "light", "narrow"))
            people = [Person(name, stack.enter_context(browser.visit(None, theme, size))) for name, theme, size in looks]
            Story(stage, browser, people).tell()
    finally:
        stage.remove()


if __name__ == "__main__":
    main()
