"""Somebody at a browser, who presses, types and waits as people do."""

import re
from urllib.parse import urlsplit


class Person:
    """Somebody at a browser, whose tab must have done nothing wrong after each step."""

    def __init__(self, name, visit):
        self.name, self.visit, self.page = name, visit, visit.page

    def go(self, path):
        self.visit.go(path)

    def press(self, name):
        """Presses a button or follows a link, by what it says."""
        name = re.compile(name)
        found = self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name))
        found.locator("visible=true").first.click()

    def send(self, action, act=None, **values):
        """Fills in the form that is sent to a path and has these fields, and sends it."""
        having = "".join(f":has([name={name}])" for name in values)
        form = self.page.locator(f"main form[action='{action}']{having}").first
        for name, value in values.items():
            field = form.locator(f"[name={name}]").first
            kind = field.evaluate("(it) => it.localName + ' ' + it.type")
            if kind.startswith("select"):
                field.select_option(value)
            elif "checkbox" in kind or "radio" in kind:
                form.locator(f"[name={name}][value='{value}']").check()
            else:
                field.fill(value)
        button = form.locator(f"button[value={act}]" if act else "button")
        with self.page.expect_navigation():
            button.first.click()

    def sees(self, text, within="body", seconds=30):
        """Waits until a text is on the page, whether the page came anew or changed by itself."""
        shown = self.page.locator(within).get_by_text(re.compile(text)).locator("visible=true")
        shown.first.wait_for(timeout=seconds * 1000)

    def misses(self, text):
        if text in self.visit.text():
            self.visit.wrong.append(f"shows {text!r}, which is not for {self.name}")

    def looks(self):
        """The page as it is now is as every page must be."""
        self.visit.inspect()
        self.visit.axe()
        self.visit.check(f"{self.name} at {self.page.url}")

    def sign_in(self, **credentials):
        if "key" in credentials:
            self.page.locator("summary", has_text="API key").click()
        for name, value in credentials.items():
            self.page.locator(f"[name={name}]").fill(value)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(lambda url: "/sign-in" not in url)

    def is_at(self, path):
        self.page.wait_for_url(lambda url: urlsplit(url).path == path)
