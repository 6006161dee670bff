"""An engine's own command in containers like the sandbox's, by the docker CLI."""

import shlex
import subprocess
import time

# What a silent scan of the engine itself is where its manifest starts a daemon.
NATIVE = {"clamav": ["clamscan", "--database=/signatures", "--recursive", "--infected", "--no-summary", "{dir}"]}


class Engine:
    """One manifest, and how its command runs without Acquit."""

    def __init__(self, root, manifest, base):
        self.id, self.manifest, self.base = manifest["id"], manifest, base
        self.image = manifest.get("image", {}).get("reference") or f"acquit-engine-{self.id}:local"
        self.command = NATIVE.get(self.id) or manifest["run"].get("command", [])
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

    def line(self, files, listing):
        """The command line for files of the corpus; `listing` names them all."""
        line = []
        for argument in self.command:
            if argument == "{files}":
                line += [f"/scan/{name}" for name in files]
            else:
                directory = "/scan" if len(files) > 1 else f"/scan/{files[0]}"
                line.append(argument.replace("{list}", listing).replace("{dir}", directory))
        return line

    def run_once(self, line):
        """Seconds of one `docker run` of the command."""
        command = ["docker", "run", "--rm", *self.flags(), "--entrypoint", line[0], self.image, *line[1:]]
        return timed(command)

    def native(self, files):
        """(a) The whole folder at once, without the start of the container."""
        with Resident(self) as resident:
            return resident.run(self.line(files, "/lists/all"))

    def per_container(self, files):
        """(c) A container for each file."""
        return sum(self.run_once(self.line([name], f"/lists/{name}")) for name in files)

    def per_exec(self, files):
        """(d) A `docker exec` for each file."""
        with Resident(self) as resident:
            return sum(resident.run(self.line([name], f"/lists/{name}")) for name in files)

    def alone(self, file, times):
        """Seconds of one scan of one file in a container that is up, the start of `docker exec` shared."""
        line = shlex.join(self.line([file], f"/lists/{file}"))
        script = f"i=0; while [ $i -lt {times} ]; do {line}; i=$((i+1)); done"
        with Resident(self) as resident:
            return (resident.run(["/bin/sh", "-c", script]) - resident.run(["/bin/sh", "-c", ":"])) / times


class Resident:
    """A container of an engine that does nothing but stay."""

    def __init__(self, engine):
        self.engine = engine

    def __enter__(self):
        command = ["docker", "run", "-d", "--rm", *self.engine.flags(), "--entrypoint", "/bin/sleep",
                   self.engine.image, "3600"]
        started = subprocess.run(command, check=True, capture_output=True, text=True)
        self.container = started.stdout.strip()
        return self

    def __exit__(self, *_):
        subprocess.run(["docker", "kill", self.container], check=False, capture_output=True)

    def run(self, line):
        return timed(["docker", "exec", self.container, *line])


def timed(command):
    """Seconds a command took. A scanner's exit code is no success or failure; Docker's own are."""
    began = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    seconds = time.monotonic() - began
    if done.returncode in (125, 126, 127, 137):
        raise SystemExit(f"{shlex.join(command[:4])} … ended with {done.returncode}: {done.stderr[-500:]!r}")
    return seconds
