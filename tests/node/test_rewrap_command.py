"""``quorate rewrap``, and the settings that it tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quorate.cli.main import run
from quorate.node import founding


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "node"
    founding.write_settings(made, port=7100, passphrase_file=None, key_file=None)
    founding.found(made, name="alice", advertise="127.0.0.1:7100")
    return made


def test_after_a_rewrap_the_node_opens_with_the_settings_that_were_told_and_no_others(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = home / "quorate.toml"
    before = settings.read_text()
    (tmp_path / "passphrase").write_text("correct horse battery staple\n")
    (tmp_path / "passphrase").chmod(0o600)
    words = {"passphrase_file": "--to-passphrase-file", "key_file": "--to-key-file"}
    for name, file in (("passphrase_file", tmp_path / "passphrase"), ("key_file", tmp_path / "next.key")):
        assert run(["rewrap", words[name], str(file), "--home", str(home), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told == {"values": 2, "key": {name: str(file)}}
        assert run(["peer", "list", "--home", str(home)]) == 1
        assert "ST-2.1 key" in capsys.readouterr().err
        lines = [line for line in before.splitlines() if not line.startswith("key_file")]
        lines.insert(
            lines.index("[key]                       # what opens the store") + 1, f'{name} = "{file}"'
        )
        settings.write_text("\n".join(lines))
        with founding.opened(home) as ledger:
            assert ledger.me.name == "alice"
    assert (tmp_path / "next.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "give one of"),
        (["--to-key-file", "a", "--to-kms", "b"], "give one of"),
        (["--to-kms", "alias/node", "--endpoint", "http://kms.example"], "key.endpoint: not the https"),
        (["--to-passphrase-file", "absent"], "absent"),
    ],
)
def test_a_rewrap_that_is_refused_leaves_what_opens_the_store(
    home: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rewrap", *words, "--home", str(home)]) != 0
    assert told in capsys.readouterr().err
    with founding.opened(home) as ledger:
        assert ledger.me.name == "alice"


def test_no_key_is_made_for_a_store_that_does_not_open(home: Path, tmp_path: Path) -> None:
    founding.write_key(tmp_path / "other.key")
    (home / "node.key").write_bytes((tmp_path / "other.key").read_bytes())
    assert run(["rewrap", "--to-key-file", str(tmp_path / "next.key"), "--home", str(home)]) == 1
    assert not (tmp_path / "next.key").exists()
