"""How long the server takes for a page, with the collection of a million items behind it."""

import base64
import statistics
import time
from urllib.parse import quote, urlencode

import items

# Times each page is asked for.
ASKED = 300

WORDS = {
    "dashboard": "the dashboard",
    "large_folder": "a folder of 100,000, from anywhere in it",
    "any_folder": "any folder",
    "item": "an item",
    "file": "a file",
    "analyses": "the heat map",
    "incidents": "the incidents",
    "search_path": "search for a path",
    "search_hash": "search for a hash",
}


class Paths:
    """What is asked for, each time of another item."""

    def __init__(self, questions):
        self.questions = questions

    def dashboard(self):
        return "/"

    def large_folder(self):
        key = items.place(self.questions.any(items.LARGE))
        return f"/collection?owner={items.OWNER}&folder={quote('/large/', safe='')}{items.cursor(key)}"

    def any_folder(self):
        folder = items.path(self.questions.any()).rsplit("/", 1)[0]
        return f"/collection?owner={items.OWNER}&folder={quote(f'{folder}/', safe='')}"

    def item(self):
        name = f"vtmonitor-v1://{items.OWNER}{items.path(self.questions.any())}"
        return "/items/" + quote(base64.b64encode(name.encode()).decode(), safe="")

    def file(self):
        return f"/files/{items.content(self.questions.any()).hex()}"

    def analyses(self):
        return "/analyses"

    def incidents(self):
        return "/incidents"

    def search_path(self):
        return "/search?" + urlencode({"query": items.path(self.questions.any())})

    def search_hash(self):
        return "/search?" + urlencode({"query": items.content(self.questions.any()).hex()})


def sign_in(appliance, connection):
    """Signs in with the key by the form and returns the session's cookie."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/sign-in", urlencode({"key": appliance.key}), form)
    answer = connection.getresponse()
    answer.read()
    cookies = [value.split(";")[0] for name, value in answer.getheaders() if name.lower() == "set-cookie"]
    if not any(cookie.startswith("acquit_session=") for cookie in cookies):
        raise SystemExit(f"nobody could sign in: {answer.status}")
    return "; ".join(cookies)


def ask(appliance, questions, say):
    """Asks for every kind of page; milliseconds by kind: the 50th and the 99th of 100, the longest."""
    connection, paths, rows = appliance.connect(), Paths(questions), {}
    cookie = sign_in(appliance, connection)
    for name in WORDS:
        times = []
        for _ in range(ASKED):
            path = getattr(paths, name)()
            began = time.perf_counter()
            connection.request("GET", path, headers={"Cookie": cookie})
            answer = connection.getresponse()
            page = answer.read()
            times.append((time.perf_counter() - began) * 1000)
            # A search for a hash or a path may lead on to what it found.
            if answer.status not in (200, 303) or (answer.status == 200 and b"</html>" not in page):
                raise SystemExit(f"{path} answered {answer.status}: {page[:300]!r}")
        parts = statistics.quantiles(times, n=100)
        rows[name] = {"p50_ms": parts[49], "p99_ms": parts[98], "max_ms": max(times)}
        say(f"page {name}: p50 {parts[49]:.2f} ms, p99 {parts[98]:.2f} ms")
    connection.close()
    return rows


def print_lines(rows):
    print("The pages of the same collection, made by the server:\n")
    print("| page | p50, ms | p99, ms | longest, ms |")
    print("|---|---:|---:|---:|")
    for name, words in WORDS.items():
        print(f"| {words} | " + " | ".join(f"{rows[name][what]:.2f}" for what in ("p50_ms", "p99_ms", "max_ms")) + " |")
    print()
