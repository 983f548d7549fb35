"""What a cluster refuses, and that it says what and who."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import uuid
from pathlib import Path

import grpc
import pytest

from quorate.ceremony.ports import State
from quorate.cli.cluster import Member, ProcessFailed
from quorate.node import founding
from quorate.rpc.client import NodeClient
from quorate.rpc.failures import RemoteError
from quorate.storage import Grant
from tests.cluster.conftest import Signers, sign

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]


@pytest.mark.parametrize(
    ("weights", "threshold", "said"),
    [
        ([("alice", 2), ("bob", 1)], 4, "threshold 4"),
        ([("alice", 0), ("bob", 1)], 1, "weight 0"),
        ([("alice", 1), ("alice", 1)], 2, "alice"),
        ([("alice", 1), ("mallory", 1)], 2, "mallory"),
        ([("bob", 1), ("carol", 1)], 2, "roster"),
        ([("alice", 2), ("bob", 1)], 2, "alone"),
    ],
)
async def test_an_impossible_roster_is_refused_with_what_and_who(
    signers: Signers, weights: list[tuple[str, int]], threshold: int, said: str
) -> None:
    with pytest.raises(RemoteError, match=said):
        await signers["alice"].node.create_vault(
            name="impossible", weights=weights, threshold=threshold, idempotency_key=uuid.uuid4().hex
        )


async def test_a_wrong_client_secret_is_refused(signers: Signers) -> None:
    wrong = dataclasses.replace(signers["alice"].credentials, secret="x" * 43)
    async with NodeClient.remote(wrong) as mallory:
        with pytest.raises(RemoteError) as refused:
            await mallory.vaults()
    assert refused.value.code == "UNAUTHENTICATED"


async def test_a_node_with_another_certificate_is_not_believed(signers: Signers) -> None:
    wrong = dataclasses.replace(signers["alice"].credentials, endpoint=signers["bob"].credentials.endpoint)
    async with NodeClient.remote(wrong) as client:
        with pytest.raises(RemoteError) as refused:
            await client.vaults()
    assert refused.value.code == "WRONG_CERTIFICATE"


async def test_garbage_on_both_ports_disturbs_nobody(signers: Signers) -> None:
    alice = signers["alice"]

    async def shout(port: int) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(os.urandom(20_000))
        await writer.drain()
        writer.close()

    ports = [alice.peer_port, alice.client_port] * 5
    noise = asyncio.gather(*(shout(port) for port in ports), return_exceptions=True)
    view = await sign(alice.node, "ops", "in spite of the noise")
    await noise
    assert view.state is State.COMPLETED, view
    assert alice.running is not None
    assert alice.running.alive


async def test_a_wrong_passphrase_or_key_is_named_and_the_store_left_alone(
    signers: Signers, tmp_path: Path
) -> None:
    carol = signers["carol"]
    await carol.stop()
    store = carol.home / founding.STORE
    before = store.read_bytes()
    other = tmp_path / "other.key"
    founding.write_key(other)
    try:
        impostor = dataclasses.replace(
            carol, environment={"QUORATE_KEY__KEY_FILE": str(other)}, running=None, client=None
        )
        with pytest.raises(ProcessFailed, match="exit code 1"):
            await impostor.start()
        assert "does not open with this key-file" in carol.log.read_text()
        assert store.read_bytes() == before
    finally:
        await carol.start()
        await signers.cluster.linked()


async def test_a_stranger_with_a_certificate_of_her_own_gets_nowhere(
    signers: Signers, tmp_path: Path
) -> None:
    """Mallory has alice's card and a certificate of her own, which alice has never seen."""
    alice = signers["alice"]
    mallory = founding_stranger(tmp_path / "mallory")
    with founding.opened(mallory) as ledger:
        certificate, key = ledger.tls()
        credentials = grpc.ssl_channel_credentials(
            (await alice.node.peers())[0].certificate_pem.encode(), key.reveal(), certificate.encode()
        )
    name = f"{alice.device}.quorate"
    options = [("grpc.ssl_target_name_override", name)]
    async with grpc.aio.secure_channel(
        f"127.0.0.1:{alice.peer_port}", credentials, options=options
    ) as channel:
        call = channel.unary_unary("/quorate.v1.PeerService/Hello", bytes, bytes)
        with pytest.raises(grpc.aio.AioRpcError):
            await call(b"", timeout=3)
    view = await sign(alice.node, "ops", "mallory was here")
    assert view.state is State.COMPLETED


def founding_stranger(home: Path) -> Path:
    home.mkdir()
    (home / "quorate.toml").write_text('[key]\nkey_file = "node.key"\n')
    founding.found(home, name="mallory", advertise="127.0.0.1:7100")
    return home


async def test_a_card_is_added_to_a_running_node(signers: Signers, tmp_path: Path) -> None:
    home = founding_stranger(tmp_path / "dave")
    card = (home / "cards" / "mallory.json").read_text()
    added = await signers["bob"].node.add_peer(card)
    known = {peer.device for peer in await signers["bob"].node.peers()}
    assert added.device in known
    assert added.device in (await signers["bob"].node.status()).peers


async def test_a_client_revoked_on_a_running_node_is_refused_from_then_on(signers: Signers) -> None:
    alice: Member = signers["alice"]
    credentials = await alice.node.add_client("treasury", [Grant("signer")])
    async with NodeClient.remote(credentials) as treasury:
        assert [vault.name for vault in await treasury.vaults()]
        await alice.node.revoke_client("treasury")
        with pytest.raises(RemoteError) as refused:
            await treasury.vaults()
    assert refused.value.code == "UNAUTHENTICATED"


async def test_a_signer_may_not_administer(signers: Signers) -> None:
    credentials = await signers["alice"].node.add_client("application", [Grant("signer")])
    async with NodeClient.remote(credentials) as application:
        with pytest.raises(RemoteError):
            await application.add_client("friend", [Grant("viewer")])
