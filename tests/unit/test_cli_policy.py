"""quorate policy: what it says of good files and bad ones, and of what a resting node has decided."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from quorate.ceremony.ports import Decision, DecisionRow, Verdict
from quorate.cli.main import run
from quorate.identifiers import OperationId
from quorate.node import config, founding
from quorate.operations.effect_json import encode_effect
from tests.approval.policies import HEAD, MAKES_A_VAULT, does, rule, usdc
from tests.storage.story import operation

SMALL = HEAD + rule("small", limits='[{ asset = "USDC", each = "100" }]')


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's home, with a policy of its own and two drafts beside it."""
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "policy.toml": HEAD + rule("anything"),
        "small.toml": SMALL,
        "bad.toml": SMALL.replace('"100"', '"1OO"'),
    }.items():
        (tmp_path / name).write_text(text)
    assert run(["init", "--home", "node", "--name", "alice", "--advertise", "127.0.0.1:7100", "--json"]) == 0
    settings = tmp_path / "node" / config.FILE
    section = (
        '[approver]\ntype = "policy"\n[approver.policy]\nfile = "../policy.toml"\nshadow = "../small.toml"\n'
    )
    kept = settings.read_text().partition("[approver]")[0]  # init writes one that approves nothing
    settings.write_text(kept + section)
    return tmp_path / "node"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_check_tells_a_mistake_with_its_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["policy", "check", "small.toml"]) == 0
    assert run(["policy", "check", "bad.toml"]) == 2
    said = capsys.readouterr().err
    assert f'bad.toml:{SMALL[: SMALL.index("limits")].count(chr(10)) + 1}: rule "small"' in said
    assert "'1OO' is no amount" in said


def test_show_prints_what_the_configuration_names(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["policy", "show", "--home", str(home), "--json"]) == 0
    assert [(line["section"], line["text"]) for line in lines(capsys)] == [
        ("approver.policy.file", HEAD + rule("anything")),
        ("approver.policy.shadow", SMALL),
    ]


def test_a_replay_shows_what_a_draft_would_have_decided_otherwise(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Decision(verdict=Verdict.APPROVE, approver="policy", rule="PO-2.1 rules", explanation="")
    now = time.time_ns() // 1_000_000
    effects = {"a": does(usdc(100)), "b": does(usdc(101)), "c": MAKES_A_VAULT}
    with founding.opened(home, config.load(home)) as ledger:
        for letter, effect in effects.items():
            row = operation(OperationId(letter * 24), created_ms=now)
            ledger.add_operation(row)
            made = DecisionRow(operation=row.id, digest=row.digest, decision=said, at_ms=now)
            ledger.record_decision(made, request=b"{}", effect=encode_effect(effect))
    capsys.readouterr()
    assert run(["policy", "replay", "policy.toml", "--home", str(home), "--json"]) == 0
    assert lines(capsys) == []
    assert run(["policy", "replay", "small.toml", "--home", str(home), "--json"]) == 1
    told = lines(capsys)
    assert [(line["operation"], line["live"], line["draft"]) for line in told] == [
        ("b" * 24, "approve", "reject"),
        ("c" * 24, "approve", "refuse"),
    ]
    (home / "again.json").write_text(json.dumps(told[0]["effect"]))
    assert run(["policy", "test", "small.toml", str(home / "again.json")]) == 1
    assert "101 USDC in one operation, over the limit of 100 USDC" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--at", "noon"], ["--at", "2026-01-30T10:00:00"], ["--used", "small"]]
)
def test_what_a_trial_assumes_has_to_be_readable(
    home: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "request.json").write_text('{"kind": "create-vault"}')
    assert run(["policy", "test", "small.toml", str(home / "request.json"), *arguments]) == 2
    assert arguments[0] in capsys.readouterr().err
