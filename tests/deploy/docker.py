"""What our compose files ask of ``docker compose``, by processes of this machine: build, run, up, exec, restart, stop.

Each service's command, environment, volumes, secrets, ports, dependencies, grace period and healthcheck are its own, as
the file says; nothing of the caller's environment reaches it. There is no image: ``quorate`` and ``python`` are this
tree's, and a path or a port of the container is one of this machine's. Users, capabilities and a read-only root are
not kept; tests/deploy/test_compose.py looks at them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.deploy import compose  # noqa: E402

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
HEALTHY = 60.0
OPTIONS = {"--rm", "-d", "--wait", "--entrypoint", "--volumes"}


class Project:
    def __init__(self, file: Path) -> None:
        self.folder = file.parent.absolute()
        self.project = compose.load(file, os.environ)
        self.services: Mapping[str, Mapping[str, Any]] = self.project["services"]
        self.state = self.folder / ".docker"  # kept short: a Unix socket's path has 103 bytes
        self.state.mkdir(exist_ok=True)

    # --- what a container would see

    def environment(self, name: str) -> dict[str, str]:
        service = self.services[name]
        given = dict(image_environment())
        for file in service.get("env_file", []):
            given |= compose.variables((self.folder / file).read_text())
        given |= service.get("environment", {})
        inside = {key: self.translated(name, value) for key, value in given.items() if key != "PATH"}
        return {"PATH": f"{programs(self.state)}:{os.defpath}", "LANG": "C.UTF-8", **inside}

    def argv(self, name: str, arguments: Sequence[str]) -> list[str]:
        entrypoint = self.services[name].get("entrypoint", instruction("ENTRYPOINT"))
        return [self.translated(name, word) for word in (*entrypoint, *arguments)]

    def translated(self, name: str, text: str) -> str:
        for inside, here in self.places(name):
            text = re.sub(rf"(?<![\w/.]){re.escape(inside)}(?![\w.-])", str(here), text)
        others = "|".join(self.services)
        text = re.sub(rf"(?<![\w.])({others}):(\d+)\b", lambda at: self.address(at[1], int(at[2])), text)
        return re.sub(
            r"(?<![\w.])(7100|7200|7300|2112)\b", lambda port: str(self.port(name, int(port[1]))), text
        )

    def places(self, name: str) -> Iterator[tuple[str, Path]]:
        """Paths in the container, and where they are here; the longest first."""
        service = self.services[name]
        found = {"/run/secrets/" + each: self.folder / self.project["secrets"][each]["file"]
                 for each in service.get("secrets", [])}  # fmt: skip
        for source, target, _ in map(compose.mount, service.get("volumes", [])):
            here = self.folder / source if source.startswith("./") else self.state / source
            here.mkdir(exist_ok=True)
            found[target] = here
        yield from sorted(found.items(), reverse=True)

    def address(self, name: str, port: int) -> str:
        return f"127.0.0.1:{self.port(name, port)}"

    def port(self, name: str, inside: int) -> int:
        """The published port, or, for one that only the project's network would see, a free one, kept."""
        for host, target in map(compose.published, self.services[name].get("ports", [])):
            if target == inside:
                return host
        file = self.state / "ports.json"
        ports = json.loads(file.read_text()) if file.exists() else {}
        key = f"{name}:{inside}"
        if key not in ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                ports[key] = probe.getsockname()[1]
            file.write_text(json.dumps(ports))
        return int(ports[key])

    # --- the verbs

    def build(self) -> None:
        """The image is this tree; what goes into one must be there."""
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text(), re.MULTILINE):
            if missing := [each for each in sources.split() if not (ROOT / each).exists()]:
                raise SystemExit(f"{DOCKERFILE} copies {missing}, which are not there")

    def run(self, name: str, arguments: Sequence[str], *, entrypoint: str = "") -> int:
        self.start(list(compose.dependencies(self.services[name])))
        if entrypoint:
            return self.call(name, [entrypoint, *(self.translated(name, word) for word in arguments)])
        return self.call(name, self.argv(name, arguments))

    def exec(self, name: str, arguments: Sequence[str]) -> int:
        if self.pid(name) is None:
            raise SystemExit(f'service "{name}" is not running')
        return self.call(name, [self.translated(name, word) for word in arguments])

    def call(self, name: str, argv: Sequence[str], **options: Any) -> int:
        environment = self.environment(name)
        return subprocess.run(
            [found(argv[0], environment), *argv[1:]], env=environment, cwd=self.state, check=False, **options
        ).returncode

    def start(self, names: Sequence[str], *, wait: bool = False) -> None:
        for name in names:
            for other, how in compose.dependencies(self.services[name]).items():
                self.start([other], wait=how == "service_healthy")
            if self.pid(name) is None:
                self.spawn(name)
        for name in names if wait else ():
            self.await_health(name)

    def spawn(self, name: str) -> None:
        environment = self.environment(name)
        argv = self.argv(name, self.services[name].get("command", instruction("CMD")))
        with (self.state / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [found(argv[0], environment), *argv[1:]],
                env=environment, cwd=self.state, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        (self.state / f"{name}.pid").write_text(str(process.pid))

    def await_health(self, name: str) -> None:
        health = self.services[name]["healthcheck"]
        argv = [self.translated(name, word) for word in health["test"][1:]]
        ends = time.monotonic() + HEALTHY
        while self.call(name, argv, capture_output=True, timeout=compose.seconds(health["timeout"])) != 0:
            if time.monotonic() > ends or self.pid(name) is None:
                raise SystemExit(f"{name} is unhealthy\n" + (self.state / f"{name}.log").read_text())
            time.sleep(0.1)

    def stop(self, names: Sequence[str]) -> None:
        for name in names:
            if (pid := self.pid(name)) is None:
                continue
            os.kill(pid, signal.SIGTERM)
            ends = time.monotonic() + compose.seconds(self.services[name].get("stop_grace_period", "10s"))
            while self.pid(name) is not None and time.monotonic() < ends:
                time.sleep(0.05)
            if self.pid(name) is not None:
                os.kill(pid, signal.SIGKILL)
                raise SystemExit(f"{name} did not stop within its grace period")

    def forget(self) -> None:
        """Named volumes, of every service."""
        for service in self.services.values():
            for source, _, _ in map(compose.mount, service.get("volumes", [])):
                if not source.startswith("./"):
                    shutil.rmtree(self.state / source, ignore_errors=True)

    def pid(self, name: str) -> int | None:
        """Of the service while it runs."""
        file = self.state / f"{name}.pid"
        if not file.exists():
            return None
        state = Path(f"/proc/{file.read_text()}/stat")
        try:
            return None if state.read_text().rpartition(")")[2].split()[0] == "Z" else int(file.read_text())
        except OSError:
            return None

    @property
    def default(self) -> list[str]:
        """What is started without a profile."""
        return [name for name, service in self.services.items() if not service.get("profiles")]


def instruction(name: str) -> list[str]:
    """A Dockerfile's last ENTRYPOINT or CMD."""
    return list(json.loads(re.findall(rf"^{name} (\[.*\])$", DOCKERFILE.read_text(), re.MULTILINE)[-1]))


def image_environment() -> dict[str, str]:
    last = DOCKERFILE.read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    return dict(
        pair.split("=", 1) for line in re.findall(r"^ENV (.*)$", last, re.MULTILINE) for pair in line.split()
    )


def programs(state: Path) -> Path:
    """A directory with the two programs of the image: this tree's."""
    folder = state / "bin"
    if not folder.exists():
        folder.mkdir()
        for name, what in (("quorate", "-m quorate"), ("python", "")):
            program = folder / name
            program.write_text(
                f'#!/bin/sh\nPYTHONPATH="{ROOT / "src"}" exec "{sys.executable}" {what} "$@"\n'
            )
            program.chmod(0o755)
    return folder


def found(program: str, environment: Mapping[str, str]) -> str:
    for folder in environment["PATH"].split(":"):
        if (Path(folder) / program).exists():
            return str(Path(folder) / program)
    raise SystemExit(f"{program}: not in the image")


def main(arguments: list[str]) -> int:
    if arguments.pop(0) != "compose":
        raise SystemExit("only docker compose")
    file = Path("docker-compose.yml")
    if arguments[0] == "-f":
        file, arguments = Path(arguments[1]), arguments[2:]
    project = Project(file)
    verb, *rest = arguments
    options = list(takewhile(lambda word: word.startswith("-"), rest))
    if unknown := set(options) - OPTIONS:
        raise SystemExit(f"docker compose {verb} {unknown} is not known here")
    words = rest[len(options) :]
    entrypoint = words.pop(0) if "--entrypoint" in options else ""
    match verb:
        case "build":
            project.build()
        case "run":
            return project.run(words[0], words[1:], entrypoint=entrypoint)
        case "exec":
            return project.exec(words[0], words[1:])
        case "up":
            project.start(words or project.default, wait="--wait" in options)
        case "restart":
            project.stop(words or project.default)
            project.start(words or project.default)
        case "stop" | "down":
            project.stop(words or project.default)
            if "--volumes" in options:
                project.forget()
        case _:
            raise SystemExit(f"docker compose {verb} is not known here")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
