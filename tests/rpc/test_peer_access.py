"""Who may call what on the peer port: a peer PeerService, and nobody anything else."""

from __future__ import annotations

import contextlib

import grpc
import pytest

from quorate.rpc._pb import admin_pb2, node_pb2, peer_pb2
from quorate.rpc.client_certificates import create_client_identity
from quorate.rpc.tls import TlsIdentity, create_identity, server_name_of
from tests.rpc.loopback import PATIENCE, LoopbackNode

PEERS = [
    f"/{service.full_name}/{method.name}"
    for service in peer_pb2.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
CLIENTS = [
    f"/{service.full_name}/{method.name}"
    for file in (node_pb2, admin_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]

Pair = tuple[LoopbackNode, LoopbackNode]
# A statement, or a frame: the two have their body in the same place.
BODY = peer_pb2.Statement(signed=b"hello").SerializeToString()


def channel_to(node: LoopbackNode, identity: TlsIdentity | None) -> grpc.aio.Channel:
    own = (identity.private_key_pem, identity.certificate_pem.encode()) if identity else (None, None)
    tls = grpc.ssl_channel_credentials(node.identity.certificate_pem.encode(), *own)
    name = [("grpc.ssl_target_name_override", server_name_of(node.identity.certificate_pem))]
    return grpc.aio.secure_channel(f"127.0.0.1:{node.port}", tls, options=name)


async def codes(channel: grpc.aio.Channel, methods: list[str]) -> dict[str, grpc.StatusCode]:
    """What a call of each comes to, with one message and then the end."""
    found = {}
    for method in methods:
        call = channel.stream_stream(method, bytes, bytes)(iter([BODY]), timeout=PATIENCE)
        with contextlib.suppress(grpc.aio.AioRpcError):
            async for _ in call:
                pass
        found[method] = await call.code()
    return found


@pytest.mark.parametrize("who", ["nobody", "a client", "a stranger of the same name"])
async def test_who_is_no_peer_calls_no_method_of_any_service(pair: Pair, who: str) -> None:
    alice, bob = pair
    identities = {
        "nobody": None,
        "a client": create_client_identity("app"),
        "a stranger of the same name": create_identity(bob.device),
    }
    before = len(alice.handler.requests), len(alice.handler.envelopes)
    async with channel_to(alice, identities[who]) as channel:
        found = await codes(channel, PEERS + CLIENTS)
    assert set(found.values()) == {grpc.StatusCode.UNAVAILABLE}, found  # TLS has turned it away
    assert (len(alice.handler.requests), len(alice.handler.envelopes)) == before


async def test_who_was_a_peer_calls_no_method_on_the_connection_it_has(pair: Pair) -> None:
    alice, bob = pair
    async with channel_to(alice, bob.identity) as channel:
        assert set((await codes(channel, PEERS)).values()) == {grpc.StatusCode.OK}
        alice.know()
        before = len(alice.handler.requests), len(alice.handler.envelopes)
        found = await codes(channel, PEERS)
    assert set(found.values()) == {grpc.StatusCode.PERMISSION_DENIED}, found
    assert (len(alice.handler.requests), len(alice.handler.envelopes)) == before


async def test_a_peer_calls_nothing_of_what_is_for_clients(pair: Pair) -> None:
    alice, bob = pair
    async with channel_to(alice, bob.identity) as channel:
        found = await codes(channel, CLIENTS)
    assert set(found.values()) == {grpc.StatusCode.UNIMPLEMENTED}, found
