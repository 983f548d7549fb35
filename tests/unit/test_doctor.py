"""What the doctor says of a machine and of what peers tell, one fault at a time."""

from __future__ import annotations

import datetime as dt
import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quorate.ceremony.identity import Identity, card_of, read_card
from quorate.ceremony.ports import Peer
from quorate.cli.main import program, run
from quorate.errors import StoreError
from quorate.node.doctor import machine
from quorate.node.doctor.machine import examine_disk, examine_store
from quorate.node.doctor.peers import Mesh, examine_peers, pairs
from quorate.node.entropy import SystemEntropy
from quorate.rpc.findings import Finding, Level
from quorate.rpc.tls import VALID_UNTIL, create_identity, end_of, last_day_of

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def home() -> Iterator[Path]:
    """Where others may look in, unlike pytest's own directories."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o755)
        (path / "node.db").write_bytes(b"")
        yield path


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere, so root stops being root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def level_and_code(finding: Finding) -> tuple[Level, str]:
    return finding.level, finding.code


def test_a_store_that_can_be_written_is_fine(home: Path) -> None:
    assert examine_store(home, home / "node.db", lambda: None).level is Level.OK


def test_a_home_or_a_store_that_cannot_be_written_is_read_only(home: Path) -> None:
    home.chmod(0o555)
    with unprivileged():
        finding = examine_store(home, home / "node.db")
    assert level_and_code(finding) == (Level.PROBLEM, "READ_ONLY")
    home.chmod(0o777)
    (home / "node.db").chmod(0o444)
    with unprivileged():
        finding = examine_store(home, home / "node.db")
    assert level_and_code(finding) == (Level.PROBLEM, "READ_ONLY")
    assert "node.db" in finding.said
    assert "writable" in finding.remedy


def test_a_store_that_no_longer_commits_is_a_problem_in_its_own_words(home: Path) -> None:
    def fails() -> None:
        raise StoreError("ST-1.4 disk: the disk is failing")

    finding = examine_store(home, home / "node.db", fails)
    assert level_and_code(finding) == (Level.PROBLEM, "STORE_ERROR")
    assert "the disk is failing" in finding.said


def test_no_room_for_a_single_file_is_a_full_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    assert level_and_code(examine_store(home, home / "node.db")) == (Level.PROBLEM, "DISK_LOW")


@pytest.mark.parametrize(
    ("free", "level"), [(1 << 40, Level.OK), (500 << 20, Level.WARNING), (63 << 20, Level.PROBLEM)]
)
def test_room_on_the_disk_is_judged_before_it_is_gone(
    home: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: Level
) -> None:
    monkeypatch.setattr(machine, "free_bytes", lambda _: free)
    assert examine_disk(home).level is level


def test_a_home_that_is_not_there_is_a_problem_and_no_bug(home: Path) -> None:
    assert level_and_code(examine_disk(home / "gone")) == (Level.PROBLEM, "STORE_ERROR")
    assert level_and_code(examine_store(home / "gone", home / "gone" / "node.db")) == (
        Level.PROBLEM,
        "STORE_ERROR",
    )


def test_the_disk_s_room_is_the_system_s_word(home: Path) -> None:
    assert machine.free_bytes(home) > 0


@pytest.mark.parametrize(("days", "level"), [(400, Level.OK), (10, Level.WARNING), (-1, Level.PROBLEM)])
def test_a_certificate_that_ends_is_seen_coming(days: int, level: Level) -> None:
    bob = peer("bob")
    bob = replace(bob, certificate_pem=ending(NOW + dt.timedelta(days=days, hours=1)))
    mesh = Mesh(
        me=peer("alice"), peers=[bob], answers={}, failures={bob.device: ("UNREACHABLE", "gone")}, holds={}
    )
    found = {each.check: each for each in examine_peers(mesh, version="1", tolerance=30, now=NOW)}
    assert found["certificate bob"].level is level
    assert found["certificate alice"].level is Level.OK
    [pair] = pairs(mesh)
    assert pair.certificate_ends_ms == round((NOW + dt.timedelta(days=days, hours=1)).timestamp() * 1000)


def test_a_node_without_peers_is_told_to_exchange_cards() -> None:
    mesh = Mesh(me=peer("alice"), peers=[], answers={}, failures={}, holds={})
    found = {each.check: each for each in examine_peers(mesh, version="1", tolerance=30, now=NOW)}
    assert level_and_code(found["peers"]) == (Level.PROBLEM, "NO_PEERS")


def test_a_certificate_of_ours_has_no_end() -> None:
    assert end_of(peer("alice").certificate_pem) is None
    assert last_day_of(peer("alice").certificate_pem) == VALID_UNTIL


def test_a_certificate_with_an_end_says_when() -> None:
    end = NOW + dt.timedelta(days=9)
    assert end_of(ending(end)) == last_day_of(ending(end)) == end


def peer(name: str) -> Peer:
    identity = Identity.generate(SystemEntropy(), name)
    certificate = create_identity(identity.device).certificate_pem
    return read_card(card_of(identity, name, "127.0.0.1:7100", certificate, "hardware", 1, 1))


def ending(end: dt.datetime) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bob")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - dt.timedelta(days=100))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def test_init_makes_nothing_where_the_card_could_not_be_handed_out(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "cards").mkdir(mode=0o555)
    program(["init"])  # its modules may be where root alone may read
    with unprivileged():
        code = run(
            ["init", "--home", str(home / "alice"), "--name", "alice", "--advertise", "127.0.0.1:7100",
             "--cards", str(home / "cards")]
        )  # fmt: skip
    assert code == 2
    assert "nothing was done" in capsys.readouterr().err
    assert not (home / "alice").exists()
