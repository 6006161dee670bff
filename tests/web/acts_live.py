"""Orders to engines, pages that change by themselves, exports, views, disputes, and another way in."""

import contextlib
import csv
import io
import json
import os
import re
import subprocess
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import samples
from plot import rules
from scene import expect


@contextlib.contextmanager
def not_loaded_again(person):
    """Whatever happens meanwhile, the page stays the one it was."""
    person.page.evaluate("window.__same = true")
    yield
    expect(person.page.evaluate("window.__same === true"), True, "the page was loaded again: it is the same")


def state(person):
    """What the engine's page says of its state."""
    return person.page.locator("#engine .card__head .chip").first.inner_text().strip()


def containers(scene, engine):
    """Which containers an engine has."""
    instance = Path(scene.world["directory"], "appliance/data/instance").read_text().strip()
    labels = [f"label=acquit.instance={instance}", f"label=acquit.engine={engine}"]
    command = ["docker", "ps", "--quiet", *(word for label in labels for word in ("--filter", label))]
    return set(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())


# --- engines ----------------------------------------------------------------------------------


def engine_is_restarted(scene):
    """Restart asks first, says what it does, and the page shows the engine come back by itself."""
    known = {"ready": "Ready", "idle": "Idle"}

    def stands():
        return known.get(scene.admin.get("/acquit/engines/pdfid")["attributes"]["state"])

    before = containers(scene, "pdfid")
    with scene.person("admin") as ada, scene.person("admin", "dark", "narrow") as other:
        for person in (ada, other):
            person.go("/engines/pdfid")
        with not_loaded_again(other):
            ada.press("^Restart$")
            ada.sees("The engine's container is replaced")
            scene.until(lambda: before.isdisjoint(containers(scene, "pdfid")), "the container is not replaced", 60)
            for person in (ada, other):
                scene.until(lambda: state(person) == stands(), "the page does not say that the engine is back", 60)
        expect(len(ada.visit.dialogs), 1, "questions before it")
    analysis = scene.admin.scan(samples.pdf(f"after a restart {scene.mark}"))
    expect(scene.admin.completed(analysis)["results"]["PDFiD"]["category"], "undetected", "it answers")


def sets_are_rolled_back_and_promoted(scene):
    """A set goes back and comes again by its buttons; whoever looks on sees it, buttons and all."""
    def active():
        return scene.admin.get("/acquit/engines/yara-x")["attributes"]["signatures"]

    first = active()
    with scene.person("admin") as ada, scene.person("admin") as other:
        for person in (ada, other):
            person.go("/engines/yara-x")
        with not_loaded_again(other):
            ada.press("^Roll back$")
            ada.sees("The set before is in service again, and is held there")
            expect(active()["active"], first["previous"], "after it the set in service is")
            other.sees("^Held$", "#engine")
            # What can be done now is shown, too: not only what was done.
            other.sees("^Release$", "#head")
            expect(other.page.locator("#head").get_by_text("Update now").count(), 0, "updates that are offered while it is held")
            row = ada.page.locator("#sets tr", has=ada.page.get_by_role("link", name=first["active"]))
            row.get_by_role("button", name="Promote").click()
            ada.sees("The set is in service now")
            expect(active()["active"], first["active"], "after it the set in service is")
            scene.until(lambda: "In service" in other.page.locator("#sets tr", has=other.page.get_by_role("link", name=first["active"])).inner_text(),
                        "who looks on does not see it")
        if active()["held"]:
            ada.press("^Release$")
            ada.sees("Updates go on")
        expect(len(ada.visit.dialogs) >= 2, True, "it is asked before")
        ada.visit.axe()


