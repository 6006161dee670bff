"""What happens in the world: rules that come, detections, what people say and do."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import hostile
import samples
from client import Refused, item_path

# Which numbers YARA's rules flag, edition by edition; the fourth flags every program and is refused.
NAMES = {
    4711: "False_Positive",
    4712: "Win_Generic_Dropper_With_A_Rather_Long_Name_That_Somebody_Thought_Of",
    4713: "Generic_Packed",
    4714: "Heuristic_Autostart",
    4715: "Shell_Downloader",
    4716: "Beta_Trojan",
    4717: "Fresh_Detection",
    4718: "Driver_Rootkit",
    4719: "Tool_Probe",
    4720: "Nobody_Must_Know",
    4721: "Library_Hijack",
    4722: "Driver_Legacy",
}
SUSPICIOUS = {4714, 4719}
FLAGGED = {
    1: [],
    2: [4711, 4712, 4713, 4714, 4715, 4716, 4718, 4719, 4720, 4721, 4722],
    3: [4711, 4712, 4714, 4715, 4716, 4718, 4719, 4720, 4722],
    5: [4711, 4712, 4714, 4715, 4716, 4717, 4718, 4719, 4720, 4721, 4722],
}


def rules(edition):
    """The rules of an edition; every one has a rule of its own, so that no two are alike."""
    lines = [f'rule Edition_{edition} {{ strings: $a = "house rules, edition {edition}" condition: $a }}']
    for number in FLAGGED.get(edition, FLAGGED[3]):
        tag = " : suspicious" if number in SUSPICIOUS else ""
        lines.append(f'rule {NAMES[number]}{tag} {{ strings: $a = "number {number}" condition: $a }}')
    if edition == 4:
        lines.append("rule Everything { condition: uint32(0) == 0x464c457f }")
    return "\n".join(lines) + "\n"


def parrot(edition):
    """What the parrot says: its own test file, reasons of all kinds, and hostile names."""
    answers = [
        ("EICAR-STANDARD-", "malicious", "Parrot.Test.File"),
        ("parrot: hang", "hang", ""),
        ("parrot: fail", "failure", hostile.TEXTS["image"]),
        ("parrot: sealed", "type-unsupported", f"sealed {hostile.TEXTS['script']}"),
        (f"parrot, edition {edition}", "malicious", "Parrot.Edition"),
    ]
    if edition > 1:
        kinds = ("malicious", "suspicious")
        names = enumerate(hostile.TEXTS.items())
        answers += [(f"hostile {name}.", kinds[n % 5 == 4], text) for n, (name, text) in names]
    lines = [json.dumps(dict(zip(("needle", "verdict", "text"), answer))) for answer in answers]
    return "\n".join(lines + ([hostile.TEXTS["script"]] if edition == 2 else [])) + "\n"


def at_once(*acts):
    """Does several things at the same time; returns what each of them came to."""
    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(lambda act: act(), acts))


class Plot:
    """Acts of the world's people; `done` collects the ids that are of interest."""

    def __init__(self, stage, clients):
        self.stage, self.clients, self.done, self.refused = stage, clients, {}, []
        self.admin, self.items = clients["admin"], {}

    def attempt(self, what, act):
        """Does what the API may refuse; what it refuses is written down, not hidden."""
        try:
            return act()
        except Refused as error:
            self.refused.append(f"{what}: {error}")
            return None

    # --- signatures -----------------------------------------------------------

    def bring(self, engine, name, words, outcome="promoted"):
        """Serves signatures and has them fetched; they must end as they should."""
        self.stage.mirror.put(name, words)
        before = self.admin.newest_rescan()
        update = self.admin.update(engine)
        if update["outcome"] != outcome:
            raise SystemExit(f"update of {engine} is {update}")
        # Where there are no files there is nothing to look at again.
        if outcome == "promoted" and self.items:
            self.admin.rescanned(engine, before)
        return update["number"]

    def editions(self, number):
        """The same edition of all signatures; what engines do at their own pace is not waited for in turn."""
        return at_once(
            lambda: self.bring("yara", "rules.yar", rules(number)),
            lambda: self.bring("yara-x", "rules-x.yar", rules(number)),
            lambda: self.bring("parrot", "parrot.ndjson", parrot(number)),
        )

    def first_editions(self):
        self.editions(1)

    def flagging_editions(self):
        self.done["updates"] = {"promoted": self.editions(2)[0]}

    def later_editions(self):
        at_once(self._later_rules, self._later_parrot)

    def _later_rules(self):
        """One resolves, one is refused, one cannot be had, one flags anew."""
        updates = self.done["updates"]
        updates["resolving"] = self.bring("yara", "rules.yar", rules(3))
        updates["rejected"] = self.bring("yara", "rules.yar", rules(4), "rejected")
        self.stage.mirror.fault("rules.yar", "503")
        self.stage.mirror.put("rules.yar", rules(5))
        updates["failed"] = self.admin.update("yara")["number"]
        self.stage.mirror.fault("rules.yar")
        updates["latest"] = self.bring("yara", "rules.yar", rules(5))

    def _later_parrot(self):
        """One cannot be taken, the next one is, and the parrot goes back from it."""
        updates = self.done["updates"]
        refusal = f"refuse {hostile.TEXTS['script']}\n"
        updates["parrot-failed"] = self.bring("parrot", "parrot.ndjson", refusal, "failed")
        updates["parrot-third"] = self.bring("parrot", "parrot.ndjson", parrot(3))
        before = self.admin.newest_rescan()
        self.admin.post("/acquit/engines/parrot/rollback")
        self.admin.rescanned("parrot", before)

    # --- items ----------------------------------------------------------------

    def fill(self):
        """Puts all files where they belong; returns the items by path."""
        acme, items, analyses = self.clients["acme"], {}, []
        files = dict(samples.RELEASES)
        files |= {f"/languages/{name}": samples.language(name) for name in samples.LANGUAGES}
        for name in hostile.TEXTS:
            content = samples.text(f"hostile {name}.")
            files[f"/hostile/{hostile.file_name(name)}"] = content
            files[f"/hostile/in {hostile.file_name(name)}/{name}.txt"] = content + b"in a folder\n"
        for number in range(1, 5):
            item, analysis = acme.put("/releases/nightly/acme-nightly.exe", samples.pe(f"nightly build {number}"))
            items[item["attributes"]["path"]] = item
            analyses.append(analysis)
        for path, content in files.items():
            items[path], analysis = acme.put(path, content)
            analyses.append(analysis)
        acme.put("/empty folder/", None)
        analyses += self._others()
        for analysis in analyses:
            self.admin.completed(analysis)
        self.items = {path: item["id"] for path, item in items.items()}
        self.done["items"] = self.items

    def _others(self):
        secret = self.admin.put("/plans/secret.bin", samples.elf("secretive, number 4711"), "secretive")[1]
        both = self.admin.put("/shared/acmectl", samples.elf("acmectl 1.0, number 4712"), "mallory")[1]
        texts = [
            self.admin.put(f"/{hostile.file_name(name)}", samples.text(f"hostile {name}."), "mallory")[1]
            for name in hostile.TEXTS
        ]
        return [secret, both, *texts]

    def describe(self):
        """Details, release cards, policies, the trash."""
        acme, item = self.clients["acme"], self.items
        acme.patch(f"/monitor/items/{quote(item['/releases/acme-1.0/bin/acme'], safe='')}", {"details": "Our flagship."})
        card = {"product": "Acme", "version": "1.0", "release_date": "2026-01-31", "suite": "Acme Suite",
                "main_files": ["acme", "acmectl"], "purpose": "Does what software does."}
        self.patch_folder("/releases/acme-1.0/", "card", card)
        self.patch_folder("/releases/acme-2.0-beta/", "card", {"product": "Acme", "version": "2.0-beta"})
        self.patch_folder("/internal/", "policy", {"policy": "metadata-only"})
        self.patch_folder("/internal/secret/", "policy", {"policy": "never"})
        self.patch_folder("/drivers/", "policy", {"policy": "file-on-request"})
        for name, words in hostile.TEXTS.items():
            path = item[f"/hostile/{hostile.file_name(name)}"]
            self.attempt(f"details {name}", lambda: acme.patch(f"/monitor/items/{quote(path, safe='')}", {"details": words}))
            card = {key: words for key in ("company", "contact", "product", "version", "suite", "purpose")}
            card |= {"main_files": [words], "homepage": f"https://acme.example/{words}"}
            self.attempt(f"card {name}", lambda: acme.patch(item_path(path, "card"), card))
        self._trash()

    def patch_folder(self, path, part, attributes):
        folder = self.clients["acme"].get("/monitor/items", filter=f"path:{path}", limit=40)
        found = [row for row in folder if row["attributes"]["path"] == path]
        identifier = found[0]["id"] if found else self.folder_id(path)
        return self.clients["acme"].patch(item_path(identifier, part), attributes)

    @staticmethod
    def folder_id(path, owner="acme"):
        import base64

        return base64.b64encode(f"vtmonitor-v1://{owner}{path}".encode()).decode()

    def _trash(self):
        acme = self.clients["acme"]
        for path in ("/old/acme-0.9.exe", "/old/notes.txt", f"/old/{hostile.file_name('override')}"):
            self.admin.completed(acme.put(path, samples.pe(f"old {path}"))[1])
        acme.call("DELETE", f"/monitor/items/{quote(self.folder_id('/old/'), safe='')}")
        once = acme.put("/docs/draft.txt", samples.text("a draft"))[0]["id"]
        acme.call("DELETE", f"/monitor/items/{quote(once, safe='')}")

    # --- incidents ------------------------------------------------------------

    def incidents(self, **wanted):
        """Every incident as the administrator sees it, by engine and a path of its file."""
        rows = self.admin.every("/acquit/incidents", **wanted)
        return {(r["attributes"]["publisher"], r["attributes"]["engine"], p): r for r in rows for p in r["attributes"]["paths"]}

    def incident(self, path, engine="yara", publisher="acme"):
        return self.incidents()[publisher, engine, path]

    def answer(self):
        """What publishers and vendors do with the incidents of the second edition."""
        acme, base = self.clients["acme"], "/releases/acme-1.0/bin/"
        found = self.incidents()
        number = {path: row["id"] for (who, engine, path), row in found.items() if (who, engine) == ("acme", "yara")}
        self.done["incidents"] = {"by_path": number}
        disputed = number[base + "acme"]
        acme.post(f"/acquit/incidents/{disputed}/notes", {"text": "Seen by the night shift.\nNothing new in this build."})
        sent = acme.post("/acquit/disputes", {"incident": int(disputed), "send": True})
        self.done["disputes"] = {"sent": sent["id"]}
        self._vendor_answers(found, disputed)
        acme.patch(f"/acquit/incidents/{number[base + 'acme-tray.exe']}", {"owner": "Paula", "deadline_date": int(time.time()) + 5})
        acme.post(f"/acquit/incidents/{number[base + 'acme-tray.exe']}/acknowledge")
        acme.post(f"/acquit/incidents/{number['/releases/acme-2.0-beta/bin/acme']}/close", {"reason": "The beta ends next week."})
        prepared = acme.post("/acquit/disputes", {"incident": int(number[base + "acmectl"]), "file": "without"})
        self.done["disputes"]["prepared"] = prepared["id"]
        self.done["incidents"] |= {
            "disputed": disputed,
            "acknowledged": number[base + "acme-tray.exe"],
            "resolved": number[base + "acme-updater.exe"],
            "kept_by_vendor": number["/releases/acme-1.0/install.sh"],
            "kept_by_publisher": number["/releases/acme-2.0-beta/bin/acme"],
            "reopened": number["/releases/acme-1.0/lib/libacme.so.1"],
            "prepared": number[base + "acmectl"],
        }

    def _vendor_answers(self, found, disputed):
        rules, acme = self.clients["house-rules"], self.clients["acme"]

        def says(path, **words):
            sha256 = found["acme", "yara", path]["attributes"]["sha256"]
            body = {"data": [{"type": "monitor_hash_comment", "attributes": words}]}
            status, answer = rules.request("POST", f"/api/v3/monitor_partner/hashes/{sha256}/comments", json.dumps(body))
            if status != 200:
                raise Refused(f"comment on {path}", status, answer)
            return sha256

        says("/releases/acme-1.0/bin/acme", comment="The rule is too broad. Mended soon.", fixed_in="edition 6")
        acme.post(f"/acquit/incidents/{disputed}/replies", {"text": "Thank you. When is that?"})
        says("/releases/acme-1.0/install.sh", comment="It downloads and runs.", detection="confirmed")
        asked = says("/drivers/acme.sys", comment="We need to see the file.")
        rules.post(f"/monitor_partner/files/{asked}/request", {"reason": "To mend the rule we need the driver."})
        granted = found["acme", "yara", "/drivers/acme-legacy.sys"]["attributes"]["sha256"]
        rules.post(f"/monitor_partner/files/{granted}/request", {"reason": "The same."})
        acme.post(f"/acquit/file_requests/{granted}/house-rules/grant")
        self.done["hashes"] = {"asked": asked, "granted": granted,
                               "vendor": found["acme", "yara", "/releases/acme-1.0/bin/acme"]["attributes"]["sha256"]}

    def hostile_talk(self):
        """The same threads with hostile words from both sides, and disputes of every state."""
        found, acme, vendor = self.incidents(), self.clients["acme"], self.clients["mallory-vendor"]
        self.done["hostile"] = {}
        for name, words in hostile.TEXTS.items():
            row = found["acme", "parrot", f"/hostile/{hostile.file_name(name)}"]
            number, sha256 = row["id"], row["attributes"]["sha256"]
            self.done["hostile"][name] = {"incident": number, "sha256": sha256}
            for part, key in (("notes", "text"), ("replies", "text")):
                self.attempt(f"{part} {name}", lambda: acme.post(f"/acquit/incidents/{number}/{part}", {key: words}))
            self.attempt(f"owner {name}", lambda: acme.patch(f"/acquit/incidents/{number}", {"owner": words}))
            body = json.dumps({"data": {"attributes": {"comment": words, "fixed_in": words[:100]}}})
            vendor.request("POST", f"/api/v3/monitor_partner/hashes/{sha256}/comments", body)
        self._disputes(found)

    def _disputes(self, found):
        acme, disputes = self.clients["acme"], self.done["disputes"]

        def order(name):
            number = found["acme", "parrot", f"/hostile/{hostile.file_name(name)}"]["id"]
            return acme.post("/acquit/disputes", {"incident": int(number), "file": "without"})["id"]

        disputes["form"] = order("script")
        disputes["ticket"] = order("image")
        acme.post(f"/acquit/disputes/{disputes['ticket']}/ticket", {"ticket": hostile.short("image")})
        disputes["withdrawn"] = order("template")
        acme.post(f"/acquit/disputes/{disputes['withdrawn']}/withdraw")
        disputes["bounced"] = order("entities")
        acme.post(f"/acquit/disputes/{disputes['bounced']}/ticket", {"ticket": "PARROT-7"})
        acme.post(f"/acquit/disputes/{disputes['bounced']}/bounce", {"reason": hostile.TEXTS["script"]})
