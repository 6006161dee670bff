#!/usr/bin/env python3
"""A world for the pages: an appliance in which everything has happened that a page can show.

    world.py --dir /tmp/acquit-world [--port 8440] [--out world.json] [--keep]

Starts the daemon, the engines, a mirror, a mail server, a receiver of webhooks and a provider of
sign-ins below a directory that must not exist yet, fills them through the API, and writes where everything is.
With --keep all of it runs until this program is ended; the directory goes with it. SIGHUP starts
the daemon again, from the same path: with another program, if one was put there.
"""

import argparse
import contextlib
import json
import shutil
import signal
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import hostile  # noqa: E402
import samples  # noqa: E402
from plot import Plot, parrot, rules  # noqa: E402
from stage import GHOST, PARROT, ROOT, Stage  # noqa: E402

ENGINES = ("yara", "yara-x", "clamav", "pdfid", "oletools", "picklescan", "kicomav", PARROT, GHOST)
DISABLED = ("picklescan",)

# Who signs in, and as what.
USERS = {
    "admin": {"role": "admin", "name": "Ada Admin", "email": "ada@appliance.test"},
    "paula": {"role": "publisher", "publisher": "acme", "name": "Paula Publisher", "email": "paula@acme.test"},
    "victor": {"role": "viewer", "publisher": "acme", "name": "Victor Viewer"},
    "olga": {"role": "viewer", "name": "Olga Overseer"},
    "simon": {"role": "publisher", "publisher": "secretive", "name": "Simon Secretive"},
    "hanna": {"role": "vendor", "vendor": "house-rules", "name": "Hanna House", "email": "hanna@rules.test"},
    "clara": {"role": "vendor", "vendor": "clam", "name": "Clara Clam"},
    "mallory": {"role": "publisher", "publisher": "mallory", "name": hostile.short("script")},
    "trent": {"role": "vendor", "vendor": "mallory-vendor", "name": hostile.short("image")},
}


def password(user):
    return f"{user}-password"


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def make_people(admin, plot):
    """Publishers, vendors, users and keys; hostile names where the API takes them."""
    card = {"company": "Acme Software", "contact": "release@acme.test", "product": "Acme", "version": "0"}
    admin.post("/acquit/publishers", {"id": "acme", "name": "Acme Software", "emails": ["release@acme.test"],
                                      "policy": "file", "quota_bytes": 1 << 30, "card": card, "country": "Austria"})
    admin.post("/acquit/publishers", {"id": "secretive", "name": "Secretive", "policy": "never"})
    admin.post("/acquit/publishers", {"id": "mallory", "name": hostile.short("script"), "policy": "metadata-only",
                                      "legal_name": hostile.short("image"), "country": hostile.short("template"),
                                      "domain": hostile.short("link"), "industry": hostile.short("override")})
    admin.post("/acquit/vendors", {"id": "house-rules", "name": "House Rules", "engines": ["yara"], "emails": ["fp@rules.test"]})
    admin.post("/acquit/vendors", {"id": "clam", "name": "Clam People", "engines": ["clamav"]})
    admin.post("/acquit/vendors", {"id": "mallory-vendor", "name": hostile.short("image"), "engines": [PARROT]})
    for name, seat in USERS.items():
        admin.post("/acquit/users", {"id": name, "password": password(name), **seat})
    for name in hostile.TEXTS:
        text = hostile.TEXTS[name][:100]
        plot.attempt(f"publisher {name}", lambda: admin.post("/acquit/publishers", {"id": f"x-{name}", "name": text}))
        plot.attempt(f"key {name}", lambda: admin.post("/acquit/keys", {"name": text, "role": "viewer"}))
        plot.attempt(f"user {name}", lambda: admin.post("/acquit/users", {"id": f"x-{name}", "name": text, "role": "viewer"}))


def make_keys(stage, admin):
    """A key for each role, and clients that use them; one is revoked, one ends by itself."""
    seats = {
        "acme": {"role": "publisher", "publisher": "acme"},
        "viewer": {"role": "viewer", "publisher": "acme"},
        "house-rules": {"role": "vendor", "vendor": "house-rules"},
        "mallory-vendor": {"role": "vendor", "vendor": "mallory-vendor"},
    }
    keys = {name: admin.post("/acquit/keys", {"name": f"{name} in the tests", **seat}) for name, seat in seats.items()}
    admin.post("/acquit/keys", {"name": "ends by itself", "role": "viewer", "expires": "12h"})
    gone = admin.post("/acquit/keys", {"name": "revoked", "role": "viewer"})
    admin.call("DELETE", f"/acquit/keys/{gone['id']}")
    return {name: key["attributes"]["apikey"] for name, key in keys.items()}


