"""What people do in a collection: bring files, move them, rename them, throw them away, by mouse and by keys."""

import hashlib
import re
import tempfile
import zipfile
from pathlib import Path
from urllib.parse import quote

import samples
from lab import Wrong
from scene import expect, files, item_id

# Larger than what is sent in one piece.
LARGE = 20 << 20
# Where pieces of large files go, and where small files do.
PIECES = "**/ui/api/acquit/upload_sessions/**"
BRINGING = re.compile(r"/ui/api/monitor/items\?")
# Where several go at once.
TOGETHER = re.compile(r"/ui/api/acquit/items\?")


# --- bringing files ---------------------------------------------------------------------------


def files_and_folders_are_dropped(scene):
    """Dropped files and folders come with all that is in them, where they are dropped; changed ones as versions."""
    scene.fill("/dropped/target/")
    with scene.drive("/dropped/") as drive, tempfile.TemporaryDirectory() as scratch:
        release, single = Path(scratch, "release"), Path(scratch, "single.txt")
        (release / "bin/deep").mkdir(parents=True)
        (release / "empty").mkdir()
        (release / "bin/deep/tool").write_bytes(samples.elf("dropped tool"))
        (release / "README.txt").write_bytes(samples.text("dropped"))
        single.write_bytes(samples.text("single"))
        drive.visit.drop("h1", [release, single])
        drive.says("^4 uploaded$")
        drive.row("/dropped/release/").wait_for()
        drive.row("/dropped/single.txt").wait_for()
        wanted = ["release/", "release/README.txt", "release/bin/", "release/bin/deep/", "release/bin/deep/tool",
                  "release/empty/", "single.txt", "target/"]
        expect(scene.paths("/dropped/"), [f"/dropped/{path}" for path in wanted], "the dropped folder has")
        single.write_bytes(samples.text("single, once more"))
        drive.visit.drop("h1", [single])
        drive.says("1 is a new version")
        drive.visit.drop(f'.drive__row[data-kind="folder"]:has-text("target")', [single])
        drive.says("^1 uploaded$")
        scene.until(lambda: "/dropped/target/single.txt" in scene.paths("/dropped/target/"), "nothing came onto the row of a folder")
        drive.visit.drop('#tree a:has-text("release")', [single])
        scene.until(lambda: "/dropped/release/single.txt" in scene.paths("/dropped/release/"), "nothing came onto the tree")


def files_are_chosen_in_a_form(scene):
    """Who drags nothing chooses files in a form, by keys alone."""
    with scene.drive("/chosen/") as drive, files(one__txt="one", two__txt="two") as made:
        drive.page.locator("#upload-menu > summary").focus()
        drive.keys.press("Enter")
        drive.page.locator("#upload-files").set_input_files(list(made.values()))
        drive.says("^2 uploaded$")
        drive.row("/chosen/two.txt").wait_for()
        expect(drive.page.locator("#upload-menu").get_attribute("open"), None, "the form stays open")


def small_files_go_together(scene):
    """Many small files need few requests; one that is refused keeps none out, and comes when it is tried again."""
    scene.fill("/together/many/file-30.txt/")
    forms, lost = [], []

    def lose(route):
        forms.append(route.request.url)
        lost.append(len(forms) == 1)
        return route.abort("connectionreset") if lost[-1] else route.continue_()

    with scene.drive("/together/") as drive, tempfile.TemporaryDirectory() as scratch:
        many = Path(scratch, "many")
        many.mkdir()
        paths = [many / f"file-{number:02}.txt" for number in range(90)]
        for path in paths:
            path.write_bytes(samples.text(path.name))
        drive.visit.expected.append("ERR_CONNECTION_RESET")
        drive.page.route(TOGETHER, lose)
        drive.visit.drop("h1", [many])
        drive.says("^89 of 90 uploaded$")
        expect(drive.dock.get_by_role("list", name="Not uploaded").locator("li").count(), 1, "failures that are told")
        drive.says("file-30.txt")
        expect(2 <= len(forms) < 30, True, f"{len(forms)} requests are few")
        scene.admin.call("DELETE", f"/monitor/items/{quote(item_id(scene.drivers, '/together/many/file-30.txt/'), safe='')}")
        drive.dock.get_by_role("button", name="Try again").click()
        drive.says("^90 uploaded$")
        expect(scene.paths("/together/many/"), [f"/together/many/{path.name}" for path in paths], "the folder has")
        for path in paths[40:43]:
            path.write_bytes(samples.text(f"{path.name}, once more"))
        drive.visit.drop("h1", [many])
        drive.says("^90 uploaded$")
        drive.says("3 are new versions")
        used = scene.admin.get("/acquit/collection", owner=scene.drivers)["attributes"]["storage_files"]
        scene.until(lambda: f"{used} files" in drive.page.locator("#usage").inner_text(), f"the page does not say that there are {used} files")


