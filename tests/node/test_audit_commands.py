"""``quorate audit`` at a node at rest and at one that serves, and at an export with nothing but its card."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from quorate.ceremony.audit import AuditVerdict, Entry, Record
from quorate.ceremony.audit_export import RecordLine, heading, line_of, record_of
from quorate.ceremony.audit_heads import head_of
from quorate.ceremony.ports import State
from quorate.cli.audit import record_text
from quorate.cli.cluster import free_ports
from quorate.cli.main import run
from quorate.identifiers import DeviceId
from quorate.node import founding
from quorate.node.audit import audit_page
from quorate.node.certificates import issue_client_certificate
from quorate.node.config import load
from quorate.node.registry import Registry
from quorate.rpc.client import NodeClient
from quorate.rpc.node_server import NodeServer
from quorate.rpc.upkeep import AuditPage
from quorate.storage import Grant, SqliteLedger
from quorate.wire.codec import encode
from tests.rpc.fake_node import FakeExaminer, FakeNode, FakeUpkeep
from tests.storage.story import operation

Quorate = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def home() -> Iterator[Path]:
    """A node at rest."""
    with tempfile.TemporaryDirectory(prefix="q") as directory:
        made = Path(directory, "node")
        made.mkdir(mode=0o700)
        [client] = free_ports(1)
        (made / "quorate.toml").write_text(f'[client]\nport = {client}\n[key]\nkey_file = "node.key"\n')
        founding.found(made, name="alice", advertise="127.0.0.1:7100")
        yield made


@pytest.fixture
def quorate(home: Path, capsys: pytest.CaptureFixture[str]) -> Quorate:
    def command(*words: object, code: int = 0) -> list[dict[str, Any]]:
        assert run([str(word) for word in (*words, "--home", home, "--json")]) == code
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return command


class ChainAlone(FakeUpkeep):
    """Of the other things that a node serves, none."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger

    def audit(self, *, after: int, limit: int) -> AuditPage:
        return audit_page(self._ledger, after=after, limit=limit)

    def examine_audit(self) -> AuditVerdict:
        return self._ledger.verify_audit()


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[Registry]:
    settings = load(home)
    with founding.opened(home, settings) as ledger:
        registry = Registry(ledger, settings)
        server = NodeServer(
            FakeNode(),
            issue_client_certificate(ledger, settings),
            f"127.0.0.1:{settings.client.port}",
            socket=home / "quorate.sock",
            logins=ledger,
            registry=registry,
            examiner=FakeExaminer(),
            causes=tuple,
            upkeep=ChainAlone(ledger),
        )
        await server.start()
        yield registry
        await server.stop()


def test_an_export_is_verified_by_the_card_alone_and_every_edit_in_it_is_named(
    home: Path, quorate: Quorate, tmp_path: Path
) -> None:
    quorate("client", "add", "treasury", "--role", "signer", "--out", tmp_path / "treasury.json")
    file, card = tmp_path / "audit.jsonl", home / "cards" / "alice.json"
    quorate("audit", "export", "--out", file)
    [said] = quorate("audit", "verify", file, "--card", card)
    assert said == {"sound": True, "records": 3, "last": 3, "flaws": []}
    lines = file.read_text().splitlines()
    file.write_text(file.read_text().replace("treasury", "Treasury"))
    [said] = quorate("audit", "verify", file, "--card", card, code=1)
    [added] = [number for number, line in enumerate(lines) if "treasury" in line]
    assert [(flaw["record"], flaw["rule"]) for flaw in said["flaws"]] == [(added, "AU-2.1 edited")]
    file.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    [said] = quorate("audit", "verify", file, "--card", card, code=1)
    assert [flaw["record"] for flaw in said["flaws"]] == [2]
    [said] = quorate("audit", "verify", file, "--card", card, "--witness", witness(home, tmp_path), code=1)
    assert {(flaw["record"], flaw["rule"]) for flaw in said["flaws"]} == {
        (2, "AU-2.2 follows"),
        (4, "AU-2.6 witnesses"),
    }
    quorate("audit", "verify", "--witness", file, code=2)
    quorate("audit", "verify", file, code=2)
    quorate("audit", "verify", file, "--public-key", "00" * 31, code=2)
    quorate("audit", "verify", file, "--public-key", "01" * 32, code=2)
    quorate("audit", "export", "--out", file, code=2)


