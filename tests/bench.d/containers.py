"""An engine's own command in containers like the sandbox's, by the docker CLI."""

import shlex
import subprocess
import time

# An engine that is a daemon has two commands of its own: one that brings its
# signatures along, and one that asks the daemon, with all the threads it has.
DAEMONS = {
    "clamav": {
        "once": ["clamscan", "--database=/signatures", "--recursive", "--infected", "--no-summary", "{dir}"],
        "ask": ["clamdscan", "--config-file=/etc/clamav/clamd.conf", "--multiscan", "--infected", "--no-summary", "{dir}"],
        "ready": ["clamdscan", "--config-file=/etc/clamav/clamd.conf", "--ping=1"],
    },
}


class Engine:
    """One manifest, and how its command runs without Acquit."""

    def __init__(self, root, manifest, base):
        self.id, self.manifest, self.base = manifest["id"], manifest, base
        self.image = manifest.get("image", {}).get("reference") or f"acquit-engine-{self.id}:local"
        self.daemon = DAEMONS.get(self.id)
        self.resident = [*manifest["run"]["daemon"]] if self.daemon else ["/bin/sleep", "3600"]
        self.once = self.daemon["once"] if self.daemon else manifest["run"]["command"]
        self.ask = self.daemon["ask"] if self.daemon else self.once
        self.complete = manifest["parse"].get("exit", {}).get("complete", [0])
        context = manifest.get("image", {}).get("context", self.id)
        seed = manifest.get("signatures", {}).get("seed")
        self.signatures = root / "containers" / context / seed if seed else None
        self.seccomp = root / "src/engine/sandbox/seccomp.json"

    def flags(self):
        limits = {"memory_mb": 512, "cpus": 2.0, "pids": 64, "tmp_mb": 64, "open_files": 1024}
        limits.update(self.manifest.get("limits", {}))
        memory = f"{limits['memory_mb']}m"
        flags = [
            "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
            f"--security-opt=seccomp={self.seccomp}", "--user=65534:65534", f"--pids-limit={limits['pids']}",
            f"--memory={memory}", f"--memory-swap={memory}", f"--cpus={limits['cpus']}",
            f"--ulimit=nofile={limits['open_files']}", "--ulimit=core=0", "--ipc=private", "--workdir=/tmp",
            f"--tmpfs=/tmp:rw,noexec,nosuid,nodev,size={limits['tmp_mb']}m,mode=1777",
            f"--volume={self.base}/corpus:/scan:ro", f"--volume={self.base}/lists:/lists:ro", "--label=acquit.bench=1",
        ]
        for name, value in self.manifest["run"].get("env", {}).items():
            flags.append(f"--env={name}={value}")
        if self.signatures:
            path = self.manifest["signatures"].get("path", "/signatures")
            flags.append(f"--volume={self.signatures}:{path}:ro")
        return flags

    def line(self, command, files, listing):
        """A command line for files of the corpus; `listing` names them all."""
        line = []
        for argument in command:
            if argument == "{files}":
                line += [f"/scan/{name}" for name in files]
            else:
                directory = "/scan" if len(files) > 1 else f"/scan/{files[0]}"
                line.append(argument.replace("{list}", listing).replace("{dir}", directory))
        return line

    def run_once(self, line):
        """Seconds of one `docker run` of the command."""
        command = ["docker", "run", "--rm", *self.flags(), "--entrypoint", line[0], self.image, *line[1:]]
        return timed(command, self.complete)

    def native(self, files):
        """(a) The whole folder at once; neither container nor `docker exec` counts."""
        with Resident(self) as resident:
            return resident.run(self.line(self.ask, files, "/lists/all")) - resident.run(["/bin/true"])

    def per_container(self, files):
        """(c) A container for each file."""
        return sum(self.run_once(self.line(self.once, [name], f"/lists/{name}")) for name in files)

    def per_exec(self, files):
        """(d) A `docker exec` for each file."""
        with Resident(self) as resident:
            return sum(resident.run(self.line(self.ask, [name], f"/lists/{name}")) for name in files)

    def alone(self, file, times):
        """Seconds of one scan of one file in a container that is up, the start of `docker exec` shared."""
        line = shlex.join(self.line(self.ask, [file], f"/lists/{file}"))
        script = f"i=0; while [ $i -lt {times} ]; do {line}; i=$((i+1)); done"
        with Resident(self) as resident:
            return (resident.run(["/bin/sh", "-c", script]) - resident.run(["/bin/sh", "-c", ":"])) / times


class Resident:
    """A container of an engine that stays, with the engine's daemon if it has one."""

    def __init__(self, engine):
        self.engine = engine

    def __enter__(self):
        program, *arguments = self.engine.resident
        command = ["docker", "run", "-d", "--rm", *self.engine.flags(), "--entrypoint", program,
                   self.engine.image, *arguments]
        started = subprocess.run(command, check=True, capture_output=True, text=True)
        self.container = started.stdout.strip()
        if self.engine.daemon:
            self.wait_for_daemon()
        return self

    def wait_for_daemon(self):
        command = ["docker", "exec", self.container, *self.engine.daemon["ready"]]
        for _ in range(300):
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.2)
        raise SystemExit(f"the daemon of {self.engine.id} does not answer in its container")

    def __exit__(self, *_):
        subprocess.run(["docker", "kill", self.container], check=False, capture_output=True)

    def run(self, line):
        return timed(["docker", "exec", self.container, *line], self.engine.complete)


def timed(command, complete=(0,)):
    """Seconds a command took; one that did not do its work is no measurement."""
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    seconds = time.monotonic() - began
    if done.returncode not in complete:
        raise SystemExit(f"{shlex.join(command)[-300:]} ended with {done.returncode}: {done.stderr[-500:]!r}")
    return seconds