def file_that_is_gone_is_told(scene):
    """A file that was removed before it was sent is no lost connection: it is told, and the others come."""
    with scene.drive("/gone/") as drive, files(one__txt="one", two__txt="two") as made:
        def remove(route):
            made["one__txt"].unlink(missing_ok=True)
            route.abort("connectionreset")

        drive.visit.expected += ["ERR_CONNECTION_RESET", "ERR_FILE_NOT_FOUND"]
        drive.page.route(BRINGING, remove, times=2)
        drive.visit.drop("h1", list(made.values()))
        drive.says("cannot be read any more")
        drive.says("^1 of 2 uploaded$")
        expect(scene.paths("/gone/"), ["/gone/two.txt"], "the folder has")


def upload_is_cancelled(scene):
    """What is given up is not kept: no file, no half of one; the next upload is not hindered by it."""
    scene.fill("/cancelled/there.txt")
    with scene.drive("/cancelled/") as drive, files(large__bin=LARGE, small__txt="small") as made:
        drive.slow(400_000)
        drive.visit.drop("h1", [made["large__bin"]])
        drive.says("Uploading 0 of 1")
        scene.until(lambda: drive.sessions(), "the upload does not begin")
        drive.dock.get_by_role("button", name="Cancel").focus()
        drive.keys.press("Enter")
        drive.dock.wait_for(state="detached")
        expect(drive.page.evaluate("document.activeElement === document.body"), False, "the keyboard is nowhere")
        drive.slow()
        scene.until(lambda: not drive.sessions(), "half a file is kept")
        drive.visit.drop("h1", [made["small__txt"]])
        drive.says("^1 uploaded$")
        expect(scene.paths("/cancelled/"), ["/cancelled/small.txt", "/cancelled/there.txt"], "after it the folder has")


def failed_uploads_are_tried_again(scene):
    """Uploads that fail are told one by one, and come when somebody presses Try again; all are counted once."""
    refused = []

    def refuse(route):
        if route.request.method != "POST" or len(refused) >= 2:
            return route.continue_()
        refused.append(route.request.url)
        return route.fulfill(status=500, json={"error": {"code": "InternalError", "message": "a test says no"}})

    with scene.drive("/again/") as drive, files(one__txt="one", two__txt="two", three__txt="three") as made:
        drive.visit.expected.append("status of 500")
        drive.page.route(BRINGING, refuse)
        drive.visit.drop("h1", list(made.values()))
        drive.says("^1 of 3 uploaded$")
        expect(drive.dock.get_by_text("a test says no").count(), 2, "failures that are told")
        drive.dock.get_by_role("button", name="Try again").focus()
        drive.keys.press("Enter")
        drive.says("^3 uploaded$")
        expect(drive.dock.get_by_text("failed").count(), 0, "failures that are left")
        expect(len(scene.paths("/again/")), 3, "files that came")


def lost_connection_mends_itself(scene):
    """Where the appliance is away for a moment nobody has to press anything."""
    away = []

    def lose(route):
        if route.request.method != "POST" or len(away) >= 3:
            return route.continue_()
        away.append(1)
        return route.abort("connectionrefused") if len(away) < 3 else route.fulfill(status=503, body="starting")

    with scene.drive("/lost/") as drive, files(one__txt="one") as made:
        drive.visit.expected += ["ERR_CONNECTION_REFUSED", "status of 503"]
        drive.page.route(BRINGING, lose)
        drive.visit.drop("h1", [made["one__txt"]])
        drive.says("Connection lost: it goes on by itself")
        drive.says("^1 uploaded$")
        expect(scene.paths("/lost/"), ["/lost/one.txt"], "the folder has")


