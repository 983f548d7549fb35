"""From ``quorate client`` at a node at rest to the client port of the same node."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from quorate.cli.client import grants_of
from quorate.cli.cluster import free_ports
from quorate.cli.main import run
from quorate.errors import UsageError
from quorate.node import founding
from quorate.node.certificates import issue_client_certificate
from quorate.node.config import load
from quorate.node.doctor.machine import examine_ports
from quorate.node.registry import Registry
from quorate.rpc.client import NodeClient
from quorate.rpc.client_certificates import create_client_identity
from quorate.rpc.credentials import Credentials
from quorate.rpc.failures import RemoteError
from quorate.rpc.limits import Limits
from quorate.rpc.node_server import NodeServer
from quorate.storage import Grant
from tests.rpc.fake_node import FakeExaminer, FakeNode, FakeUpkeep

Quorate = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def home() -> Iterator[Path]:
    """A node at rest that takes certificates."""
    with tempfile.TemporaryDirectory(prefix="q") as directory:
        made = Path(directory, "node")
        made.mkdir(mode=0o700)
        client, certificates = free_ports(2)
        (made / "quorate.toml").write_text(
            f'[client]\nport = {client}\ncertificate_port = {certificates}\n[key]\nkey_file = "node.key"\n'
        )
        founding.found(made, name="alice", advertise="127.0.0.1:7100")
        yield made


@pytest.fixture
def quorate(home: Path, capsys: pytest.CaptureFixture[str]) -> Quorate:
    def command(*words: object, code: int = 0) -> list[dict[str, Any]]:
        assert run([str(word) for word in (*words, "--home", home, "--json")]) == code
        said = capsys.readouterr()
        return [json.loads(line) for line in (said.err if code else said.out).splitlines()]

    return command


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[FakeNode]:
    """The client side of the node, over its own store."""
    settings, api = load(home), FakeNode()
    with founding.opened(home, settings) as ledger:
        server = NodeServer(
            api,
            issue_client_certificate(ledger, settings),
            f"127.0.0.1:{settings.client.port}",
            socket=home / "quorate.sock",
            logins=ledger,
            registry=Registry(ledger, settings),
            examiner=FakeExaminer(),
            causes=tuple,
            certificate_address=settings.client.certificate_listener,
            limits=Limits(),
            upkeep=FakeUpkeep(),
        )
        await server.start()
        yield api
        await server.stop()


async def names(file: Path) -> list[str]:
    async with NodeClient.remote(Credentials.load(file)) as node:
        return [vault.name for vault in await node.vaults()]


def seen(home: Path, *files: Path) -> list[list[str] | str]:
    """What each client is shown by the node, or why it is not."""

    async def look(file: Path) -> list[str] | str:
        try:
            return await names(file)
        except RemoteError as refused:
            return refused.code

    async def main() -> list[list[str] | str]:
        async with serving(home):
            return [await look(file) for file in files]

    return asyncio.run(main())


def test_clients_with_secrets_and_with_certificates_get_in_as_they_were_added(
    home: Path, quorate: Quorate, tmp_path: Path
) -> None:
    secret, new, own = tmp_path / "secret.json", tmp_path / "new.json", tmp_path / "own.json"
    identity = create_client_identity("whatever it says")
    (tmp_path / "own.pem").write_text(identity.certificate_pem)
    quorate("client", "add", "secret", "--role", "viewer", "--vault", "ops", "--out", secret)
    quorate("client", "add", "new", "--role", "viewer", "--new-certificate", "--out", new)
    [added] = quorate(
        "client", "add", "own", "--role", "signer:cold", "--certificate", tmp_path / "own.pem", "--out", own
    )
    assert added["endpoint"] == load(home).client.certificate_address
    with pytest.raises(UsageError, match=r"own\.key"):
        Credentials.load(own)
    (tmp_path / "own.key").write_bytes(identity.private_key_pem)
    listed = {line["client"]: line for line in quorate("client", "list")}
    assert listed["own"]["credentials"][0]["certificate_pin"] == identity.pin.hex()
    assert "PRIVATE KEY" not in json.dumps(listed) + own.read_text()
    assert seen(home, secret, new, own) == [["ops"], ["ops", "cold"], ["cold"]]
    before = new.read_text()
    quorate("client", "rotate", "new", "--new-certificate", "--overlap", "1h", "--out", new)
    quorate("client", "rotate", "own", "--out", own)
    quorate("client", "revoke", "secret")
    assert "secret" in json.loads(own.read_text())
    old = tmp_path / "old.json"
    old.write_text(before)
    assert seen(home, new, old, own, secret) == [
        ["ops", "cold"],
        ["ops", "cold"],
        ["cold"],
        "UNAUTHENTICATED",
    ]


def test_what_cannot_be_done_is_said_before_anything_is(home: Path, quorate: Quorate, tmp_path: Path) -> None:
    out = tmp_path / "app.json"
    add = ("client", "add", "app", "--out", out)
    for words, why in (
        ((*add, "--new-certificate", "--certificate", out), "choose"),
        ((*add, "--certificate", out), "cannot be read"),
        ((*add, "--role", "signer:"), "no vault follows"),
        ((*add, "--role", "boss"), "is none of"),
        ((*add, "--role", "signer", "--role", "approver"), "who approves"),
    ):
        [error] = quorate(*words, code=2)
        assert why in error["message"]
    settings = home / "quorate.toml"
    settings.write_text(
        "".join(line for line in settings.read_text().splitlines(True) if "certificate" not in line)
    )
    [error] = quorate(*add, "--new-certificate", code=2)
    assert "certificate_port" in error["message"]
    assert not out.exists()
    assert quorate("client", "list") == []


def test_doctor_looks_at_the_port_for_certificates_too(home: Path) -> None:
    settings = load(home)
    assert settings.client.certificate_port is not None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", settings.client.certificate_port))
        taken.listen()
        found = {each.check: each.code for each in examine_ports(settings)}
    assert found["port client certificates"] == "PORT_IN_USE"


def test_roles_are_on_the_vaults_named_with_them_or_on_all_that_are_named() -> None:
    assert grants_of(["signer"], []) == (Grant("signer"),)
    assert grants_of(["signer", "viewer:cold"], ["ops", "hr"]) == (
        Grant("signer", ("ops", "hr")), Grant("viewer", ("cold",)),
    )  # fmt: skip
    assert grants_of(["signer:a", "signer:b", "signer:a"], []) == (Grant("signer", ("a", "b")),)
