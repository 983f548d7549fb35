"""The commands that need no running node: init, peer, client, dry runs; and how errors are told."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.ceremony.identity import read_card
from quorate.cli.main import run

Lines = list[dict[str, Any]]


@pytest.fixture
def quorate(capsys: pytest.CaptureFixture[str]) -> Callable[..., Lines]:
    """Run a command that must succeed, with --json, and give its lines."""

    def command(*arguments: object) -> Lines:
        code = run([*map(str, arguments), "--json"])
        said = capsys.readouterr()
        assert code == 0, said.err
        return [json.loads(line) for line in said.out.splitlines()]

    return command


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run a command that must fail, and give its exit code and what it said."""

    def command(*arguments: object) -> tuple[int, str]:
        code = run([*map(str, arguments)])
        said = capsys.readouterr()
        assert code != 0
        assert "Traceback" not in said.err
        return code, said.err

    return command


def init(quorate: Callable[..., Lines], home: Path, name: str) -> dict[str, Any]:
    [line] = quorate("init", "--home", home, "--name", name, "--advertise", "127.0.0.1:7100")
    return line


def test_init_makes_a_card_that_verifies_and_shows_its_fingerprint(
    tmp_path: Path, quorate: Callable[..., Lines]
) -> None:
    said = init(quorate, tmp_path / "alice", "alice")
    card = read_card(Path(said["card"]).read_text())
    assert (card.name, card.address, card.device) == ("alice", "127.0.0.1:7100", said["device"])
    assert len(said["fingerprint"].split()) == 8


