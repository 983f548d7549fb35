"""``quorate-recover`` as its user runs it: a process of its own, in an empty folder, with files and nothing else."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from quorate.identifiers import Curve
from quorate.recovery.main import main
from tests.protocols.vaults import handed_over, roster_of, vault_of
from tests.recovery.files import WORDS, backup_of, written

FIRST = vault_of([2, 1, 1], 3)
ALICE, BOB, CAROL = FIRST.devices
SECOND = handed_over(FIRST, roster_of({ALICE: 1, BOB: 2, CAROL: 2}, 3), seed=2)
LINE = [FIRST, SECOND]
WATCHED = """
import socket, sys
def refuse(*_): raise SystemExit("it asked for the network")
socket.socket.connect = socket.socket.bind = refuse
from quorate.recovery.main import main
code = main(sys.argv[1:])
for name in ("grpc", "google", "httpx", "sqlite3", "pydantic", "asyncio", "quorate.ceremony", "quorate.rpc"):
    assert name not in sys.modules, name
sys.exit(code)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "words.txt").write_bytes(WORDS)
    return tmp_path


def recover(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, arguments)],
        cwd=folder, text=True, capture_output=True, env=os.environ | {"PYTHONPATH": ":".join(sys.path)}, check=False,
    )  # fmt: skip


def secret() -> str:
    """The vault's key, which only a test can know."""
    from quorate.recovery.rebuild import rebuild
    from tests.recovery.files import held_by

    return rebuild(held_by(LINE, SECOND.devices)).secrets[Curve.SECP256K1].reveal().hex()


def test_a_drill_from_files_alone_ends_with_the_key_in_a_file_of_its_owner(folder: Path) -> None:
    files = written(LINE, (BOB, CAROL), folder)
    shown = recover(folder, "show", *files)
    assert shown.returncode == 0, shown.stderr
    assert "epoch 1" in shown.stdout
    assert "opens with the passphrase" in shown.stdout

    checked = recover(folder, "check", *files, "--passphrase-file", "words.txt")
    assert checked.returncode == 0, checked.stderr
    assert "together a weight of 4, which is enough: the threshold is 3" in checked.stdout

    asked = ("--passphrase-file", "words.txt", "--export", "hex", "--out", "key.hex")
    made = recover(folder, "key", *files, *asked)
    assert made.returncode == 0, made.stderr
    assert (folder / "key.hex").read_text().strip() == secret()
    assert stat.S_IMODE((folder / "key.hex").stat().st_mode) == 0o600
    assert secret() not in shown.stdout + checked.stdout + made.stdout + made.stderr
    assert SECOND.public_key(Curve.SECP256K1).hex() in made.stderr

    again = recover(folder, "key", *files, *asked)
    assert again.returncode == 1
    assert "key.hex exists: a key is not written over another file" in again.stderr


def test_one_unit_of_weight_short_it_says_so_and_writes_nothing(folder: Path) -> None:
    files = written(LINE, (BOB,), folder)
    checked = recover(folder, "check", *files, "--passphrase-file", "words.txt")
    assert "together a weight of 2, which is NOT enough: the threshold is 3" in checked.stdout
    made = recover(
        folder, "key", *files, "--passphrase-file", "words.txt", "--export", "hex", "--out", "key.hex"
    )
    assert made.returncode == 1
    assert "these have a weight of 2, and the vault's threshold is 3" in made.stderr
    assert files[0].name in made.stderr
    assert not (folder / "key.hex").exists()


def test_mixed_epochs_are_refused_until_one_is_named(folder: Path) -> None:
    files = [*written(LINE[:1], (ALICE, BOB, CAROL), folder), *written(LINE, (BOB, CAROL), folder)]
    asked = ("--passphrase-file", "words.txt", "--export", "hex", "--print")
    mixed = recover(folder, "key", *files, *asked)
    assert mixed.returncode == 1
    assert "different epochs" in mixed.stderr
    assert all(file.name in mixed.stderr for file in files)
    for epoch in ("0", "1"):
        assert recover(folder, "key", *files, *asked, "--epoch", epoch).stdout.strip() == secret()


