"""Every page: where it is, who may see it, and which hostile texts must be readable on it."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

import hostile
from client import Client

ADMIN, PUBLISHER, VIEWER, OVERSEER = "admin", "paula", "victor", "olga"
READERS = (PUBLISHER, ADMIN, VIEWER)
ALL_READERS = (*READERS, OVERSEER)
VENDORS = ("hanna", "trent")


@dataclass(frozen=True)
class Place:
    """A page. `who` are those who may see it, whom it has most for first."""

    name: str
    path: str
    who: tuple = READERS
    status: int = 200
    hostile: tuple = ()

    @property
    def is_one_of_many(self):
        """Whether it differs from others in its texts only."""
        return "-hostile-" in self.name and not self.name.endswith(("-script", "-long"))

    def is_for(self, who, size):
        """Whether somebody looks at it in a size: whoever has most of it in all, others in one."""
        if who == self.who[0]:
            return size == "narrow" or not self.is_one_of_many
        return who in self.who and size == "wide"


def item(world, path):
    return f"/items/{quote(world['items'][path], safe='')}"


def hostile_item(world, name):
    return item(world, f"/hostile/{hostile.file_name(name)}")


def places(world):
    """All pages of a world."""
    return [*_readers(world), *_incidents(world), *_engines(world), *_vendors(world), *_admin(world), *_faults(world)]


def _readers(world):
    names = tuple(hostile.file_name(name) for name in hostile.TEXTS)
    base = "/releases/acme-1.0/bin"
    sha256, acme = world["hashes"]["vendor"], item(world, f"{base}/acme")
    shown = urlencode({"owner": "acme", "folder": f"{base}/", "item": world["items"][f"{base}/acme"]})
    return [
        Place("sign-in", "/sign-in", (None,)),
        Place("dashboard", "/", ALL_READERS),
        Place("welcome", "/welcome", (ADMIN,)),
        Place("account", "/account", (PUBLISHER, VIEWER, "hanna")),
        Place("collection", "/collection", ALL_READERS),
        Place("collection-releases", f"/collection?owner=acme&folder={quote('/releases/acme-1.0/bin/', safe='')}"),
        Place("collection-languages", f"/collection?owner=acme&folder={quote('/languages/', safe='')}"),
        Place("collection-hostile", f"/collection?owner=acme&folder={quote('/hostile/', safe='')}", hostile=names),
        Place("collection-empty", f"/collection?owner=acme&folder={quote('/empty folder/', safe='')}"),
        Place("collection-panel", f"/collection?{shown}"),
        # The last one: the browser keeps how somebody looks at collections.
        Place("collection-grid", "/collection?owner=acme&view=grid", (PUBLISHER,)),
        Place("trash", "/collection/trash?owner=acme", hostile=(hostile.file_name("override"),)),
        Place("item", acme, ALL_READERS),
        *(Place(f"item-{tab}", f"{acme}?tab={tab}") for tab in ("timeline", "details", "incidents", "history")),
        Place("item-versions", item(world, "/releases/nightly/acme-nightly.exe")),
        Place("item-failed", item(world, "/tools/odd.bin"), hostile=(hostile.TEXTS["image"],)),
        *(Place(f"item-hostile-{name}", hostile_item(world, name), (PUBLISHER,), hostile=(hostile.file_name(name), text))
          for name, text in hostile.TEXTS.items()),
        Place("file", f"/files/{sha256}", ALL_READERS),
        Place("analyses", "/analyses?owner=acme", ALL_READERS),
        Place("analyses-detected", "/analyses?owner=acme&state=detected&engine=yara"),
        Place("analyses-none", "/analyses?owner=acme&detection=there-is-no-such-thing", (PUBLISHER,)),
        Place("scan", "/scan", (PUBLISHER, ADMIN)),
        *(Place(f"scan-{name}", f"/scan/{quote(analysis, safe='')}", (ADMIN,)) for name, analysis in world["scans"].items()),
        Place("search-path", "/search?query=acme", ALL_READERS),
        Place("search-hash", f"/search?query={sha256}"),
        Place("search-hostile", f"/search?query={quote(hostile.TEXTS['script'], safe='')}", hostile=(hostile.TEXTS["script"],)),
        Place("search-nothing", "/search?query=there-is-no-such-thing"),
    ]


def _incidents(world):
    numbers = {name: number for name, number in world["incidents"].items() if name != "by_path"}
    acts = (PUBLISHER, ADMIN, VIEWER)
    return [
        Place("incidents", "/incidents", ALL_READERS),
        Place("incidents-all", "/incidents?state=all"),
        Place("incidents-by-day", "/incidents?state=all&opened_from=2020-01-01&order=opened", (PUBLISHER,)),
        Place("incidents-by-name", f"/incidents?state=all&detection={quote('=' + hostile.TEXTS['svg'], safe='')}", (PUBLISHER,),
              hostile=(hostile.TEXTS["svg"],)),
        Place("incidents-requests", "/incidents/requests", (PUBLISHER, ADMIN)),
        *(Place(f"incident-{name}", f"/incidents/{number}", acts) for name, number in numbers.items()),
        *(Place(f"incident-hostile-{name}", f"/incidents/{world['hostile'][name]['incident']}", (PUBLISHER,), hostile=(text,))
          for name, text in hostile.TEXTS.items()),
        Place("dispute-preview", f"/incidents/{numbers['reopened']}/dispute", (PUBLISHER, ADMIN)),
        Place("dispute-preview-hostile", f"/incidents/{world['hostile']['svg']['incident']}/dispute", (PUBLISHER, ADMIN)),
        Place("disputes", "/disputes", ALL_READERS),
        *(Place(f"dispute-{name}", f"/disputes/{number}", acts) for name, number in world["disputes"].items()),
    ]


def _engines(world):
    updates, api = world["updates"], Client(world["url"], world["admin_key"])
    made = {name: api.get(f"/acquit/engines/yara/updates/{updates[name]}") for name in ("promoted", "rejected")}
    sets = {name: update["attributes"]["signature_set"] for name, update in made.items()}
    return [
        Place("engines", "/engines", ALL_READERS),
        *(Place(f"engine-{name}", f"/engines/{name}") for name in ("yara", "clamav", "parrot", "ghost", "picklescan", "pdfid")),
        *(Place(f"update-{name}", f"/engines/yara/updates/{updates[name]}", (ADMIN, PUBLISHER))
          for name in ("promoted", "rejected", "failed")),
        *(Place(f"set-{name}", f"/engines/yara/sets/{identifier}", (ADMIN, PUBLISHER)) for name, identifier in sets.items()),
        Place("update-hostile", f"/engines/parrot/updates/{updates['parrot-failed']}", (ADMIN,), hostile=(hostile.TEXTS["script"],)),
    ]


def _vendors(world):
    hashes, told = world["hashes"], world["hostile"]
    return [
        Place("vendor", "/vendor", VENDORS),
        Place("vendor-statistics", "/vendor/statistics", VENDORS),
        Place("vendor-bundles", "/vendor/bundles", VENDORS),
        *(Place(f"vendor-file-{name}", f"/vendor/files/{sha256}", ("hanna",)) for name, sha256 in hashes.items()),
        *(Place(f"vendor-file-hostile-{name}", f"/vendor/files/{told[name]['sha256']}", ("trent",),
                hostile=(hostile.file_name(name), text)) for name, text in hostile.TEXTS.items()),
    ]


def _admin(world):
    names = tuple(hostile.short(name) for name in hostile.LINES)
    admin = (ADMIN,)
    told = Client(world["url"], world["admin_key"]).get("/acquit/subscriptions", limit=1)[0]["id"]
    return [
        Place("admin", "/admin", admin),
        Place("publishers", "/admin/publishers", admin, hostile=names),
        Place("publisher", "/admin/publishers/acme", admin),
        Place("publisher-hostile", "/admin/publishers/mallory", admin, hostile=(hostile.short("script"), hostile.short("image"))),
        Place("users", "/admin/users", admin, hostile=names),
        Place("keys", "/admin/keys", admin, hostile=names),
        Place("vendors", "/admin/vendors", admin, hostile=(hostile.short("image"),)),
        Place("vendor-of-admin", "/admin/vendors/house-rules", admin),
        Place("directory", "/admin/directory", admin, hostile=(hostile.TEXTS["image"],)),
        Place("user", "/admin/users/paula", admin),
        Place("notifications", "/admin/notifications", admin),
        Place("subscription", f"/admin/notifications/{told}", admin),
        Place("deliveries", "/admin/notifications/deliveries", admin),
        Place("own-notifications", "/notifications", (PUBLISHER, *VENDORS)),
        Place("own-deliveries", "/notifications/deliveries", (PUBLISHER, "hanna")),
        Place("own-ledger", "/ledger", (PUBLISHER, VIEWER)),
        Place("schedule", "/admin/schedule", admin),
        Place("settings", "/admin/settings", admin),
        Place("ledger", "/admin/ledger", admin),
        Place("ledger-actor", "/admin/ledger?actor=acquit", admin),
        Place("events", "/admin/events", admin),
        Place("rescans", "/admin/rescans", admin),
    ]


def _faults(world):
    nobody = "0" * 64
    secret = world["incidents"]["disputed"]
    return [
        Place("fault-missing", "/there/is/no/such/page", (PUBLISHER, ADMIN, "hanna"), 404),
        Place("fault-file", f"/files/{nobody}", (PUBLISHER,), 404),
        Place("fault-vendor-file", f"/vendor/files/{nobody}", ("hanna",), 404),
        Place("fault-anothers-incident", f"/incidents/{secret}", ("simon",), 404),
        Place("fault-role", "/admin/keys", (PUBLISHER, VIEWER, "hanna"), 403),
    ]
