"""Files of many kinds, made here, small, and no two alike."""

import io
import struct
import zipfile

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"


def elf(text):
    """The head of a program for Linux, and a text that signatures may look for."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 62, 1) + bytes(40)
    return head + text.encode() + b"\n"


def pe(text):
    """A program for Windows with one section, whose content is a text."""
    dos = b"MZ" + bytes(58) + struct.pack("<I", 64)
    coff = b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 1, 0x66000000, 0, 0, 240, 0x22)
    optional = struct.pack("<HBBIIIIIQIIHHHHHHIIIIHHQQQQII", 0x20B, 14, 0, 512, 0, 0, 4096, 4096, 0x140000000, 4096, 512,
                           6, 0, 0, 0, 6, 0, 0, 8192, 512, 0, 3, 0x8160, 1 << 20, 4096, 1 << 20, 4096, 0, 16)
    section = b".text\0\0\0" + struct.pack("<IIIIIIHHI", 512, 4096, 512, 512, 0, 0, 0, 0, 0x60000020)
    head = dos + coff + optional + bytes(128) + section
    return head.ljust(512, b"\0") + text.encode().ljust(512, b"\0")


def archive(members):
    """A ZIP archive, the same one for the same members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content)
    return out.getvalue()


def document(text):
    body = f'<w:document xmlns:w="{WORD}"><w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body></w:document>'
    return archive({"[Content_Types].xml": f'<Types xmlns="{TYPES}"/>', "word/document.xml": body})


def pdf(text, more=""):
    return (
        f"%PDF-1.4\n% {text}\n1 0 obj\n<</Type/Catalog/Pages 2 0 R {more}>>\nendobj\n"
        "2 0 obj\n<</Type/Pages/Kids[]/Count 0>>\nendobj\nxref\n0 1\n"
        f"trailer\n<</Root 1 0 R {more}>>\nstartxref\n0\n%%EOF\n"
    ).encode()


def launching_pdf(text):
    """Starts a program when it is opened; put together here, so that no scanner eats this file."""
    return pdf(text, "/Open" + "Action <</S /Launch /Win <</F (cmd" + ".exe)>> >>")


def script(text):
    return f"#!/bin/sh\n# {text}\nprintf 'installed\\n'\n".encode()


def picture(text):
    return b"\x89PNG\r\n\x1a\n" + text.encode()


def text(words):
    return f"{words}\n".encode()


def eicar():
    return ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*").encode()


# Folders and files of a publisher: path and content. `number N` is what rules look for.
RELEASES = {
    "/releases/acme-1.0/bin/acme": elf("Acme 1.0, number 4711"),
    "/releases/acme-1.0/bin/acmectl": elf("acmectl 1.0, number 4712"),
    "/releases/acme-1.0/bin/acme-updater.exe": pe("Acme updater 1.0, number 4713"),
    "/releases/acme-1.0/bin/acme-tray.exe": pe("Acme tray 1.0, number 4714"),
    "/releases/acme-1.0/lib/libacme.so.1": elf("libacme, number 4721"),
    "/releases/acme-1.0/install.sh": script("installer of Acme 1.0, number 4715"),
    "/releases/acme-1.0/README.txt": text("Read me first."),
    "/releases/acme-1.0/LICENSE": text("Do as you like."),
    "/releases/acme-1.0/manual.pdf": pdf("manual of Acme 1.0"),
    "/releases/acme-1.0.zip": archive({"acme/bin/acme": elf("Acme 1.0 zipped"), "acme/README.txt": "Read me."}),
    "/releases/acme-2.0-beta/bin/acme": elf("Acme 2.0 beta, number 4716"),
    "/releases/acme-2.0-beta/bin/acmectl": elf("acmectl 1.0, number 4712"),
    "/releases/acme-2.0-beta/bin/acme.exe": pe("Acme 2.0 beta for Windows, number 4717"),
    "/releases/acme-2.0-beta/setup.msi": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + b"Acme 2.0 setup",
    "/releases/acme-2.0-beta/notes.docx": document("What is new in Acme 2.0"),
    "/drivers/acme.sys": pe("driver of Acme, number 4718"),
    "/drivers/acme-legacy.sys": pe("old driver of Acme, number 4722"),
    "/drivers/acme.inf": text("[Version]\nSignature=\"$WINDOWS NT$\"\nClass=Acme"),
    "/internal/probe.exe": pe("Acme probe, number 4719"),
    "/internal/secret/prototype.exe": pe("not announced, number 4720"),
    "/docs/data-sheet.pdf": pdf("data sheet"),
    "/docs/kiosk.pdf": launching_pdf("opens the demonstration"),
    "/docs/logo.png": picture("a logo"),
    "/docs/prices.xlsx": archive({"[Content_Types].xml": f'<Types xmlns="{TYPES}"/>', "xl/workbook.xml": "<workbook/>"}),
    "/docs/empty.txt": b"",
    "/tools/slow.bin": b"parrot: hang\n",
    "/tools/odd.bin": b"parrot: fail\n",
    "/tools/sealed.bin": b"parrot: sealed\n",
    "/tools/model.pkl": b"\x80\x04]\x94(K\x01K\x02K\x03e.",
    "/tools/build.js": text("console.log('built');"),
}

LANGUAGES = [
    "\u767a\u884c\u30ce\u30fc\u30c8.txt",
    "\u0420\u0443\u043a\u043e\u0432\u043e\u0434\u0441\u0442\u0432\u043e \u043f\u043e\u043b\u044c\u0437\u043e\u0432\u0430\u0442\u0435\u043b\u044f.pdf",
    "\u062f\u0644\u064a\u0644 \u0627\u0644\u0645\u0633\u062a\u062e\u062f\u0645.docx",
    "\u05de\u05d3\u05e8\u05d9\u05da.txt",
    "\u0e04\u0e39\u0e48\u0e21\u0e37\u0e2d.pdf",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u0938\u0939\u093e\u092f\u0924\u093e.txt",
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03ac.sh",
    "\ud55c\uad6d\uc5b4 \uc124\uba85\uc11c.pdf",
    "T\u00e0i li\u1ec7u \u0111\u1ea7y \u0111\u1ee7.txt",
    "Gr\u00f6\u00dfen\u00e4nderung \u2013 \u00dcbersicht (neu).pdf",
    "\U0001f680 launch \U0001f469\u200d\U0001f52c.sh",
    "a very long name that goes on and on " * 6 + ".txt",
    "no-space-at-all-" * 14 + ".bin",
]


def language(name):
    """The content of a file named in some script, by what its name ends with."""
    kinds = {"pdf": pdf, "docx": document, "sh": script, "bin": elf}
    return kinds.get(name.rsplit(".", 1)[-1], text)(f"of {name}")
