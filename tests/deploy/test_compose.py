"""What stands in deploy/: well formed, and as careful as the threat model needs it."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from quorate.node.config import Limits, Settings
from tests.deploy import compose
from tests.deploy.docker import image_environment, instruction

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = ("docker-compose.yml", "docker-compose.demo.yml")
EXAMPLE = compose.variables((DEPLOY / ".env.example").read_text())
DRAIN = Limits().drain
OF_COMMANDS = {"QUORATE_HOME", "QUORATE_NAME", "QUORATE_ADVERTISE", "QUORATE_CARDS"}


def services() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in FILES:
        for name, service in compose.load(DEPLOY / file, EXAMPLE)["services"].items():
            yield f"{file} {name}", service


def nodes() -> list[tuple[str, dict[str, Any]]]:
    return [(name, service) for name, service in services() if service.get("command") == ["run"]]


@pytest.mark.parametrize("file", FILES)
def test_a_compose_file_holds_nothing_but_what_compose_knows(file: str) -> None:
    assert compose.load(DEPLOY / file, EXAMPLE)["services"]


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("restart:", "restrat:", "unknown"),
        ("unless-stopped", "sometimes", "restart"),
        ("secrets: [passphrase]", "secrets: [password]", "no secret"),
        ("data:/data", "dta:/data", "no volume"),
        ("stop_grace_period: 40s", "stop_grace_period: long", "no duration"),
        ('"CMD", ', "", "healthcheck"),
        ('"7100"', "7100", "not in quotes"),
        ("}:7100", "}:x", "ports"),
        ("depends_on: [node]", "depends_on: [nodes]", "there is no nodes"),
    ],
)
def test_a_mistake_in_a_compose_file_is_found(tmp_path: Path, before: str, after: str, why: str) -> None:
    text = (DEPLOY / "docker-compose.yml").read_text()
    assert before in text
    (tmp_path / "docker-compose.yml").write_text(text.replace(before, after))
    with pytest.raises(compose.NotCompose, match=why):
        compose.load(tmp_path / "docker-compose.yml", EXAMPLE)


def test_a_node_is_not_started_without_a_name_and_an_address() -> None:
    for name in ("NAME", "ADVERTISE"):
        with pytest.raises(compose.NotCompose, match=f"set {name} in .env"):
            compose.load(DEPLOY / "docker-compose.yml", {**EXAMPLE, name: ""})


def test_every_variable_of_a_compose_file_is_explained_in_the_example() -> None:
    used = {
        found["name"] for file in FILES for found in compose.VARIABLE.finditer((DEPLOY / file).read_text())
    }
    assert used - {None} <= EXAMPLE.keys()


def test_nothing_of_ours_runs_as_root_or_may_write_its_image_or_gain_rights() -> None:
    ours = [(name, service) for name, service in services() if service["image"] == "quorate"]
    assert len(ours) == 5
    for name, service in ours:
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_a_node_has_time_to_finish_comes_back_and_is_asked_how_it_is() -> None:
    assert len(nodes()) == 4
    for name, service in nodes():
        assert compose.seconds(service["stop_grace_period"]) > DRAIN + 10, name
        assert service["restart"] == "unless-stopped", name
        assert "/livez" in service["healthcheck"]["test"][-1], name
        assert any(target == "/data" for _, target, _ in map(compose.mount, service["volumes"])), name


def test_secrets_are_files_and_in_no_environment() -> None:
    for name, service in nodes():
        assert service["secrets"] == ["passphrase"], name
        assert service["environment"]["QUORATE_KEY__PASSPHRASE_FILE"] == "/run/secrets/passphrase", name
        assert not [key for key in service["environment"] if "SECRET" in key or key.endswith("PASSPHRASE")], (
            name
        )


def test_every_setting_in_an_environment_is_one_that_a_node_reads() -> None:
    given = {key for _, service in nodes() for key in service["environment"]} | image_environment().keys()
    example = re.findall(r"^#?(QUORATE_\w+)=", (DEPLOY / ".env.example").read_text(), re.MULTILINE)
    keys = {key for key in (*given, *example) if key.startswith("QUORATE_")} - OF_COMMANDS
    assert keys
    for key in keys:
        model: Any = Settings
        for part in key.removeprefix("QUORATE_").lower().split("__"):
            field = model.model_fields[part].annotation
            choices = (field, *getattr(field, "__args__", ()))
            model = next((each for each in choices if hasattr(each, "model_fields")), None)


def test_the_image_is_built_in_two_stages_and_ends_as_nobody_in_particular() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    _, build, run = text.split("\nFROM ")
    assert "gcc" in build
    assert "gcc" not in run
    assert "--require-hashes" in build
    assert re.findall(r"^USER (.*)$", run, re.MULTILINE) == ["10001:10001"]
    assert (instruction("ENTRYPOINT"), instruction("CMD")) == (["quorate"], ["run"])
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", build, re.MULTILINE):
        for name in source.split():
            assert (DEPLOY.parent / name).exists(), name


def test_the_systemd_unit_runs_a_node_as_carefully() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(DEPLOY / "quorate.service")
    service = unit["Service"]
    assert service["ExecStart"].split()[1:] == ["run"]
    assert service["User"] == "quorate"
    assert float(service["TimeoutStopSec"]) > DRAIN + 10
    assert (service["NoNewPrivileges"], service["ProtectSystem"], service["LimitCORE"]) == (
        "yes",
        "strict",
        "0",
    )
    assert "%d/passphrase" in (DEPLOY / "quorate.service").read_text()
    assert service["LoadCredential"].startswith("passphrase:")


def test_prometheus_reads_the_alerts_and_asks_the_node() -> None:
    settings = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    for file in settings["rule_files"]:
        assert yaml.safe_load((DEPLOY / "prometheus" / file).read_text())["groups"]
    [target] = settings["scrape_configs"][0]["static_configs"][0]["targets"]
    service, _, port = target.partition(":")
    node = compose.load(DEPLOY / "docker-compose.yml", EXAMPLE)["services"][service]
    assert node["environment"]["QUORATE_METRICS__PORT"] == port
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/quorate.yml").read_text())[
        "providers"
    ][0]
    grafana = compose.load(DEPLOY / "docker-compose.yml", EXAMPLE)["services"]["grafana"]
    mounted = [target for _, target, _ in map(compose.mount, grafana["volumes"])]
    assert any(target.startswith(provider["options"]["path"]) for target in mounted)