def update_is_followed(scene):
    """Update now leads to the update, whose steps and log go on by themselves to its end."""
    mirror = Path(scene.world["directory"], "mirror/rules.yar")
    mirror.write_text(f'{rules(5)}rule Acts_{scene.mark} {{ strings: $a = "acts {scene.mark}" condition: $a }}\n')
    newer = time.time() + 2
    os.utime(mirror, (newer, newer))
    with scene.person("admin") as ada:
        ada.go("/engines/yara")
        ada.press("^Update now$")
        ada.sees("The update has begun")
        expect(bool(re.fullmatch(r"/engines/yara/updates/\d+", urlsplit(ada.page.url).path)), True, "it leads to the update")
        with not_loaded_again(ada):
            # The log is there before the end of it all: the canary comes after the download.
            log = ada.page.get_by_role("log")
            log.wait_for(timeout=60_000)
            scene.until(lambda: log.inner_text().strip(), "the log is empty")
            ada.sees("^Promoted$", "#update", 90)
            ada.sees("How it ended", "#update")
        ada.visit.axe()


# --- what changes by itself -------------------------------------------------------------------


def dashboard_moves(scene):
    """The figures follow what happens, without a look of anybody's."""
    tile = "a.tile:has(.tile__name:text-is('Items')) .tile__value"
    with scene.person("paula") as paula:
        paula.go("/")
        before = int(paula.page.locator(tile).inner_text())
        with not_loaded_again(paula):
            scene.acme.put(f"/acts/dashboard-{scene.mark}.txt", samples.text(f"dashboard {scene.mark}"))
            scene.until(lambda: int(paula.page.locator(tile).inner_text()) == before + 1, "the figure does not move", 60)


def analyses_move(scene):
    """A file that comes has a row of its own, and each engine a cell, as they answer."""
    folder = f"/acts/analyses-{scene.mark}/"
    with scene.person("paula") as paula:
        # Of a folder that is not there yet.
        paula.go(f"/analyses?owner=acme&path={folder}")
        paula.sees("No item fits")
        with not_loaded_again(paula):
            scene.acme.put(f"{folder}moves.bin", samples.elf(f"analyses {scene.mark}, number 4711"))
            row = paula.page.locator("#items tbody tr", has_text="moves.bin")
            row.wait_for()
            row.locator(".heat__cell .is-orange").first.wait_for()
            scene.until(lambda: row.locator(".heat__cell .is-clean").count() > 1, "few engines have a cell")
        # By keys from cell to cell.
        cell = row.locator(".heat__cell a").first
        cell.focus()
        paula.page.keyboard.press("ArrowRight")
        expect(paula.page.evaluate("document.activeElement.closest('td').cellIndex") - cell.evaluate("(it) => it.closest('td').cellIndex"), 1,
               "the arrow leads on by")


def scrolled_table_stays_where_it_was(scene):
    """What is read again does not jump back to its beginning."""
    with scene.person("admin", size="narrow") as ada:
        ada.go("/analyses?owner=acme&state=all")
        table = ada.page.locator(".heat-scroll")
        table.evaluate("(it) => it.scrollTo(60, 120)")
        with ada.page.expect_response(lambda it: urlsplit(it.url).path == "/analyses", timeout=20_000):
            scene.acme.put(f"/acts/scrolled-{scene.mark}.txt", samples.text(f"scrolled {scene.mark}"))
        ada.page.wait_for_timeout(300)
        expect(table.evaluate("(it) => [it.scrollLeft, it.scrollTop]"), [60, 120], "the table is scrolled to")


def engines_answer_one_by_one(scene):
    """The page of a scan shows who has answered while others still look, and then the end."""
    with scene.person("admin") as ada:
        ada.go("/scan")
        analysis = scene.admin.scan(samples.text(f"parrot: hang {scene.mark}"))
        ada.go(f"/scan/{analysis}")
        with not_loaded_again(ada):
            rows = ada.page.locator("#result tbody tr")
            scene.until(lambda: waiting_and_done(rows), "no engine answers before the others")
            ada.sees(r"\d+ of \d+ engines are done", "#result")
            ada.sees("^Completed$", "#result", 90)
            ada.sees("^Timed out$", "#result")
        ada.visit.axe()


def waiting_and_done(rows):
    said = rows.all_inner_texts()
    return any("Waiting" in it for it in said) and any("Undetected" in it for it in said)


