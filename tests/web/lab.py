"""A browser that looks closely: whatever a page does wrong on its way is kept and fails the test."""

import contextlib
import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import axe_playwright_python
from playwright.sync_api import Error, sync_playwright

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
THEMES = ("light", "dark")
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
# Most bytes of a page that a browser has never seen, with all it loads.
FIRST_VISIT_BYTES = 150_000
# What Chromium says of all it was loading when a container's interface came or went.
DROPPED = "ERR_NETWORK_CHANGED"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
# What of these depends on colors and on room, and not only on what is there.
LOOKS = ["color-contrast", "target-size", "link-in-text-block", "scrollable-region-focusable", "css-orientation-lock"]
# Milliseconds that anything may take.
PATIENCE = 30_000

# Put into every page before its own scripts: what the policy forbade.
WATCH = """
window.__refused = [];
addEventListener("securitypolicyviolation", (event) =>
  window.__refused.push(`${event.violatedDirective} forbids ${event.blockedURI} ${event.sample}`));
"""

# What is wrong with a page that is there: each finding is a sentence.
INSPECT = r"""
() => {
  const found = [...(window.__refused ?? [])];
  if (window.__pwned !== undefined) found.push("a text was run as a script");
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.body.querySelectorAll("*")].filter((it) => it.getBoundingClientRect().right > root.clientWidth + 1);
    const names = wide.slice(0, 4).map((it) => `${it.tagName.toLowerCase()}.${it.className}`);
    found.push(`the page is ${root.scrollWidth} wide, the window ${root.clientWidth}: ${names}`);
  }
  const shown = /(?![\n\t])[\p{Cc}\p{Cf}\u115f\u1160\u17b4\u17b5\u3164\uffa0\u034f\u2028\u2029]/u;
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (text.parentElement.closest("script, style")) continue;
    if (shown.test(text.data)) found.push(`hidden characters in ${JSON.stringify(text.data.slice(0, 80))}`);
  }
  for (const it of document.querySelectorAll("[title], [aria-label], [alt], [placeholder]")) {
    for (const name of ["title", "aria-label", "alt", "placeholder"]) {
      if (shown.test(it.getAttribute(name) ?? "")) found.push(`hidden characters in ${name} of ${it.outerHTML.slice(0, 120)}`);
    }
  }
  for (const it of document.querySelectorAll("[href], [src], [action], [formaction]")) {
    for (const name of ["href", "src", "action", "formaction"]) {
      const url = it.getAttribute(name) ?? "";
      if (/^\s*(javascript|data|vbscript):/i.test(url)) found.push(`${name} leads to ${url.slice(0, 60)}`);
    }
  }
  if (document.querySelectorAll("h1").length !== 1) found.push(`${document.querySelectorAll("h1").length} first headings`);
  if (!document.title.trim()) found.push("no title");
  return found;
}
"""


class Wrong(Exception):
    """What a page does wrong, one sentence a line."""


