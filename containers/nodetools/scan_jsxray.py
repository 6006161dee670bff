"""js-x-ray over a list of files: JavaScript that hides itself or runs what it should not.

Each file gets a process of its own. What is no JavaScript is not looked into.
"""

import json
import subprocess

import acquit_driver
from acquit_driver import Unsupported, failure, malicious, suspicious, undetected

SECONDS = 50
# What of js-x-ray's warnings tells of an attack, not of careless code.
ATTACKS = ("data-exfiltration", "obfuscated-code", "serialize-environment", "unsafe-command")
# What is honest alone and is not where text becomes code.
DOUBTS = ("encoded-literal", "shady-link", "suspicious-file", "suspicious-literal")


def judge(warnings):
    kinds = [warning["kind"] for warning in warnings]
    attacks = [kind for kind in ATTACKS if kind in kinds]
    if "obfuscated-code" in attacks and len(attacks) > 1:
        return malicious("js-x-ray.obfuscated-code")
    if attacks:
        return suspicious(f"js-x-ray.{attacks[0]}")
    doubts = [kind for kind in DOUBTS if kind in kinds]
    return suspicious(f"js-x-ray.{doubts[0]}") if doubts and "unsafe-stmt" in kinds else undetected()


def examine(path):
    with open(path, "rb") as file:
        data = file.read()
    if b"\0" in data or not data.strip():
        raise Unsupported("no JavaScript")
    command = ["node", "/opt/nodetools/xray.mjs", path]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return failure(f"js-x-ray ends with {done.returncode}: {said[-1] if said else 'no reason given'}")
    answer = json.loads(done.stdout)
    if not answer["ok"]:
        if answer["error"].startswith("SyntaxError"):
            raise Unsupported("no JavaScript")
        return failure(answer["error"])
    if any(warning["kind"] == "parsing-error" for warning in answer["warnings"]):
        raise Unsupported("no JavaScript")
    return judge(answer["warnings"])


acquit_driver.run(examine, SECONDS + 5)