def quota_stops_uploads(scene):
    """Where no more fits all stops and says what to do; once there is room it goes on."""
    scene.admin.patch(f"/acquit/publishers/{scene.tiny}", {"quota_files": 20})
    names = {f"file_{number}__txt": f"file {number}" for number in range(45)}
    with scene.drive("/", "tim") as drive, files(**names) as made:
        drive.visit.expected.append("status of 429")
        drive.visit.drop("h1", list(made.values()))
        drive.says("The upload stopped: the quota of 20 files is exhausted; delete items and empty the trash, or ask an administrator")
        drive.says("press Try again")
        drive.says("^20 of 45 uploaded$")
        drive.visit.axe()
        scene.admin.patch(f"/acquit/publishers/{scene.tiny}", {"quota_files": 50})
        drive.dock.get_by_role("button", name="Try again").click()
        drive.says("^45 uploaded$")
        expect(len(scene.paths("/", scene.tiny)), 45, "files that came")


def leaving_is_warned_of(scene):
    """The browser asks before a page is left that still sends; not afterwards."""
    with scene.drive("/leaving/") as drive, files(large__bin=LARGE) as made:
        # A browser asks only where somebody has touched the page.
        drive.page.locator("h1").click()
        drive.slow(400_000)
        drive.visit.drop("h1", [made["large__bin"]])
        drive.says("Uploading 0 of 1")
        drive.visit.stays = True
        drive.page.evaluate("void setTimeout(() => location.assign('/analyses'))")
        scene.until(lambda: drive.visit.leaving == 1, "the browser does not ask")
        drive.says("Uploading 0 of 1")
        drive.slow()
        drive.says("^1 uploaded$", 60)
        drive.person.go("/analyses")
        expect(drive.visit.leaving, 1, "questions before leaving")


def first_only(route):
    """Lets the first piece of a file through; those after it wait for ever."""
    if route.request.headers.get("upload-offset", "0") == "0":
        route.continue_()


def upload_goes_on_after_the_page_is_left(scene):
    """Half a file that was left behind is told of, and goes on where it was when it is brought again."""
    offsets = []
    with scene.drive("/resumed/") as drive, files(large__bin=LARGE) as made:
        drive.page.on("request", lambda it: offsets.append(it.headers.get("upload-offset")) if it.method == "PATCH" else None)
        drive.page.locator("h1").click()
        drive.page.route(PIECES, first_only)
        drive.visit.drop("h1", [made["large__bin"]])
        scene.until(lambda: any(it["attributes"]["offset"] == 8 << 20 for it in drive.sessions()), "no piece came")
        drive.visit.stays = False
        drive.page.reload()
        drive.page.unroute(PIECES)
        expect(drive.visit.leaving, 1, "questions before leaving")
        drive.person.sees("/resumed/large.bin has come as far as 8.4 MB of 21 MB", "#toasts")
        offsets.clear()
        drive.visit.drop("h1", [made["large__bin"]])
        drive.says("^1 uploaded$", 60)
        expect(offsets[:1], [str(8 << 20)], "it goes on at")
        row = scene.admin.get(f"/monitor/items/{quote(item_id(scene.drivers, '/resumed/large.bin'), safe='')}")
        expect(row["attributes"]["sha256"], hashlib.sha256(made["large__bin"].read_bytes()).hexdigest(), "what came is")
        expect(drive.sessions(), [], "sessions that are left")


# --- moving them ------------------------------------------------------------------------------