def chromium():
    """The browser that the machine has; where there is none the tests fail."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if not found:
        raise SystemExit("there is no chromium: apt-get install chromium, or name one in CHROMIUM")
    return found


class Visit:
    """One tab: where it went wrong is in `wrong`."""

    def __init__(self, context, url, who=None):
        self.url, self.who, self.wrong, self.expected, self.bytes = url, who, [], [], 0
        # Whom it may ask, and the wire it is slowed down by.
        self.hosts, self.wire = {urlsplit(url).netloc}, None
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"a script failed: {error}"))
        self.page.on("request", self._request)
        self.dialogs = []
        # What is answered where the browser asks whether to leave: that is wrong where nothing is.
        self.stays, self.leaving = None, 0
        self.page.on("dialog", self._dialog)
        # Whether some of a page was lost by no fault of the page's.
        self.dropped = False

    def _console(self, message):
        text = f"{message.text} at {message.location.get('url', '')}"
        if DROPPED in text:
            self.dropped = True
        elif message.type in ("error", "warning") and not any(word in text for word in self.expected):
            self.wrong.append(f"console: {text}")

    def _request(self, request):
        asked = urlsplit(request.url)
        if asked.scheme in ("http", "https", "ws", "wss") and asked.netloc not in self.hosts:
            self.wrong.append(f"asks another host: {request.url}")

    def _dialog(self, dialog):
        """A question before an act is answered with yes; whatever else opens is wrong."""
        if dialog.type == "beforeunload" and self.stays is not None:
            self.leaving += 1
            return dialog.dismiss() if self.stays else dialog.accept()
        self.dialogs.append(dialog.message)
        if dialog.type != "confirm":
            self.wrong.append(f"a dialog opened: {dialog.type} {dialog.message}")
        dialog.accept()

    def go(self, path, status=200):
        """Goes to a page, which must answer with a status."""
        if status >= 400:
            self.expected.append(f"status of {status}")
        answer = self._load(path)
        if answer.status != status:
            self.wrong.append(f"answered {answer.status} instead of {status}")
        return answer

    def _load(self, path):
        for _ in range(5):
            self.dropped = False
            try:
                answer = self.page.goto(f"{self.url}{path}", wait_until="load")
            except Error as error:
                if DROPPED not in str(error):
                    raise
                self.dropped = True
            if not self.dropped:
                return answer
        raise Wrong(f"{path} cannot be loaded: the network changes all the time")

    def becomes(self, theme, size):
        """Shows the page in another theme and size, as it is: neither loads anything anew."""
        width, height = SIZES[size]
        self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        self.page.set_viewport_size({"width": width, "height": height})

    def forgets(self):
        """Loads everything anew with each page from now on; `bytes` is what came over the wire."""
        session = self.page.context.new_cdp_session(self.page)
        session.on("Network.loadingFinished", self._loaded)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    def _loaded(self, event):
        self.bytes += event["encodedDataLength"]

    def inspect(self):
        """Looks at the page as it is now."""
        self.wrong += self.page.evaluate(INSPECT)

    def axe(self):
        """Looks whether everybody can use the page; if it was looked at before, at what may differ since."""
        self.wrong += axe(self.page)

    def text(self):
        """What the page says, with single spaces."""
        return " ".join(self.page.evaluate("() => document.body.textContent").split())

    def drop(self, selector, paths):
        """Drags files and folders of this machine onto something, as a person does."""
        box = self.page.locator(selector).bounding_box()
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + min(box["height"] / 2, 200)}
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        session = self.page.context.new_cdp_session(self.page)
        for step in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": step, **at, "data": data})
        session.detach()

    def slow(self, upload=None):
        """Sends so many bytes a second from now on, or as many as it can."""
        self.wire = self.wire or self.page.context.new_cdp_session(self.page)
        self.wire.send("Network.enable")
        limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload or -1}
        self.wire.send("Network.emulateNetworkConditions", limits)

    def drag(self, source, target, key=None):
        """Drags one element onto another with the mouse, perhaps while a key is down."""
        (a, b), mouse = (self._middle(it) for it in (source, target)), self.page.mouse
        mouse.move(*a)
        mouse.down()
        if key:
            self.page.keyboard.down(key)
        mouse.move(*b, steps=6)
        mouse.move(*b)
        mouse.up()
        if key:
            self.page.keyboard.up(key)

    @staticmethod
    def _middle(element):
        element.scroll_into_view_if_needed()
        box = element.bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def check(self, what):
        """Fails if anything was wrong so far, and forgets it."""
        wrong, self.wrong = list(dict.fromkeys(self.wrong)), []
        if wrong:
            raise Wrong("\n".join(f"{what}: {sentence}" for sentence in wrong))


# Puts axe-core in a page, and what runs it there.
AXE = """
window.__axe = async (tags, looks) => {
  const rules = (values) => ({ runOnly: { type: "rule", values }, resultTypes: ["violations"] });
  const all = [...document.querySelectorAll("body *")];
  const visible = new Map(all.map((it) => [it, it.checkVisibility()]));
  const [before, text] = [window.__before, document.documentElement.outerHTML];
  window.__before = { text, visible };
  const run = async (...order) => (await axe.run(...order)).violations;
  if (before?.text !== text) return run(document, { runOnly: tags, resultTypes: ["violations"] });
  // The same page in another look: whole only where something came or went.
  const other = all.filter((it) => before.visible.get(it) !== visible.get(it));
  const about = new Set(other.map((it) => it.closest("a, button, label, summary, table, ul, ol, dl, form, [role]") ?? it));
  const found = await run(document, rules(looks));
  return about.size === 0 ? found : found.concat(await run({ include: [...about] }, { runOnly: tags, resultTypes: ["violations"] }));
};
"""


def axe(page):
    """Runs axe-core in a page; a sentence for every element that breaks a rule."""
    # Over the wire of the debugger: the page's policy lets no other script in.
    session = page.context.new_cdp_session(page)
    try:
        if not evaluate(session, "typeof window.axe === 'object'"):
            evaluate(session, Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text())
            evaluate(session, AXE)
        violations = evaluate(session, f"__axe({RULES}, {LOOKS})")
    finally:
        session.detach()
    return [
        f"axe {found['id']}: {found['help']}: {node['html'][:160]}: {' '.join(str(node.get('failureSummary')).split())[:300]}"
        for found in violations
        for node in found["nodes"]
    ]


def evaluate(session, expression):
    """Runs an expression in a page and returns what it comes to."""
    order = {"expression": expression, "awaitPromise": True, "returnByValue": True}
    answer = session.send("Runtime.evaluate", order)
    if "exceptionDetails" in answer:
        raise Error(str(answer["exceptionDetails"])[:500])
    return answer["result"].get("value")


class Lab:
    """A browser and the appliance it looks at; `out` is where pictures go."""

    def __init__(self, browser, url, out=None):
        self.browser, self.url, self.out, self.states = browser, url, out, {}

    def sign_in(self, name, **credentials):
        """Signs somebody in by the page's own form; what the browser keeps of it is used from now on."""
        context = self.browser.new_context()
        visit = Visit(context, self.url)
        visit.go("/sign-in")
        if "key" in credentials:
            visit.page.locator("summary", has_text="API key").click()
        for field, value in credentials.items():
            visit.page.locator(f"[name={field}]").fill(value)
        visit.check(f"sign-in of {name}")
        last = list(credentials)[-1]
        visit.page.locator(f"form:has([name={last}]) button").first.click()
        visit.page.wait_for_url(lambda url: "/sign-in" not in url)
        self.states[name] = context.storage_state()
        context.close()

    @contextlib.contextmanager
    def visit(self, who=None, theme="light", size="wide", javascript=True):
        """A tab of a browser that has never been here, in a theme and a size, as somebody or nobody."""
        width, height = SIZES[size]
        context = self.browser.new_context(
            storage_state=self.states[who] if who else None,
            color_scheme=theme,
            viewport={"width": width, "height": height},
            java_script_enabled=javascript,
            reduced_motion="reduce",
            locale="en-GB",
            timezone_id="Europe/Vienna",
        )
        context.add_init_script(WATCH)
        try:
            yield Visit(context, self.url, who)
        finally:
            context.close()

    def shoot(self, visit, name):
        """Keeps a picture of the whole page."""
        self.out.mkdir(parents=True, exist_ok=True)
        visit.page.screenshot(path=self.out / f"{name}.png", full_page=True)


@contextlib.contextmanager
def lab(url, out=None):
    """A lab for as long as the context lasts."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            yield Lab(browser, url, out)
        finally:
            browser.close()
