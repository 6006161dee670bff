"""An appliance of the tests' own, with all it talks to: engines, a mirror, a mail server, webhooks."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from client import Client

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/bench.d"))

from appliance import Appliance  # noqa: E402

FIXTURES = ROOT / "tests/fixtures/web"
# The engine whose answers the tests choose.
PARROT = "parrot"
# One that takes part and has no image: it is down for as long as the stage stands.
GHOST = "ghost"

DIRECTORY = """
[[vendor]]
id = "house-rules"
name = "House Rules"
engines = ["yara"]
channel = "mail"
mail = ["disputes@rules.test"]
archive = "zip"
password = "infected"
turnaround = "a day"
last_verified = "2026-11-24"
source = "ourselves"

[[vendor]]
id = "parrot"
name = '"><img src=x onerror=alert(window.__pwned=1)>'
engines = ["parrot"]
channel = "form"
url = "https://parrot.example/false-positives"
archive = "zip"
text = "Say which {{7*7}} <b>product</b> it is."
last_verified = "2026-11-24"
source = "<script>alert(window.__pwned=1)</script>"
"""


class Peer:
    """A program that says on its first line at which port it listens, and then what came."""

    def __init__(self, directory, script, *arguments):
        self.said = directory / f"{script}.said"
        with self.said.open("wb") as said:
            command = [sys.executable, str(ROOT / "tests" / script), *map(str, arguments)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said)
        end = time.monotonic() + 30
        while not self.said.read_text().endswith("\n"):
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"tests/{script} does not start")
            time.sleep(0.02)
        first = json.loads(self.said.read_text().splitlines()[0])
        self.port = first["port"] if isinstance(first, dict) else first

    def lines(self):
        """What came, oldest first; a line that is being written is not there yet."""
        whole = self.said.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()[1:]]

    def stop(self):
        self.process.terminate()
        self.process.wait(10)


class Mirror:
    """Serves signatures; a file is new by its date whenever it is put."""

    def __init__(self, directory):
        self.root, self.state = directory / "mirror", directory / "mirror.state"
        self.root.mkdir()
        self.state.mkdir()
        self.peer = Peer(directory, "mirror.py", self.root, self.state)

    def url(self, name):
        return f"http://{gateway()}:{self.peer.port}/{name}"

    def put(self, name, text):
        path = self.root / name
        before = path.stat().st_mtime if path.exists() else 0
        path.write_text(text)
        # Dates of HTTP have whole seconds.
        newer = max(time.time(), before) + 2
        os.utime(path, (newer, newer))

    def fault(self, name, kind=None):
        """Spoils the answers for a file until it is called without a kind."""
        text = json.dumps({f"/{name}": kind} if kind else {})
        part = self.state / "faults.part"
        part.write_text(text)
        part.rename(self.state / "faults.json")


def gateway():
    """The address at which containers on Docker's bridge reach this machine."""
    wanted = "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}}{{end}}"
    first = said("docker", "network", "inspect", "bridge", "--format", wanted).split()[0]
    # Older engines do not name the gateway: it is the first address.
    return first.rpartition(".")[0] + ".1" if "/" in first else first