def rows_are_dragged(scene):
    """Dragging moves, with Ctrl it copies, onto rows, onto the tree and onto folders above."""
    scene.fill("/dragged/a.txt", "/dragged/b.txt", "/dragged/c.txt", "/dragged/d.txt", "/dragged/in/", "/dragged/out/")
    with scene.drive("/dragged/") as drive:
        drive.visit.drag(drive.row("/dragged/a.txt"), drive.row("/dragged/in/"))
        drive.row("/dragged/a.txt").wait_for(state="detached")
        drive.visit.drag(drive.row("/dragged/b.txt"), drive.row("/dragged/in/"), "Control")
        drive.person.sees("1 item copied", "#toasts")
        drive.visit.drag(drive.row("/dragged/c.txt"), drive.node("/dragged/out/"))
        drive.row("/dragged/c.txt").wait_for(state="detached")
        drive.row("/dragged/b.txt").click()
        drive.row("/dragged/d.txt").click(modifiers=["Control"])
        drive.visit.drag(drive.row("/dragged/d.txt"), drive.page.locator(".crumbs [data-drop]").first)
        drive.row("/dragged/d.txt").wait_for(state="detached")
        found = scene.paths("/dragged/")
        expect(found, [f"/dragged/{it}" for it in ("in/", "in/a.txt", "in/b.txt", "out/", "out/c.txt")], "the folder has")
        tops = [path for path in scene.paths("/") if path in ("/b.txt", "/d.txt")]
        expect(tops, ["/b.txt", "/d.txt"], "above it are")
        scene.until(lambda: drive.focused() is not None, "the keyboard has left the list")


def items_are_moved_by_keys_alone(scene):
    """Who cannot drag moves and copies in a dialog, by keys."""
    scene.fill("/keys/a.txt", "/keys/b.txt", "/keys/to/")
    with scene.drive("/keys/") as drive:
        for name, act in (("a", "Move"), ("b", "Copy")):
            drive.go_to(f"/keys/{name}.txt")
            drive.keys.press("Shift+F10")
            walk_to(drive, "ArrowDown", f"{act}…")
            drive.keys.press("Enter")
            dialog = drive.page.get_by_role("dialog")
            dialog.get_by_role("heading", name=f"{act} {name}.txt").wait_for()
            drive.visit.axe()
            walk_to(drive, "Tab", "to")
            drive.keys.press("Enter")
            dialog.get_by_role("button", name=f"{act} to /keys/to/").wait_for()
            walk_to(drive, "Tab", f"{act} to /keys/to/")
            drive.keys.press("Enter")
            dialog.wait_for(state="detached")
            drive.person.sees(f"1 item {'moved' if act == 'Move' else 'copied'} to /keys/to/", "#toasts")
            scene.until(lambda: drive.focused() is not None, "the keyboard has left the list")
        expect(scene.paths("/keys/"), [f"/keys/{it}" for it in ("b.txt", "to/", "to/a.txt", "to/b.txt")], "the folder has")


def walk_to(drive, key, name):
    """Presses a key until something of that name has the focus."""
    for _ in range(40):
        if drive.page.evaluate("document.activeElement.innerText?.replace(/\\s+/g, ' ').trim()") == name:
            return
        drive.keys.press(key)
    raise Wrong(f"{key} does not lead to {name}")


def item_is_renamed_in_place(scene):
    """F2 renames where the name is; Escape does not; a name that is taken is refused and said."""
    scene.fill("/renamed/old.txt", "/renamed/taken.txt", "/renamed/folder/")
    with scene.drive("/renamed/") as drive:
        drive.go_to("/renamed/old.txt")
        drive.keys.press("F2")
        drive.keys.type("nothing")
        drive.keys.press("Escape")
        expect(drive.focused(), "old.txt", "after Escape the keyboard is at")
        drive.keys.press("F2")
        # What comes before the dot is chosen: the kind of the file stays.
        drive.keys.type("new")
        drive.keys.press("Enter")
        drive.row("/renamed/new.txt").wait_for()
        scene.until(lambda: drive.focused() == "new.txt", "the keyboard is not at the new name")
        drive.visit.expected.append("status of 409")
        drive.keys.press("F2")
        drive.keys.type("taken")
        drive.keys.press("Enter")
        drive.person.sees("already a file at /renamed/taken.txt", "#toasts")
        drive.go_to("/renamed/folder/")
        drive.keys.press("F2")
        drive.keys.type("files")
        drive.keys.press("Enter")
        drive.row("/renamed/files/").wait_for()
        expect(scene.paths("/renamed/"), [f"/renamed/{it}" for it in ("files/", "new.txt", "taken.txt")], "the folder has")