def subscribe(stage, admin, acme, plot):
    """Channels of every kind: some work, one fails, one leads to a hostile address."""
    hooks = f"http://127.0.0.1:{stage.hooks.port}"
    acme.post("/acquit/subscriptions", {"channel": "webhook", "target": f"{hooks}/ok"})
    acme.post("/acquit/subscriptions", {"channel": "mail", "target": "release@acme.test", "pace": {"pace": "daily", "hour": 8}})
    acme.post("/acquit/subscriptions", {"channel": "mail", "target": "night@acme.test", "quiet": {"from": 22, "until": 7, "zone": "Europe/Vienna"}})
    admin.post("/acquit/subscriptions", {"channel": "webhook", "target": f"{hooks}/fail", "publisher": "acme"})
    admin.post("/acquit/subscriptions", {"channel": "mail", "target": "permanent@nowhere.test"})
    for name in ("script", "image", "link"):
        target = f"{hooks}/ok?{hostile.TEXTS[name]}"
        plot.attempt(f"subscription {name}", lambda: admin.post("/acquit/subscriptions", {"channel": "webhook", "target": target}))


def scan(admin, plot):
    """Files that are in no collection."""
    files = {"clean": samples.text("nothing in it"), "eicar": samples.eicar(), "flagged": samples.elf("stranger, number 4711"),
             "disputed": samples.RELEASES["/releases/acme-1.0/bin/acme"]}
    plot.done["scans"] = {name: admin.scan(content) for name, content in files.items()}
    for analysis in plot.done["scans"].values():
        admin.completed(analysis)
    named = admin.get(f"/analyses/{plot.done['scans']['eicar']}/item")
    plot.done["eicar"] = named["id"]


def build(stage):
    """Fills an appliance that has just been prepared; returns what is worth knowing."""
    stage.mirror.put("rules.yar", rules(1))
    stage.mirror.put("rules-x.yar", rules(1))
    stage.mirror.put("parrot.ndjson", parrot(1))
    admin = stage.start()
    say("the engines are ready")
    clients = {"admin": admin}
    plot = Plot(stage, clients)
    make_people(admin, plot)
    keys = make_keys(stage, admin)
    clients |= {name: stage.client(key) for name, key in keys.items()}
    subscribe(stage, admin, clients["acme"], plot)
    for step in (plot.first_editions, plot.fill, plot.describe, plot.flagging_editions, plot.answer,
                 plot.hostile_talk, plot.later_editions):
        step()
        say(f"{step.__name__} is done")
    scan(admin, plot)
    return {
        "url": stage.url,
        "provider": f"http://localhost:{stage.provider.port}",
        "admin_key": stage.appliance.key,
        "keys": keys,
        "users": {name: {"password": password(name), **seat} for name, seat in USERS.items()},
        "directory": str(stage.directory),
        "refused": plot.refused,
        **plot.done,
    }


@contextlib.contextmanager
def world(directory, port=8440, engines=ENGINES, target=ROOT / "target"):
    """A world that stands as long as the context does."""
    stage = Stage(directory, port, engines, target)
    try:
        stage.prepare(DISABLED, stage.single_sign_on())
        yield stage, build(stage)
    finally:
        stage.remove()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", required=True, type=Path, help="directory of all of it; it must not exist")
    parser.add_argument("--port", type=int, default=8440, help="port of the daemon (default 8440)")
    parser.add_argument("--out", type=Path, default=Path("world.json"), help="where to write what is there")
    parser.add_argument("--keep", action="store_true", help="let it run until this program is ended")
    parser.add_argument("--again", action="store_true", help="remove the directory first, if it is there")
    parser.add_argument("--target", type=Path, default=ROOT / "target", help="cargo's target directory")
    return parser.parse_args()


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if options.again:
        shutil.rmtree(options.dir, ignore_errors=True)
    # Whoever waits for it must not find that of a world that is gone.
    options.out.unlink(missing_ok=True)
    began = time.monotonic()
    with world(options.dir, options.port, ENGINES, options.target) as (stage, facts):
        # At once as a whole: others wait for it.
        part = options.out.with_name(f"{options.out.name}.part")
        part.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
        part.rename(options.out)
        print(json.dumps(facts, indent=2, ensure_ascii=False), flush=True)
        say(f"the world stands after {time.monotonic() - began:.0f} s: {facts['url']}")
        signal.signal(signal.SIGHUP, lambda *_: stage.restart())
        while options.keep:
            signal.pause()


if __name__ == "__main__":
    main()