def said(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


class Stage:
    """The appliance and its surroundings, below one directory; nothing runs before `start`."""

    def __init__(self, directory, port, engines, target=ROOT / "target"):
        self.directory, self.engines = Path(directory), list(engines)
        self.directory.mkdir(parents=True)
        os.chmod(self.directory, 0o755)
        self.mirror = Mirror(self.directory)
        self.post = Peer(self.directory, "smtp.py", "none")
        self.hooks = Peer(self.directory, "hooks.py", self.directory / "hook.secrets")
        self.appliance = Appliance(ROOT, self.directory / "appliance", port)
        self.appliance.program = Path(os.environ.get("ACQUIT_PROGRAM", target / "debug/acquit"))
        triple = f"{os.uname().machine}-unknown-linux-gnu"
        self.runner = Path(os.environ.get("ACQUIT_RUNNER", target / triple / "runner/acquit-runner"))
        self.url = f"http://127.0.0.1:{port}"
        self.provider = None

    def single_sign_on(self):
        """Starts a provider of OpenID Connect; returns what the configuration says of it."""
        secret = self.directory / "oidc.secret"
        secret.write_text("s3cret:+\n")
        self.provider = Peer(self.directory, "oidc.py", "acquit", "s3cret:+", f"{self.url}/api/v3/acquit/oidc/callback")
        return {
            "http.public_url": self.url,
            "login.oidc_issuer": f"http://localhost:{self.provider.port}",
            "login.oidc_client_id": "acquit",
            "login.oidc_client_secret_file": str(secret),
        }

    def prepare(self, disabled=(), more=None):
        """Writes the configuration, with `more` values, and the key, and builds the images that are missing."""
        manifests, containers = self.directory / "engines", self.directory / "containers"
        self._copy_engines(manifests, containers)
        (self.directory / "vendors.toml").write_text(DIRECTORY)
        (self.directory / "none").mkdir()
        values = {
            "engines.containers": str(containers),
            "engines.idle_seconds": 3600,
            "updates.system_files": 4,
            "updates.known_good": str(self.directory / "none"),
            "updates.known_bad": str(self.directory / "none"),
            "mail.server": "127.0.0.1",
            "mail.port": self.post.port,
            "mail.security": "none",
            "mail.from": "Acquit <acquit@appliance.test>",
            "notifications.allowed_hosts": ["127.0.0.0/8"],
            "disputes.vendors": [str(self.directory / "vendors.toml")],
            "login.attempts_per_minute": 1000,
            **(more or {}),
        }
        self.appliance.prepare(self.runner, list(disabled), manifests, self._sources(), values)
        self._build()
        self.appliance.make_key()

    def _copy_engines(self, manifests, containers):
        manifests.mkdir()
        containers.mkdir()
        for engine in self.engines:
            own = engine in (PARROT, GHOST)
            manifest = FIXTURES / "parrot.toml" if own else ROOT / f"engines/{engine}.toml"
            context = FIXTURES / "parrot" if own else ROOT / f"containers/{engine}"
            text = manifest.read_text()
            if engine == GHOST:
                text = text.replace('id = "parrot"', 'id = "ghost"').replace("name = 'Parrot", "name = 'Ghost", 1)
            (manifests / f"{engine}.toml").write_text(text)
            shutil.copytree(context, containers / engine)

    def _sources(self):
        """Where signatures come from; what is left out of `engines` is asked of nobody."""
        names = {"yara": "rules.yar", "yara-x": "rules-x.yar", PARROT: "parrot.ndjson", GHOST: "ghost.ndjson"}
        return "".join(
            f'\n[updates.engines.{engine}]\nsources = [{{ url = "{self.mirror.url(name)}" }}]\n'
            for engine, name in names.items()
            if engine in self.engines
        )

    def _build(self):
        for engine in self.engines:
            known = subprocess.run(["docker", "image", "inspect", f"acquit-engine-{engine}:local"], capture_output=True)
            if engine == PARROT or (known.returncode and engine != GHOST):
                command = self.appliance.command("engines", "build", engine)
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"engine {engine} cannot be built: {done.stderr[-3000:]}")

    def start(self):
        """Starts the daemon and waits until every engine that can would scan."""
        self.appliance.start("/livez")
        end = time.monotonic() + 240
        while self._missing():
            if time.monotonic() > end:
                raise SystemExit(f"{self._missing()}, see {self.appliance.log}")
            time.sleep(0.1)
        return self.client(self.appliance.key)

    def restart(self):
        """Ends the daemon and starts it again, with whatever program is there now."""
        self.appliance.stop()
        return self.start()

    def _missing(self):
        rows = self.client(self.appliance.key).get("/acquit/engines")
        good = ("ready", "idle", "disabled")
        states = {row["id"]: row["attributes"]["state"] for row in rows}
        return [f"{id} is {state}" for id, state in states.items() if state not in good and id != GHOST]

    def client(self, key):
        return Client(self.url, key)

    def remove(self):
        """Ends everything that was started and leaves nothing behind."""
        self.appliance.remove()
        for peer in (self.mirror.peer, self.post, self.hooks, self.provider):
            if peer:
                peer.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
