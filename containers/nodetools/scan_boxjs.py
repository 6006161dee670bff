"""box-js over a list of files: what a script does when Windows runs it.

The script really runs, in an emulation that it may leave: what it does then is
within a container that is thrown away after it. Whatever was not emulated to
its end is no clean answer.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile

import acquit_driver
from acquit_driver import Unsupported, failure, suspicious, undetected

SECONDS = 40
EMULATION_SECONDS = 20
NOT_JAVASCRIPT = 4
# What only scripts of Node.js have; the emulation would hand them to Node.js itself.
NODE = re.compile(rb"\brequire\s*\(|\bmodule\.exports\b|^\s*(import|export)\s", re.MULTILINE)
# What a script does that is more than looking around.
DEEDS = (
    "PayloadExec", "Run", "CommandExec", "Task", "WMI.GetObject.Create", "WMI.GetObject.Run", "DynamicCode",
    "UrlFetch", "XMLHTTP", "RegWrite", "RegDelete", "FileWrite", "FileMove", "FileDelete", "FolderDelete",
    "ADODBStream", "CreateShortcut", "Obfuscated ActiveX Object", "WindowsInstaller",
)


def emulate(path, folder):
    """Returns box-js' exit code, what it printed, and what it saw, if it says so."""
    script, results = os.path.join(folder, "script.js"), os.path.join(folder, "results")
    shutil.copyfile(path, script)
    os.mkdir(results)
    command = [
        "node", "/opt/nodetools/node_modules/box-js/run.js", script, f"--output-dir={results}",
        f"--timeout={EMULATION_SECONDS}", "--no-shell-error", "--no-kill",
    ]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False, cwd=folder)
    seen = os.path.join(results, "script.js.results", "IOC.json")
    if not os.path.exists(seen):
        return done, None
    with open(seen, encoding="utf-8") as file:
        return done, json.load(file)


def examine(path):
    with open(path, "rb") as file:
        data = file.read()
    if b"\0" in data or not data.strip():
        raise Unsupported("no script")
    if NODE.search(data):
        raise Unsupported("a script for Node.js")
    with tempfile.TemporaryDirectory() as folder:
        done, seen = emulate(path, folder)
    if done.returncode == NOT_JAVASCRIPT:
        raise Unsupported("no JavaScript")
    kinds = [found["type"] for found in seen or []]
    deeds = [deed for deed in DEEDS if deed in kinds]
    if deeds:
        return suspicious(f"box-js.{deeds[0].replace(' ', '-')}")
    if done.returncode != 0:
        return failure(f"box-js ends with {done.returncode}")
    if b"timed out" in done.stdout + done.stderr:
        return failure(f"the script does not end within {EMULATION_SECONDS} seconds")
    if "Sample Name" not in kinds:
        return failure("box-js does not say that it ran the script")
    return undetected()


acquit_driver.run(examine, SECONDS + 5)