def test_what_init_keeps_secret_is_for_its_owner_only(tmp_path: Path, quorate: Callable[..., Lines]) -> None:
    home = tmp_path / "alice"
    init(quorate, home, "alice")
    for secret in ("node.db", "node.key"):
        assert stat.S_IMODE((home / secret).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_init_never_makes_a_second_identity(
    tmp_path: Path, quorate: Callable[..., Lines], refused: Callable[..., tuple[int, str]]
) -> None:
    first = init(quorate, tmp_path, "alice")
    before = (tmp_path / "node.db").read_bytes()
    code, said = refused("init", "--home", tmp_path, "--name", "mallory", "--advertise", "127.0.0.1:7100")
    assert code == 2
    assert "already holds device" in said
    assert (tmp_path / "node.db").read_bytes() == before
    assert Path(first["card"]).exists()


def test_init_keeps_the_settings_that_are_there(tmp_path: Path, quorate: Callable[..., Lines]) -> None:
    key, settings = tmp_path / "key", '[key]\nkey_file = "key"\n[approver]\ntype = "always"\n'
    key.write_text("5b8f0c9d" * 4 + "a1b2c3d4" * 4)
    key.chmod(0o600)
    (tmp_path / "quorate.toml").write_text(settings)
    init(quorate, tmp_path, "alice")
    assert (tmp_path / "quorate.toml").read_text() == settings


def test_a_name_that_looks_like_a_path_stays_in_the_home(
    tmp_path: Path, quorate: Callable[..., Lines]
) -> None:
    said = init(quorate, tmp_path / "node", "../../elsewhere")
    assert Path(said["card"]).parent == tmp_path / "node" / "cards"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node"]


def test_init_takes_the_key_that_the_environment_names(
    tmp_path: Path, quorate: Callable[..., Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "mounted"
    key.write_text("5b8f0c9d" * 4 + "a1b2c3d4" * 4)
    key.chmod(0o600)
    monkeypatch.setenv("QUORATE_KEY__KEY_FILE", str(key))
    init(quorate, tmp_path / "node", "alice")
    assert not (tmp_path / "node" / "node.key").exists()
    assert len(quorate("--home", tmp_path / "node", "peer", "list")) == 1


def test_peer_add_skips_the_node_itself_and_keeps_the_others(
    tmp_path: Path, quorate: Callable[..., Lines]
) -> None:
    cards = [init(quorate, tmp_path / name, name)["card"] for name in ("alice", "bob", "carol")]
    lines = quorate("--home", tmp_path / "alice", "peer", "add", "--yes", *cards)
    assert [(line["name"], line["added"]) for line in lines] == [
        ("alice", False),
        ("bob", True),
        ("carol", True),
    ]
    known = quorate("--home", tmp_path / "alice", "peer", "list")
    assert {line["name"] for line in known} == {"alice", "bob", "carol"}


def test_peer_add_asks_for_the_fingerprint_to_be_compared(
    tmp_path: Path, quorate: Callable[..., Lines], refused: Callable[..., tuple[int, str]]
) -> None:
    init(quorate, tmp_path / "alice", "alice")
    bob = init(quorate, tmp_path / "bob", "bob")
    code, said = refused("--home", tmp_path / "alice", "peer", "add", bob["card"])
    assert code == 2
    assert bob["fingerprint"] in " ".join(said.split())
    assert len(quorate("--home", tmp_path / "alice", "peer", "list")) == 1


def test_a_changed_card_is_refused_by_its_file(
    tmp_path: Path, quorate: Callable[..., Lines], refused: Callable[..., tuple[int, str]]
) -> None:
    init(quorate, tmp_path / "alice", "alice")
    card = Path(init(quorate, tmp_path / "bob", "bob")["card"])
    card.write_text(card.read_text().replace("127.0.0.1:7100", "127.0.0.1:7999"))
    code, said = refused("--home", tmp_path / "alice", "peer", "add", "--yes", card)
    assert code == 2
    assert str(card) in "".join(said.split("\n"))


def test_a_client_gets_its_secret_in_a_file_and_nowhere_else(
    tmp_path: Path, quorate: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    init(quorate, tmp_path, "alice")
    out = tmp_path / "treasury.json"
    [line] = quorate("--home", tmp_path, "client", "add", "treasury", "--role", "signer", "--out", out)
    credentials = json.loads(out.read_text())
    assert set(credentials) == {"endpoint", "client_id", "secret", "ca_pem"}
    assert credentials["secret"] not in json.dumps(line)
    assert credentials["secret"].encode() not in (tmp_path / "node.db").read_bytes()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    [listed] = quorate("--home", tmp_path, "client", "list")
    assert (listed["client"], listed["revoked"]) == ("treasury", None)
    assert [grant["role"] for grant in listed["grants"]] == ["signer"]


def test_a_revoked_client_is_shown_as_such(tmp_path: Path, quorate: Callable[..., Lines]) -> None:
    init(quorate, tmp_path, "alice")
    quorate("--home", tmp_path, "client", "add", "treasury", "--out", tmp_path / "treasury.json")
    quorate("--home", tmp_path, "client", "revoke", "treasury")
    [listed] = quorate("--home", tmp_path, "client", "list")
    assert listed["revoked"]


def test_credentials_are_not_written_over_a_file(
    tmp_path: Path, quorate: Callable[..., Lines], refused: Callable[..., tuple[int, str]]
) -> None:
    init(quorate, tmp_path, "alice")
    (tmp_path / "mine").write_text("precious")
    code, _ = refused("--home", tmp_path, "client", "add", "treasury", "--out", tmp_path / "mine")
    assert code == 2
    assert (tmp_path / "mine").read_text() == "precious"
    assert quorate("--home", tmp_path, "client", "list") == []


def test_a_wrong_passphrase_is_a_clear_error_and_changes_nothing(
    tmp_path: Path,
    quorate: Callable[..., Lines],
    refused: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUORATE_KEY__MEMORY_KIB", "64")
    monkeypatch.setenv("QUORATE_KEY__PASSES", "1")
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery staple\n")
    passphrase.chmod(0o600)
    quorate(
        "init",
        "--home",
        tmp_path,
        "--name",
        "alice",
        "--advertise",
        "127.0.0.1:7100",
        "--passphrase-file",
        passphrase,
    )
    before = (tmp_path / "node.db").read_bytes()
    passphrase.write_text("incorrect horse battery staple\n")
    code, said = refused("--home", tmp_path, "run")
    assert code == 1
    assert "does not open with this passphrase" in said
    assert "[key]" in said
    assert (tmp_path / "node.db").read_bytes() == before


def test_a_dry_run_lists_the_smallest_signing_sets(tmp_path: Path, quorate: Callable[..., Lines]) -> None:
    weights = ("--set", "alice=2", "--set", "bob=1", "--set", "carol=1")
    [said] = quorate("--home", tmp_path, "vault", "create", "ops", *weights, "--threshold", 3, "--dry-run")
    assert {(frozenset(each["signers"]), each["weight"]) for each in said["minimal_sets"]} == {
        (frozenset({"alice", "bob"}), 3),
        (frozenset({"alice", "carol"}), 3),
    }
    assert said["indispensable"] == ["alice"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "alice=2", "--set", "bob=1", "--threshold", "4"), "threshold 4"),
        (("--set", "alice=0", "--set", "bob=1", "--threshold", "1"), "weight 0"),
        (("--set", "alice=1", "--set", "alice=1", "--threshold", "2"), "alice"),
        (("--set", "alice", "--threshold", "1"), "alice=2"),
        (("--set", "alice=3", "--set", "bob=1", "--threshold", "2"), "alone"),
    ],
)
def test_an_impossible_roster_is_refused_with_what_and_who(
    tmp_path: Path, refused: Callable[..., tuple[int, str]], arguments: tuple[str, ...], said: str
) -> None:
    code, error = refused("--home", tmp_path, "vault", "create", "ops", *arguments, "--dry-run")
    assert code == 2
    assert said in error


def test_without_a_node_a_command_says_how_to_start_one(
    tmp_path: Path, refused: Callable[..., tuple[int, str]]
) -> None:
    code, said = refused("--home", tmp_path, "status")
    assert code == 1
    assert "quorate run" in said


def test_an_unknown_option_is_a_usage_error(refused: Callable[..., tuple[int, str]]) -> None:
    assert refused("status", "--frobnicate")[0] == 2


def test_an_error_is_one_json_object_where_json_was_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path), "status", "--json"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert json.loads(said.err)["error"] == "UNREACHABLE"


def test_a_node_without_an_approver_is_told_to_configure_one(
    tmp_path: Path, quorate: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    init(quorate, tmp_path, "alice")
    assert run(["approver", "test", "--home", str(tmp_path), "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(line["level"], line["code"]) for line in lines} == {("problem", "AP-1.1")}
    assert all("[approver]" in line["remedy"] for line in lines)


def test_cards_are_also_written_where_the_environment_says_and_taken_by_pattern(
    tmp_path: Path, quorate: Callable[..., Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setenv("QUORATE_CARDS", str(shared))
    for name in ("alice", "bob"):
        assert init(quorate, tmp_path / name, name)["card"] == str(shared / f"{name}.json")
    lines = quorate("--home", tmp_path / "alice", "peer", "add", "--yes", shared / "*.json")
    assert [(line["name"], line["added"]) for line in lines] == [("alice", False), ("bob", True)]


def test_a_pattern_that_no_card_fits_is_refused(
    tmp_path: Path, quorate: Callable[..., Lines], refused: Callable[..., tuple[int, str]]
) -> None:
    init(quorate, tmp_path / "alice", "alice")
    code, said = refused("--home", tmp_path / "alice", "peer", "add", "--yes", tmp_path / "no*.json")
    assert code == 2
    assert "no*.json: no such file" in said


def test_the_doctor_finds_a_passphrase_that_is_not_the_store_s(
    tmp_path: Path, quorate: Callable[..., Lines], capsys: pytest.CaptureFixture[str]
) -> None:
    passphrase, home = tmp_path / "passphrase", tmp_path / "alice"
    passphrase.write_text("correct horse battery staple\n")
    arguments = ("--name", "alice", "--advertise", "127.0.0.1:7100", "--passphrase-file", passphrase)
    quorate("init", "--home", home, *arguments)
    passphrase.write_text("correct horse battery stable\n")
    assert run(["doctor", "--home", str(home), "--json"]) == 1
    found = {
        line["check"]: line for line in (json.loads(line) for line in capsys.readouterr().out.splitlines())
    }
    assert (found["key"]["level"], found["key"]["code"]) == ("problem", "STORE_LOCKED")
    assert "does not open with this passphrase" in found["key"]["said"]
    assert "[key]" in found["key"]["remedy"]
    passphrase.write_text("correct horse battery staple\n")
    run(["doctor", "--home", str(home), "--json"])
    assert '"check":"key","level":"ok"' in capsys.readouterr().out
