"""A world in which people act at browsers, one flow after the other, and what the flows share."""

import base64
import contextlib
import os
import re
import secrets
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import samples
from client import Client, Refused
from lab import Wrong
from person import Person

PASSWORD = "a-long-password"

def item_id(owner, path):
    return base64.b64encode(f"vtmonitor-v1://{owner}{path}".encode()).decode()


def expect(found, wanted, what):
    """Fails where something is not as it should be, and says how it is."""
    if found != wanted:
        raise Wrong(f"{what}: {found!r}, not {wanted!r}")


class Scene:
    """A world, a browser, and whoever sits at it; each flow has a folder of its own."""

    def __init__(self, browser, world):
        self.lab, self.world, self.people = browser, world, []
        self.admin = Client(world["url"], world["admin_key"])
        self.acme = Client(world["url"], world["keys"]["acme"])
        # Publishers of the flows' own: what is done to their collections is nobody else's, in any run.
        mark = secrets.token_hex(2)
        self.drivers, self.tiny = f"drivers-{mark}", f"tiny-{mark}"
        self.own = {"dora": self.drivers, "tim": self.tiny}
        for name, publisher in self.own.items():
            self.admin.post("/acquit/publishers", {"id": publisher, "name": publisher})
            seat = {"role": "publisher", "publisher": publisher, "name": f"{name} of {publisher}"}
            self.admin.post("/acquit/users", {"id": f"{name}-{mark}", "password": PASSWORD, **seat})
        self.mark = mark

    @contextlib.contextmanager
    def person(self, name, theme="light", size="wide"):
        """Somebody who is signed in, at a tab of their own; nobody without a name."""
        if name and name not in self.lab.states:
            user, password = (f"{name}-{self.mark}", PASSWORD) if name in self.own else (name, self.world["users"][name]["password"])
            self.lab.sign_in(name, user=user, password=password)
        with self.lab.visit(name, theme, size) as visit:
            person = Person(name, visit)
            self.people.append(person)
            try:
                yield person
            except Exception:
                self.tell(person)
                raise
            person.visit.check(f"{name} at {person.page.url}")

    @contextlib.contextmanager
    def drive(self, folder, name="dora", owner=None, **look):
        """Somebody before a folder that is theirs."""
        if name == "dora" and folder != "/":
            self.fill(folder)
        with self.person(name, **look) as person:
            drive = Drive(person, owner or self.own[name])
            drive.open(folder)
            yield drive

    def fill(self, *paths):
        """Puts small files, no two alike, into a collection; waits for nobody."""
        for path in paths:
            content = None if path.endswith("/") else samples.text(f"{self.drivers} {path}")
            with contextlib.suppress(Refused if content is None else ()):
                self.admin.put(path, content, self.drivers)

    def paths(self, folder, owner=None):
        """All that is below a folder, in order."""
        rows = self.admin.every("/monitor/items", owner=owner or self.drivers, recursive="true", filter=f"path:{folder}")
        return sorted(row["attributes"]["path"] for row in rows)

    def until(self, good, what, seconds=20):
        """Waits until something is so."""
        page = self.people[-1].page
        for _ in range(seconds * 20):
            if good():
                return
            # Not asleep: what the page does is heard meanwhile.
            page.wait_for_timeout(50)
        raise Wrong(f"{what} after {seconds} s")

    def tell(self, person):
        """What somebody saw, for whoever looks for the fault."""
        with contextlib.suppress(Exception):
            text = person.page.locator("body").inner_text()
            print(f"{person.name} was at {person.page.url}: {person.visit.wrong}: {' '.join(text.split())[:3000]}", file=sys.stderr)
            if self.lab.out:
                self.lab.shoot(person.visit, f"stopped-{person.name}-{time.monotonic_ns()}")


class Drive:
    """The page of a folder, in the hands of somebody."""

    def __init__(self, person, owner):
        self.person, self.owner = person, owner
        self.visit, self.page, self.keys = person.visit, person.page, person.page.keyboard
        self.dock = self.page.locator(".dock")

    def open(self, folder):
        self.person.go(f"/collection?owner={self.owner}&folder={quote(folder, safe='')}")
        # Rows are ready for the keyboard once the scripts have run.
        self.page.wait_for_selector("#list[role=grid]", state="attached")

    def row(self, path):
        return self.page.locator(f'.drive__row[data-id="{item_id(self.owner, path)}"]')

    def node(self, path):
        """A folder of the tree."""
        return self.page.locator(f'#tree [data-drop="{item_id(self.owner, path)}"]')

    def names(self):
        return self.page.locator(".drive__row .drive__name a").all_inner_texts()

    def selected(self):
        return self.page.locator('.drive__row[aria-selected="true"] .drive__name a').all_inner_texts()

    def focused(self):
        """The name of the row the keyboard is at."""
        return self.page.evaluate("document.activeElement.closest('.drive__row')?.querySelector('.drive__name').innerText.trim()")

    def go_to(self, path):
        """Leads the keyboard to a row as it is led there: by arrows."""
        self.page.locator("#main").focus()
        self.keys.press("Home")
        for _ in range(self.page.locator(".drive__row").count()):
            if self.row(path).evaluate("(row) => row === document.activeElement"):
                return
            self.keys.press("ArrowDown")
        raise Wrong(f"the arrows do not lead to {path}")

    def says(self, text, seconds=20):
        """Waits for what the uploads say."""
        self.dock.get_by_text(re.compile(text)).locator("visible=true").first.wait_for(timeout=seconds * 1000)

    def sessions(self):
        """Uploads in pieces that are not at their end."""
        return self.page.evaluate("fetch('/ui/api/acquit/upload_sessions').then((it) => it.json())")["data"]

    def slow(self, upload=None):
        self.visit.slow(upload)


@contextlib.contextmanager
def files(**contents):
    """Files of this machine, by name (two underscores are a dot); a number is so many random bytes."""
    with tempfile.TemporaryDirectory() as scratch:
        made = {}
        for name, content in contents.items():
            path = Path(scratch, name.replace("__", "."))
            path.write_bytes(os.urandom(content) if isinstance(content, int) else samples.text(content))
            made[name] = path
        yield made
