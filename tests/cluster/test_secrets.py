"""A full run of three nodes says no secret anywhere: not in what it prints, logs, measures or stores."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from quorate.ceremony.ports import EpochState, State
from quorate.ceremony.views import VaultView
from quorate.cli.cluster import Cluster, Member, launch
from quorate.cli.connection import vault_ready
from quorate.cli.demo import APPROVAL_SERVER, public_key_of
from quorate.identifiers import Curve
from quorate.node import founding
from quorate.protocols.ot.setup import PairSetup
from quorate.rpc.client import NodeClient
from quorate.rpc.failures import RemoteError
from quorate.storage import Grant, SqliteLedger
from tests.cluster.confessing import DRAWN
from tests.cluster.conftest import PATIENCE, THRESHOLD, WEIGHTS
from tests.rules import breaks

pytestmark = pytest.mark.xdist_group("cluster")

CONFESSING = (sys.executable, "-m", "tests.cluster.confessing")
FORMS = {"alice": "json", "bob": "json", "carol": "text"}
FORBIDDEN = "something forbidden"
SETTINGS = """
[key]
passphrase_file = "{passphrase}"
memory_kib = 64
passes = 1
[backup]
folder = "backups"
passphrase_file = "{passphrase}"
[log]
level = "debug"
format = "{form}"
[limits]
repeat = 0.5
[approver]
type = "webhook"
[approver.webhook]
transaction_url = "{url}?token={token}"
reshare_url = "{url}?token={token}"
public_key = '''{public_key}'''
"""


def spellings(secret: bytes) -> Iterator[bytes]:
    """How a secret may stand in a text, whole or inside of something larger."""
    for ordered in (secret, secret[::-1]):
        yield ordered
        yield ordered.hex().encode()
        yield ordered.hex().upper().encode()
    yield secret.hex(" ").encode()
    yield repr(secret)[2:-1].encode()
    for shift in range(3):  # in base64 the same bytes look different at each of three places
        for spell in (base64.b64encode, base64.urlsafe_b64encode):
            whole = spell(bytes(shift) + secret).rstrip(b"=")
            yield whole[-(-8 * shift // 6) : len(whole) - 1]
    yield base64.b32encode(secret).rstrip(b"=")[:-1]
    yield base64.b32encode(secret).rstrip(b"=")[:-1].lower()
    for order in ("big", "little"):
        yield str(int.from_bytes(secret, order)).encode()
    yield str(list(secret)).encode()


def leaks(known: dict[str, bytes], said: dict[str, bytes]) -> list[str]:
    """Which secret stands in which text."""
    spelt = [(name, spelling) for name, secret in known.items() for spelling in set(spellings(secret))]
    return [
        f"{name} in {where}" for where, text in said.items() for name, spelling in spelt if spelling in text
    ]


@pytest.mark.parametrize(
    "write",
    [
        lambda secret: secret,
        lambda secret: secret.hex().encode(),
        lambda secret: repr(secret).encode(),
        lambda secret: json.dumps(base64.b64encode(b"x" + secret + b"y").decode()).encode(),
        lambda secret: base64.urlsafe_b64encode(b"xy" + secret),
        lambda secret: base64.b64encode(secret),
        lambda secret: secret[::-1],
        lambda secret: secret[::-1].hex().encode(),
        lambda secret: f"scalar={int.from_bytes(secret, 'little')}".encode(),
        lambda secret: f"{list(secret)!r}".encode(),
    ],
)
def test_a_secret_is_found_however_it_is_written(write: object) -> None:
    secret = secrets.token_bytes(32)
    assert callable(write)
    text = b'{"event": "' + write(secret) + b'"}'
    assert leaks({"it": secret}, {"a log": text}) != []
    assert leaks({"another": secrets.token_bytes(32)}, {"a log": text}) == []


@breaks("ST-2.4")
async def test_a_full_run_says_no_secret(tmp_path: Path) -> None:
    known: dict[str, bytes] = {"the approver's token": secrets.token_urlsafe(24).encode()}
    key = tmp_path / "approver.pem"
    public = await asyncio.to_thread(public_key_of, key)
    server = (sys.executable, str(APPROVAL_SERVER), "--key", str(key), "--reject", "forbidden")
    approver = await launch("the approval server", server, tmp_path / "approver.log")
    settings = {}
    for name, form in FORMS.items():
        passphrase = secrets.token_urlsafe(24)
        known[f"{name}'s passphrase"] = passphrase.encode()
        (tmp_path / f"{name}.passphrase").write_text(passphrase + "\n")
        (tmp_path / f"{name}.passphrase").chmod(0o600)
        settings[name] = SETTINGS.format(
            passphrase=tmp_path / f"{name}.passphrase", form=form, url=approver.ready.rpartition(" ")[2],
            token=known["the approver's token"].decode(), public_key=public,
        )  # fmt: skip
    said: dict[str, bytes] = {}
    try:
        async with Cluster(tmp_path, settings, CONFESSING) as cluster:
            await cluster.linked()
            await act(cluster, known, said)
            for member in cluster.members.values():
                steal(member, tmp_path / "copies" / member.name, known)
                said |= files(member, "signing")
            await renew(cluster)
            for member in cluster.members.values():
                said |= files(member, "running")
            processes = {name: member.running for name, member in cluster.members.items()}
    finally:
        await approver.stop()
    for name, running in processes.items():
        assert running is not None
        assert running.process.stdout is not None
        said[f"{name}'s stdout"] = running.ready.encode() + await running.process.stdout.read()
    for member in cluster.members.values():
        collect(member, known, said)
    for name, form in FORMS.items():
        check_form(said[f"{name}'s node.log, stopped"].decode(), name, form)
    assert sum(len(text) for text in said.values()) > 20_000
    assert sum(name.startswith("drawn") for name in known) > 20
    assert sum("share" in name for name in known) == 16
    assert sum("set-up" in name for name in known) == 36
    assert sum(".backup" in name for name in said) >= 12, "of two epochs, while the nodes ran and afterwards"
    for where in ("alice's node.db, stopped", "bob's node.db-wal, signing"):
        assert leaks({"a name": b"alice"}, {where: said[where]}) != [], "it is looked at"
    assert leaks(known, said) == []


async def act(cluster: Cluster, known: dict[str, bytes], said: dict[str, bytes]) -> None:
    """Make a vault, sign with it by every algorithm there is, be refused, be wrong; ask for all there is to see."""
    alice = cluster["alice"]
    credentials = await alice.node.add_client("treasury", [Grant("signer")])
    known["a client's secret"] = credentials.secret.encode()
    for name, member in cluster.members.items():
        known[f"the secret of {name}'s client"] = member.credentials.secret.encode()
    credentials.save(tmp := alice.home / "treasury.json")
    vault = await made(cluster)
    async with NodeClient.remote(credentials) as treasury:
        for algorithm in ("EDDSA", "ES256K"):
            assert await signed(treasury, "a message", algorithm) is State.COMPLETED
            assert await signed(treasury, FORBIDDEN, algorithm) is State.REJECTED
        with pytest.raises(RemoteError):
            await treasury.status()
    remote = ("--credentials", str(tmp))
    commands = (
        (*remote, "sign", "--vault", "ops", "--text", "by a command", "--wait"),
        (*remote, "sign", "--vault", "ops", "--text", FORBIDDEN, "--wait"),
        (*remote, "status"),
        ("status",), ("peer", "list"), ("--json", "client", "list"), ("vault", "show", vault.id),
        ("--json", "operation", "list"),
    )  # fmt: skip
    for command in commands:
        done = await asyncio.to_thread(run, alice, command)
        said[f"quorate {' '.join(command)}"] = done.stdout + done.stderr
    for name, member in cluster.members.items():
        for path in ("metrics", "readyz"):
            said[f"{name}'s {path}"] = await asyncio.to_thread(fetch, member, path)


def check_form(log: str, node: str, form: str) -> None:
    """One event a line, as objects with the same four fields, or as words."""
    lines = log.splitlines()
    assert any("serving" in line for line in lines)
    for line in lines:
        if form == "json":
            event = json.loads(line)
            assert event.keys() >= {"event", "level"}, line
            assert "logger" in event or (event["node"] == node and event["timestamp"]), line
        else:
            assert not line.startswith("{"), line
            assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \[\w+ *\] |\[\w+\] ", line), line


async def made(cluster: Cluster) -> VaultView:
    node = cluster["alice"].node
    view = await node.create_vault(
        name="ops", weights=WEIGHTS, threshold=THRESHOLD, idempotency_key=uuid.uuid4().hex
    )
    assert (await node.wait(view.id, PATIENCE)).state is State.COMPLETED
    for member in cluster.members.values():
        vault = await vault_ready(member.node, "ops", patience=PATIENCE)
        assert vault.state == "ready"
    return vault


async def signed(node: NodeClient, text: str, algorithm: str) -> State:
    view = await node.sign(
        vault="ops",
        data=[text],
        content_type="text/plain",
        algorithm=algorithm,
        idempotency_key=uuid.uuid4().hex,
    )
    return (await node.wait(view.id, PATIENCE)).state


def run(member: Member, command: tuple[str, ...]) -> subprocess.CompletedProcess[bytes]:
    environment = {"QUORATE_HOME": str(member.home), "PYTHONPATH": ":".join(sys.path), "QUORATE_DEBUG": "1"}
    return subprocess.run(
        (sys.executable, "-m", "quorate", *command), env=environment, capture_output=True, timeout=PATIENCE
    )


def fetch(member: Member, path: str) -> bytes:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{member.metrics_port}/{path}", timeout=PATIENCE
        ) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        return error.read()


async def renew(cluster: Cluster) -> None:
    """New shares of the same keys, and a backup of them."""
    view = await cluster["alice"].node.reshare(vault="ops", idempotency_key=uuid.uuid4().hex)
    assert (await cluster["alice"].node.wait(view.id, PATIENCE)).state is State.COMPLETED
    for member in cluster.members.values():
        async with asyncio.timeout(PATIENCE):
            while len(list(member.home.glob("backups/*.backup"))) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert (await vault_ready(member.node, "ops", patience=PATIENCE)).epoch == 1


def files(member: Member, when: str) -> dict[str, bytes]:
    paths = [*member.home.glob("node.*"), *member.home.glob("backups/*")]
    return {f"{member.name}'s {path.name}, {when}": path.read_bytes() for path in paths if path.is_file()}


def steal(member: Member, copy: Path, known: dict[str, bytes]) -> None:
    """The secrets of a store while its node runs: of a consistent copy of it, since it belongs to the node."""
    copy.mkdir(mode=0o700, parents=True)
    shutil.copyfile(member.home / "quorate.toml", copy / "quorate.toml")
    with (
        closing(sqlite3.connect(member.home / "node.db")) as held,
        closing(sqlite3.connect(copy / "node.db")) as stolen,
    ):
        held.backup(stolen)
    (copy / "node.db").chmod(0o600)
    with founding.opened(copy) as ledger:
        confess(member.name, ledger, known)


def collect(member: Member, known: dict[str, bytes], said: dict[str, bytes]) -> None:
    """What a stopped node has written, and the secrets that its store and its confession give away."""
    name = member.name
    said |= files(member, "stopped")
    for number, line in enumerate(sorted(set((member.home / DRAWN).read_text().split()))):
        known[f"drawn by {name}, {number}"] = bytes.fromhex(line)
    with founding.opened(member.home) as ledger:
        known[f"{name}'s identity"] = ledger._secret("identity").reveal()
        tls = load_pem_private_key(ledger.tls()[1].reveal(), None)
        assert isinstance(tls, EllipticCurvePrivateKey)
        known[f"{name}'s TLS key"] = tls.private_numbers().private_value.to_bytes(32, "big")
        confess(name, ledger, known)
    for secret in list(known):
        if len(known[secret]) == 64:
            known |= {
                f"{secret}, first half": known[secret][:32],
                f"{secret}, second half": known[secret][32:],
            }


def confess(name: str, ledger: SqliteLedger, known: dict[str, bytes]) -> None:
    """The node key, and the shares and set-ups of the epoch that lives."""
    known[f"{name}'s node key"] = ledger._sealer._node_key.reveal()
    (row,) = (row for row in ledger.epochs() if row.state is EpochState.ACTIVE)
    for curve in Curve:
        share = ledger.share(row.vault, row.epoch, row.attempt, curve).secret.reveal()
        for at in range(0, len(share), 32):
            known[f"{name}'s share on {curve} of epoch {row.epoch}, {at}"] = share[at : at + 32]
    for made in ledger.setups(row.vault, row.epoch, row.attempt):
        setup = PairSetup.unseal(ledger.setup(row.vault, row.epoch, row.attempt, made.peer).secret)
        with_whom = f"{name}'s set-up with {made.peer} of epoch {row.epoch}"
        known[f"{with_whom}: zero seed"] = setup.zero_seed.reveal()
        known[f"{with_whom}: leaves"] = setup.receiving.reveal()[:32]
        known[f"{with_whom}: choices"] = setup.sending.reveal()[-32:]
