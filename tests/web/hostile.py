"""Texts that somebody sends who means no good, and what a page must show of them.

Each comes into the world through the API, wherever that takes it, and must be on the page as text:
nothing of it runs, and what cannot be seen is made visible.
"""

import unicodedata

# What runs, if anything does: a dialog, which the browser reports, and a mark in the page.
RUN = "alert(window.__pwned=1)"

TEXTS = {
    "script": f"<script>{RUN}</script>",
    "image": f'"><img src=x onerror={RUN}>',
    "attribute": f"' autofocus onfocus='{RUN}' x='",
    "link": f"javascript:{RUN}",
    "svg": f"</title></textarea><svg onload={RUN}>",
    "comment": f"--><script>{RUN}</script><!--",
    "template": "{{7*7}} ${7*7} <%= 7*7 %> {% raw %}",
    "entities": "&lt;b&gt; &amp;amp; &#x3c;i&#x3e;",
    "override": "invoice\u202egpj.exe",
    "isolate": "left\u2066inner\u2069right\u200f",
    "invisible": "pay\u200bpal\u2060me\ufeff",
    "tab": "tab\there",
    "lines": "first line\nsecond line\r\nthird line",
    "controls": "bell\x07 back\x08 escape\x1b[31mred\x1b[0m delete\x7f next\x85",
    "long": "Donaudampfschifffahrts" * 8,
    "wide": "\u5b57" * 90,
    "right": "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd (1) abc",
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e6\U0001f1f9 \U0001f600",
    "marks": "Z" + "\u0335\u0322\u031b" * 6 + "a" + "\u0336\u0327" * 6,
    "spaces": "a\u00a0\u2003\u3000b   c",
}

# Those of one line, as names of people and things are.
LINES = {name: text for name, text in TEXTS.items() if not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in text)}


def file_name(name):
    """A text as the name of a file: a slash would begin a folder."""
    return TEXTS[name].replace("/", "\u2215")


def short(name, length=100):
    """A text that fits into a name of people and things."""
    return LINES[name][:length].strip()


def is_hidden(c):
    """Tells whether a character cannot be seen by itself, line feed and tab apart: those are space."""
    fillers = "\u034f\u115f\u1160\u17b4\u17b5\u2028\u2029\u3164\uffa0"
    return c not in "\n\t" and (unicodedata.category(c) in ("Cc", "Cf") or c in fillers)


def shown(text):
    """What a page says in place of a text: pictures or numbers of what is hidden, single spaces."""
    def picture(c):
        code = ord(c)
        if code < 0x20:
            return chr(0x2400 + code)
        return "\u2421" if code == 0x7F else f"\u27e8U+{code:04X}\u27e9"

    return " ".join("".join(picture(c) if is_hidden(c) else c for c in text).split())