def test_a_corrupted_file_is_named(folder: Path) -> None:
    files = written(LINE, (BOB, CAROL), folder)
    fields = json.loads(files[1].read_text())
    fields["sealed"] = "AAAA" + fields["sealed"][4:]
    files[1].write_text(json.dumps(fields))
    checked = recover(folder, "check", *files, "--passphrase-file", "words.txt")
    assert checked.returncode == 1
    assert files[1].name in checked.stderr
    files[0].write_bytes(files[0].read_bytes()[:200])
    cut = recover(folder, "show", *files)
    assert cut.returncode == 1
    assert f"{files[0].name} is no backup" in cut.stderr


def test_a_vault_with_another_public_key_than_the_one_named_is_refused(folder: Path) -> None:
    files = written(LINE, (BOB, CAROL), folder)
    asked = ("--passphrase-file", "words.txt", "--export", "hex", "--print", "--public-key")
    assert recover(folder, "key", *files, *asked, "02" * 33).returncode == 1
    public = SECOND.public_key(Curve.SECP256K1).hex()
    assert recover(folder, "key", *files, *asked, public).stdout.strip() == secret()


def test_no_form_is_exported_of_a_vault_that_is_not_the_one_meant(folder: Path) -> None:
    """Whoever can bring all files can make a vault, too, and would have its addresses paid."""
    files = written(LINE, (BOB, CAROL), folder)
    asked = ("--passphrase-file", "words.txt", "--print", "--public-key")
    for form in ("addresses", "scalar", "xprv"):
        refused = recover(folder, "key", *files, *asked, "02" * 33, "--export", form)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "neither was named with --public-key" in refused.stderr
    for curve in Curve:
        public = SECOND.public_key(curve).hex().upper()
        assert recover(folder, "key", *files, *asked, public, "--export", "addresses").returncode == 0


def test_addresses_come_as_a_table_without_any_secret(folder: Path) -> None:
    files = written(LINE, (BOB, CAROL), folder)
    asked = (
        "--passphrase-file",
        "words.txt",
        "--export",
        "addresses",
        "--path",
        "m/0",
        "--range",
        "0..2",
        "--print",
    )
    made = recover(folder, "key", *files, *asked)
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.splitlines()) == 1 + 3 * 3
    assert secret() not in made.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--export", "hex", "--print"), "what opens them"),
        (("--passphrase-file", "words.txt", "--export", "hex"), "where is it to go"),
        (("--passphrase-file", "none.txt", "--export", "hex", "--print"), "none.txt: No such file"),
        (("--passphrase-file", "words.txt", "--export", "hex", "--print", "--path", "m/0'"), "hardened"),
        (
            ("--passphrase-file", "words.txt", "--export", "addresses", "--print", "--range", "9..2"),
            "1 to 1000 keys",
        ),
        (("--passphrase-file", "words.txt", "--export", "keystore", "--print"), "--keystore-password-file"),
    ],
)
def test_what_is_asked_for_wrongly_is_said(folder: Path, arguments: tuple[str, ...], why: str) -> None:
    made = recover(folder, "key", *written(LINE, (BOB, CAROL), folder), *arguments)
    assert made.returncode == 1
    assert why in made.stderr
    assert made.stdout == ""


def test_a_private_recovery_key_opens_what_its_public_half_closed(folder: Path) -> None:
    """Made by OpenSSL, as the guide says."""
    from quorate.recovery.locks import RecoveryPublicKey

    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "X25519", "-out", "recovery.key"], cwd=folder, check=True
    )
    subprocess.run(
        ["openssl", "pkey", "-in", "recovery.key", "-pubout", "-out", "recovery.pub"], cwd=folder, check=True
    )
    closer = RecoveryPublicKey.of((folder / "recovery.pub").read_bytes(), "recovery.pub")
    for device in (BOB, CAROL):
        (folder / f"{device}.backup").write_bytes(backup_of(LINE, device, closer))
    files = [folder / f"{device}.backup" for device in (BOB, CAROL)]
    made = recover(folder, "key", *files, "--recovery-key", "recovery.key", "--export", "hex", "--print")
    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == secret()


def test_of_a_key_that_could_not_be_written_whole_nothing_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = written(LINE, (BOB, CAROL), folder)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "key.hex")

    monkeypatch.setattr("quorate.recovery.main.os.fsync", full)
    opening = ("--passphrase-file", str(folder / "words.txt"))
    out = folder / "key.hex"
    assert main(["key", *map(str, files), *opening, "--export", "hex", "--out", str(out)]) == 1
    assert "No space left" in capsys.readouterr().err
    assert not out.exists()
