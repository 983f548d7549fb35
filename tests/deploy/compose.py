"""Compose files as far as ours go: read, interpolated, and checked key by key. What is not listed here is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>[A-Z_]+)(?:(?P<how>:-|:\?)(?P<word>[^}]*))?\})")
DURATION = re.compile(r"(?:(\d+)m)?(?:(\d+)s)?")
LISTS = {
    "command", "entrypoint", "profiles", "ports", "volumes", "tmpfs", "cap_drop", "security_opt", "secrets", "env_file",
}  # fmt: skip
TEXTS = {"image", "user", "restart", "stop_grace_period"}
MAPPINGS = {"build", "environment", "healthcheck", "logging", "ulimits"}
SERVICE = LISTS | TEXTS | MAPPINGS | {"depends_on", "read_only"}
HEALTHCHECK = {"test", "interval", "timeout", "retries", "start_period"}
TOP = {"name", "services", "volumes", "secrets"}


class NotCompose(Exception):
    """What is wrong, and where."""


def load(file: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables filled in from ``environment`` and the ``.env`` beside it, and checked."""
    beside = file.parent / ".env"
    known = {**(variables(beside.read_text()) if beside.exists() else {}), **environment}
    project = filled(yaml.safe_load(file.read_text()), known)
    project = {name: value for name, value in project.items() if not name.startswith("x-")}
    check(project)
    return dict(project)


def variables(text: str) -> dict[str, str]:
    """An env file: NAME=VALUE lines, comments, nothing quoted."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def filled(value: Any, known: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: filled(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, known) for each in value]
    return VARIABLE.sub(lambda found: word(found, known), value) if isinstance(value, str) else value


def word(found: re.Match[str], known: Mapping[str, str]) -> str:
    if found["name"] is None:
        return "$"
    held = known.get(found["name"], "")
    if held or found["how"] is None:
        return held
    if found["how"] == ":?":
        raise NotCompose(f"{found['name']}: {found['word']}")
    return str(found["word"])


def seconds(text: str) -> int:
    found = DURATION.fullmatch(text)
    if found is None or not text:
        raise NotCompose(f"{text!r} is no duration")
    minutes, rest = (int(part or 0) for part in found.groups())
    return 60 * minutes + rest


def check(project: Mapping[str, Any]) -> None:
    must(project.keys() <= TOP, f"unknown at the top: {project.keys() - TOP}")
    must(bool(project.get("services")), "no services")
    for name, service in project["services"].items():
        try:
            check_service(service, project)
        except NotCompose as error:
            raise NotCompose(f"services.{name}: {error}") from None
    for name, secret in project.get("secrets", {}).items():
        must(secret.keys() == {"file"}, f"secrets.{name}: a file")


def check_service(service: Mapping[str, Any], project: Mapping[str, Any]) -> None:
    must(service.keys() <= SERVICE, f"unknown: {service.keys() - SERVICE}")
    must("image" in service, "no image")
    for key, value in service.items():
        if key in LISTS:
            must(isinstance(value, list) and all(isinstance(each, str) for each in value), f"{key}: texts")
        if key in TEXTS:
            must(isinstance(value, str) and bool(value), f"{key}: a text")
        if key in MAPPINGS:
            must(isinstance(value, dict), f"{key}: a mapping")
    for name, value in service.get("environment", {}).items():
        must(isinstance(value, str), f"environment.{name}: {value!r} is not in quotes")
    must(service.get("restart", "no") in {"no", "always", "unless-stopped", "on-failure"}, "restart")
    for other, how in dependencies(service).items():
        must(other in project["services"], f"depends_on: there is no {other}")
        must(how in {"service_started", "service_healthy"}, f"depends_on: {how}")
        must(
            how != "service_healthy" or "healthcheck" in project["services"][other],
            f"{other} has no healthcheck",
        )
    for secret in service.get("secrets", []):
        must(secret in project.get("secrets", {}), f"there is no secret {secret}")
    for source, target, mode in map(mount, service.get("volumes", [])):
        must(source.startswith("./") or source in project.get("volumes", {}), f"there is no volume {source}")
        must(target.startswith("/") and mode in {"rw", "ro"}, f"volume {source}: {target} {mode}")
    for host, inside in map(published, service.get("ports", [])):
        must(0 < host < 1 << 16 and 0 < inside < 1 << 16, f"ports: {host}:{inside}")
    if "stop_grace_period" in service:
        seconds(service["stop_grace_period"])
    if (health := service.get("healthcheck")) is not None:
        must(health.keys() <= HEALTHCHECK and health["test"][0] == "CMD", "healthcheck")
        must(
            all(seconds(health[key]) > 0 for key in HEALTHCHECK - {"test", "retries"} & health.keys()),
            "healthcheck",
        )


def dependencies(service: Mapping[str, Any]) -> dict[str, str]:
    """The services this one starts after, and what it waits for."""
    listed = service.get("depends_on", {})
    if isinstance(listed, list):
        return dict.fromkeys(listed, "service_started")
    return {name: how["condition"] for name, how in listed.items()}


def mount(text: str) -> tuple[str, str, str]:
    """Source, target, mode."""
    source, target, *mode = text.split(":")
    return source, target, mode[0] if mode else "rw"


def published(text: str) -> tuple[int, int]:
    """The port on the host, and the one in the container."""
    *_, host, inside = text.split(":")
    must(host.isdigit() and inside.isdigit(), f"ports: {text}")
    return int(host), int(inside)


def must(holds: bool, what: str) -> None:
    if not holds:
        raise NotCompose(what)