def what_came_before_anybody_listened_is_seen(scene):
    """What happens between the making of a page and its connection is on the page, too."""
    number, held = scene.world["incidents"]["kept_by_vendor"], []
    with scene.person("paula") as paula:
        paula.page.route("**/ui/api/acquit/stream", lambda route: held.append(route))
        paula.go(f"/incidents/{number}")
        scene.until(lambda: held, "the page does not listen")
        with not_loaded_again(paula):
            scene.acme.post(f"/acquit/incidents/{number}/notes", {"text": f"Before anybody heard of {scene.mark}."})
            held[0].continue_()
            paula.sees(f"Before anybody heard of {scene.mark}", "#talk")


def session_that_is_over_is_told(scene):
    """A page whose session ended elsewhere does not look as if it were still true."""
    seat = scene.world["users"]["paula"]
    scene.lab.sign_in("leaver", user="paula", password=seat["password"])
    with scene.lab.visit("leaver") as stays, scene.lab.visit("leaver") as leaves:
        stays.go("/")
        leaves.go("/")
        leaves.page.locator(".top__end summary").click()
        leaves.page.get_by_role("button", name="Sign out").click()
        leaves.page.wait_for_url(lambda url: "/sign-in" in url)
        stays.expected.append("status of 401")
        scene.acme.put(f"/acts/over-{scene.mark}.txt", samples.text(f"over {scene.mark}"))
        stays.page.locator("#toasts").get_by_text("Your session is over").wait_for(timeout=40_000)
        stays.page.get_by_role("link", name="Sign in again").click()
        stays.page.wait_for_url(lambda url: "/sign-in" in url)
        stays.check("the page of a session that is over")


# --- files and views --------------------------------------------------------------------------


def export_is_what_is_shown(scene):
    """Both exports parse and have as many rows as the list, of everything and of a filter."""
    filters = {"/analyses?owner=acme&state=all": "is:file", "/analyses?owner=acme&state=detected&engine=yara": "engine:yara is:detected"}
    with scene.person("paula") as paula:
        for page, words in filters.items():
            paula.go(page)
            wanted = sorted(row["attributes"]["path"] for row in scene.acme.every("/monitor/items", recursive="true", filter=words))
            expect(len(wanted) > 3, True, f"there are rows of {words}")
            table = list(csv.DictReader(io.StringIO(download(paula, "Export as CSV"))))
            expect(len(table), len(wanted), f"rows of the CSV of {words}")
            expect(all(len(row["sha256"]) == 64 and None not in row for row in table), True, "each row has its cells")
            answer = json.loads(download(paula, "Export as JSON"))
            rows = answer["data"] if isinstance(answer, dict) else answer
            expect(sorted(row["attributes"]["path"] for row in rows), wanted, f"paths of the JSON of {words}")


def download(person, name):
    with person.page.expect_download() as coming:
        person.press(name)
    return Path(coming.value.path()).read_text()


def view_is_saved_opened_and_deleted(scene):
    """A view keeps what is asked for under a name, until it is deleted."""
    name = f"Acts & <b>views</b> {scene.mark}"
    with scene.person("paula") as paula:
        paula.go("/analyses?owner=acme&state=detected&engine=yara")
        summary = paula.page.locator("summary", has_text="Save this view")
        summary.focus()
        paula.page.keyboard.press("Enter")
        paula.page.keyboard.press("Tab")
        paula.page.keyboard.type(name)
        paula.page.keyboard.press("Enter")
        paula.page.get_by_role("link", name=name).wait_for()
        paula.go("/analyses")
        paula.page.get_by_role("link", name=name).click()
        paula.page.wait_for_url(lambda url: "engine=yara" in url)
        asked = parse_qs(urlsplit(paula.page.url).query)
        expect({key: asked[key] for key in ("state", "engine")}, {"state": ["detected"], "engine": ["yara"]}, "the view asks for")
        paula.page.get_by_role("button", name=f"Delete the view {name}").click()
        paula.sees("The view is deleted")
        expect(paula.page.get_by_role("link", name=name).count(), 0, "views of that name")
        expect(len(paula.visit.dialogs), 1, "questions before it")


