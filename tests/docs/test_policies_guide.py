"""The guide to policies: its files are written out, its commands run, and what they print is what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from quorate.approval.policy.language import read_policy
from quorate.cli.main import run
from quorate.node import config
from tests.docs.readme_commands import blocks

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "policies.md").read_text()
FILES = {name: body for language, name, body in blocks(GUIDE) if language in ("toml", "json")}
COMMANDS = [
    (line, said)
    for language, _, body in blocks(GUIDE)
    if language == "console"
    for line, _, said in (each.partition("\n") for each in body.split("$ ")[1:])
]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, body in FILES.items():
        (tmp_path / name).write_text(body)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_guide_has_commands() -> None:
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize(("line", "said"), COMMANDS)
def test_a_command_prints_what_the_guide_says(
    line: str, said: str, written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, *arguments = shlex.split(line)
    assert program == "quorate"
    run(arguments)
    printed = re.sub(r"digest [0-9a-f]+", "digest 00", capsys.readouterr().out)
    assert printed == said


def test_the_guide_s_policy_allows_what_it_says_and_no_more(written: Path) -> None:
    payment, when = (written / "payment.json").read_text(), ["--at", "2026-01-30T10:00:00Z"]
    (written / "small.json").write_text(payment.replace("1200", "1000"))
    (written / "ether.json").write_text(payment.replace('"USDC"', '"ETH"').replace("1200", "0.1"))
    assert run(["policy", "test", "policy.toml", "small.json", *when]) == 0
    assert run(["policy", "test", "policy.toml", "ether.json", *when]) == 1


def test_the_guide_s_configuration_is_one_and_its_policies_are_read(written: Path) -> None:
    settings = config.load(written)
    options = settings.approvers["rules"].policy
    assert options is not None
    assert options.file is not None
    assert read_policy(options.file).asks <= settings.approvers.keys()
    assert set(settings.approver.of) <= settings.approvers.keys()