# --- throwing them away -----------------------------------------------------------------------


def trash_gives_back_and_is_emptied(scene):
    """What is deleted comes back by Undo and by the trash, until that is emptied."""
    scene.fill("/thrown/a.txt", "/thrown/b.txt", "/thrown/folder/c.txt")
    with scene.drive("/thrown/") as drive:
        drive.go_to("/thrown/a.txt")
        drive.keys.press("Delete")
        drive.person.sees("1 item is in the trash now", "#toasts")
        expect(drive.focused(), "b.txt", "the keyboard is at")
        drive.page.get_by_role("button", name="Undo").click()
        drive.row("/thrown/a.txt").wait_for()
        drive.keys.press("Control+a")
        drive.page.locator("#bulk-acts").get_by_role("button", name="Move to trash").click()
        drive.person.sees("3 items are in the trash now", "#toasts")
        drive.person.sees("This folder is empty")
        drive.person.go(f"/collection/trash?owner={scene.drivers}")
        drive.page.get_by_role("button", name="Restore /thrown/folder/").click()
        drive.person.sees("restored")
        expect(scene.paths("/thrown/"), ["/thrown/folder/", "/thrown/folder/c.txt"], "what came back")
        drive.page.get_by_role("button", name="Empty the trash").click()
        drive.person.sees("The trash is empty")
        expect(any("cannot be undone" in asked for asked in drive.visit.dialogs), True, "it is asked before")
        drive.visit.axe()


# --- keys and the menu ------------------------------------------------------------------------


def menu_of_a_row(scene):
    """The menu opens by mouse, by button and by keys, is walked by arrows, and has only what one may do."""
    scene.fill("/menu/a.txt", "/menu/b.txt")
    writer = ["Open", "Details", "Download", "Rename", "Move…", "Copy…", "Move to trash"]
    with scene.drive("/menu/") as drive:
        menu, items = drive.page.get_by_role("menu"), drive.page.get_by_role("menuitem")
        drive.row("/menu/a.txt").click(button="right")
        names = [re.sub(r"\s*(Enter|F2|Delete)$", "", name).strip() for name in items.all_inner_texts()]
        expect(names, writer, "the menu has")
        drive.visit.axe()
        drive.keys.press("ArrowUp")
        drive.keys.press("ArrowUp")
        expect(drive.page.evaluate("document.activeElement.innerText.trim()"), "Copy…", "two up is")
        drive.keys.press("Escape")
        menu.wait_for(state="detached")
        expect(drive.focused(), "a.txt", "after Escape the keyboard is at")
        drive.keys.press("Shift+F10")
        drive.keys.press("ArrowDown")
        drive.keys.press("Enter")
        drive.person.sees("SHA-256", "#panel")
        drive.row("/menu/b.txt").locator("[data-menu]").click()
        drive.page.locator("h1").click()
        menu.wait_for(state="detached")
    with scene.drive("/releases/", "victor", "acme") as drive:
        drive.row("/releases/acme-1.0.zip").click(button="right")
        names = [re.sub(r"Enter$", "", name).strip() for name in drive.page.get_by_role("menuitem").all_inner_texts()]
        expect(names, ["Open", "Details"], "the menu of who only looks has")