# --- incidents --------------------------------------------------------------------------------


def incident_is_followed_and_dispute_withdrawn(scene):
    """An incident's page shows what others do with it; a dispute is prepared and withdrawn from pages."""
    number = scene.world["incidents"]["reopened"]
    with scene.person("victor") as victor, scene.person("paula") as paula:
        victor.go(f"/incidents/{number}")
        with not_loaded_again(victor):
            scene.acme.post(f"/acquit/incidents/{number}/acknowledge")
            victor.sees("^Acknowledged$", "#state")
            scene.acme.post(f"/acquit/incidents/{number}/notes", {"text": f"A note of {scene.mark}."})
            victor.sees(f"A note of {scene.mark}", "#talk")
            paula.go(f"/incidents/{number}/dispute")
            paula.press("^Prepare only$")
            paula.sees("^Prepared$")
            victor.sees("^Prepared$", "#dispute")
        dispute = victor.page.locator("#dispute").get_by_role("link").get_attribute("href")
        paula.go(dispute)
        paula.press("^Withdraw the dispute$")
        paula.sees("The dispute was withdrawn")
        paula.sees("^Withdrawn$", "#state")
        expect(len(paula.visit.dialogs), 1, "questions before it")
        expect(paula.page.get_by_role("button", name="Withdraw").count(), 0, "ways to withdraw it again")
        paula.visit.axe()


def dispute_is_sent_from_its_page(scene):
    """A dispute that waits is sent by mail from its page, which shows that it has left."""
    number = scene.world["disputes"]["prepared"]
    post = Path(scene.world["directory"], "smtp.py.said")

    def mails():
        lines = post.read_text().rpartition("\n")[0].splitlines()[1:]
        return [mail for mail in map(json.loads, lines) if "disputes@rules.test" in mail["to"]]

    before = len(mails())
    with scene.person("paula", "dark", "narrow") as paula:
        paula.go(f"/disputes/{number}")
        paula.press("^Send it now$")
        paula.sees("The dispute is on its way")
        with not_loaded_again(paula):
            paula.sees("^Sent$", "#state", 90)
        expect(paula.visit.dialogs, ["Send this to disputes@rules.test?"], "it is asked")
        expect(len(mails()), before + 1, "mails to the vendor")
        paula.visit.axe()


# --- another way in ---------------------------------------------------------------------------


def organisation_signs_in(scene):
    """By the organisation's own sign-in one comes to the page one wanted; strangers do not, and are told."""
    provider = urlsplit(scene.world["provider"]).netloc
    for email, comes in (("paula@acme.test", True), ("stranger@acme.test", False)):
        with scene.person(None) as guest:
            guest.visit.hosts.add(provider)
            guest.go("/sign-in?next=/incidents")
            guest.page.get_by_role("link", name="Sign in with your organisation").focus()
            guest.page.keyboard.press("Enter")
            guest.page.wait_for_url(lambda url: urlsplit(url).netloc == provider)
            guest.page.get_by_label("E-mail address").fill(email)
            guest.page.keyboard.press("Enter")
            if comes:
                guest.is_at("/incidents")
                guest.page.get_by_label("Account and appearance of Paula Publisher").wait_for()
            else:
                guest.sees("The sign-in failed")
                guest.go("/incidents")
                expect(urlsplit(guest.page.url).path, "/sign-in", "a stranger is sent to")


FLOWS = (
    engines_answer_one_by_one, dashboard_moves, analyses_move, scrolled_table_stays_where_it_was, export_is_what_is_shown,
    view_is_saved_opened_and_deleted, incident_is_followed_and_dispute_withdrawn, dispute_is_sent_from_its_page,
    engine_is_restarted, sets_are_rolled_back_and_promoted, update_is_followed, what_came_before_anybody_listened_is_seen,
    session_that_is_over_is_told, organisation_signs_in,
)