def witness(home: Path, folder: Path) -> Path:
    """The export of a node that counted a vote with the head of alice's fourth record."""
    with founding.opened(home) as ledger:
        head = head_of(ledger.identity, 4, b"\x04" * 32)
        voter = ledger.identity.device
    record = Record(
        sequence=1, at_ms=0, event="vote", operation="", previous=bytes(32),
        facts=(("voter", voter), ("head", f"4:{head.hash.hex()}:{head.signature.hex()}")),
    )  # fmt: skip
    entry = Entry(place=None, body=encode(record), hash=b"", signature=b"")
    file = folder / "bob.jsonl"
    file.write_text(f"{heading(DeviceId('b' * 24))}\n{line_of(entry)}\n")
    return file


def test_the_chain_of_a_node_at_rest_names_what_was_done_to_its_store(home: Path, quorate: Quorate) -> None:
    assert quorate("audit", "verify")[0]["sound"]
    with contextlib.closing(sqlite3.connect(home / founding.STORE)) as connection:
        connection.execute("DROP TRIGGER audit_is_never_changed")
        connection.execute("UPDATE audit SET body = body || x'00' WHERE sequence = 1")
        connection.commit()
    [said] = quorate("audit", "verify", code=1)
    assert [flaw["record"] for flaw in said["flaws"]] == [1]
    assert "damaged" in quorate("audit", "tail")[0]


def test_an_export_of_a_chain_that_lacks_a_record_has_each_other_one_once(
    home: Path, quorate: Quorate, tmp_path: Path
) -> None:
    file, card = tmp_path / "audit.jsonl", home / "cards" / "alice.json"
    for number in range(4):
        quorate("client", "add", f"c{number}", "--role", "viewer", "--out", tmp_path / str(number))
    with contextlib.closing(sqlite3.connect(home / founding.STORE)) as connection:
        connection.execute("DROP TRIGGER audit_is_never_deleted")
        connection.execute("DELETE FROM audit WHERE sequence = 3")
        connection.commit()
    quorate("audit", "export", "--out", file)
    [said] = quorate("audit", "verify", file, "--card", card, code=1)
    assert [(flaw["record"], flaw["rule"]) for flaw in said["flaws"]] == [(3, "AU-2.2 follows")]


def test_bytes_that_are_no_text_pass_for_none_in_an_export(
    home: Path, quorate: Quorate, tmp_path: Path
) -> None:
    file, card = tmp_path / "audit.jsonl", home / "cards" / "alice.json"
    with founding.opened(home) as ledger:
        ledger.move_operation(
            ledger.add_operation(operation()).id, [State.PROPOSED], State.FAILED, detail="a \ufffd"
        )
    quorate("audit", "export", "--out", file)
    assert quorate("audit", "verify", file, "--card", card)[0]["sound"]
    file.write_bytes(file.read_bytes().replace("\ufffd".encode(), b"\x9b"))
    [said] = quorate("audit", "verify", file, "--card", card, code=1)
    assert [flaw["rule"] for flaw in said["flaws"]] == ["AU-2.1 edited"]


def test_the_tail_shows_the_last_records_and_who_asked(home: Path, quorate: Quorate, tmp_path: Path) -> None:
    for number in range(4):
        quorate("client", "add", f"c{number}", "--role", "viewer", "--out", tmp_path / str(number))
    shown = quorate("audit", "tail", "-n", 3)
    assert [record["facts"]["client"] for record in shown] == ["c1", "c2", "c3"]
    assert {record["facts"]["by"] for record in shown} == {founding.AT_REST}
    assert quorate("audit", "tail", "-n", 0) == []


def test_a_running_node_shows_and_examines_its_chain_and_says_which_client_changed_it(home: Path) -> None:
    async def story() -> list[RecordLine | None]:
        async with serving(home), NodeClient.local(home) as node:
            await node.add_client("bot", [Grant("viewer")], certificate_pem="")
            verdict = await node.examine_audit()
            assert verdict.sound
            page = await node.audit(after=verdict.last - 1)
            return [record_of(text) for text in page.records]

    [record] = asyncio.run(story())
    assert record is not None
    assert (record.event, record.facts["client"], record.facts["by"]) == (
        "client added", "bot", "local (owner)",
    )  # fmt: skip
    assert "client added" in record_text(record)