def list_is_used_by_keys(scene):
    """Arrows, Home, End, Enter, Space, Ctrl-A and the slash, in the list and in the grid."""
    names = [f"file-{number}.txt" for number in range(12)]
    ordered = sorted(names)
    scene.fill("/walked/below/x.txt", *(f"/walked/{name}" for name in names))
    with scene.drive("/walked/") as drive:
        drive.go_to(f"/walked/{ordered[0]}")
        drive.keys.press("End")
        expect(drive.focused(), ordered[-1], "End leads to")
        drive.keys.press("Shift+ArrowUp")
        expect(drive.selected(), ordered[-2:], "Shift and an arrow select")
        drive.keys.press("Control+Home")
        drive.keys.press("Space")
        expect(len(drive.selected()), 3, "Space adds to")
        drive.keys.press("Control+a")
        expect(len(drive.selected()), 13, "Ctrl-A selects")
        drive.keys.press("Escape")
        expect(drive.selected(), [], "Escape leaves selected")
        drive.keys.press("End")
        drive.keys.press("Enter")
        drive.person.sees("SHA-256", "#panel")
        expect(drive.page.evaluate("document.activeElement.localName"), "h2", "Enter leads the keyboard to")
        drive.keys.press("/")
        drive.keys.type("file-1")
        drive.row("/walked/below/").wait_for(state="detached")
        expect(drive.names(), [name for name in ordered if "file-1" in name], "the filter shows")
        drive.keys.press("Escape")
        drive.row("/walked/below/").wait_for()
        drive.go_to("/walked/below/")
        drive.keys.press("Enter")
        drive.row("/walked/below/x.txt").wait_for()
        drive.page.go_back()
        drive.row("/walked/below/").wait_for()
        drive.page.get_by_role("link", name="As a grid").click()
        drive.page.wait_for_selector(".drive--grid")
        drive.go_to("/walked/below/")
        drive.keys.press("ArrowRight")
        expect(drive.focused(), ordered[0], "in the grid the right arrow leads to")
        drive.keys.press("ArrowDown")
        expect(drive.focused() in ordered[2:], True, "the arrow down leads to another line")
        drive.page.get_by_role("link", name="As a list").click()
        drive.page.wait_for_selector(".drive:not(.drive--grid)")


def keyboard_stays_where_a_row_goes(scene):
    """What others take away does not take the keyboard with it, in the list or in a dialog before it."""
    scene.fill("/taken/a.txt", "/taken/b.txt", "/taken/c.txt", "/taken/d.txt", "/taken/to/")

    def take(name):
        scene.admin.call("DELETE", f"/monitor/items/{quote(item_id(scene.drivers, f'/taken/{name}'), safe='')}")
        drive.row(f"/taken/{name}").wait_for(state="detached")

    with scene.drive("/taken/") as drive:
        drive.go_to("/taken/a.txt")
        take("a.txt")
        expect(drive.focused(), "b.txt", "the keyboard is at")
        drive.keys.press("Shift+F10")
        walk_to(drive, "ArrowDown", "Move…")
        drive.keys.press("Enter")
        dialog = drive.page.get_by_role("dialog")
        dialog.wait_for()
        take("b.txt")
        drive.keys.press("Escape")
        dialog.wait_for(state="detached")
        scene.until(lambda: drive.focused() == "c.txt", "the keyboard is not where it was")


def folder_comes_as_one_file(scene):
    """A folder is downloaded as a ZIP file with all that is in it."""
    scene.fill("/packed/a.txt", "/packed/in/b.txt")
    with scene.drive("/") as drive:
        drive.row("/packed/").click(button="right")
        with drive.page.expect_download() as waiting:
            drive.page.get_by_role("menuitem", name="Download").click()
        expect(waiting.value.suggested_filename, "packed.zip", "the file is called")
        with zipfile.ZipFile(waiting.value.path()) as packed:
            expect(sorted(packed.namelist()), ["packed/a.txt", "packed/in/", "packed/in/b.txt"], "in it is")
            expect(packed.read("packed/a.txt"), samples.text(f"{scene.drivers} /packed/a.txt"), "a file in it is")


FLOWS = (
    files_and_folders_are_dropped, files_are_chosen_in_a_form, small_files_go_together,
    file_that_is_gone_is_told, upload_is_cancelled, failed_uploads_are_tried_again,
    lost_connection_mends_itself, quota_stops_uploads, leaving_is_warned_of, upload_goes_on_after_the_page_is_left,
    rows_are_dragged, items_are_moved_by_keys_alone, item_is_renamed_in_place, trash_gives_back_and_is_emptied,
    menu_of_a_row, list_is_used_by_keys, keyboard_stays_where_a_row_goes,
    folder_comes_as_one_file,
)
