"""Certificates and addresses change while links are open: no frame is lost, and the old certificate ends."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import grpc
import pytest

from quorate.ceremony.ports import Method, Peer
from quorate.errors import PeerError
from quorate.identifiers import DeviceId
from quorate.rpc import trust as trust_module
from quorate.rpc.client import NodeClient
from quorate.rpc.tls import create_authority, create_identity, issue, server_name_of
from quorate.rpc.trust import Earlier, Trust
from quorate.storage import Grant
from tests.rpc.fake_node import Served
from tests.rpc.loopback import PATIENCE, LoopbackNode, Wire, card, eventually

Pair = tuple[LoopbackNode, LoopbackNode]
ALICE, BOB = DeviceId("a" * 24), DeviceId("b" * 24)
LONG = 3600.0


class Rotated:
    """What a rotation is at the level of channels: a new certificate, and the card of the next rev with it."""

    def __init__(self, node: LoopbackNode, rev: int = 2, ends: float = LONG) -> None:
        self.before = node.identity
        self.identity = create_identity(node.device, rev=rev)
        node.identity = self.identity
        now = asyncio.get_running_loop().time()
        node.mesh.renew(self.identity, [Earlier(rev - 1, self.before, now + ends)] if ends else [])
        self.card: Peer = replace(card(node.device, self.identity, f"127.0.0.1:{node.port}"), rev=rev)


async def ask(one: LoopbackNode, other: LoopbackNode) -> None:
    answer = await one.mesh.request(other.device, Method.HELLO, b"x", timeout=PATIENCE)
    assert answer == one.device.encode() + b":x"


async def test_no_frame_is_lost_or_comes_twice_while_both_ends_change_their_certificates(pair: Pair) -> None:
    alice, bob = pair
    sent = 0

    async def talk(frames: int) -> None:
        nonlocal sent
        for _ in range(frames):
            alice.mesh.post(bob.device, b"%d" % sent)
            sent += 1
            if sent % 7 == 0:
                await asyncio.sleep(0)

    await talk(300)
    for number in (2, 3):
        rotated = Rotated(alice, number)
        await talk(100)
        bob.know(rotated.card)
        await talk(100)
        alice.mesh.confirm(bob.device, number)
        await talk(100)
        theirs = Rotated(bob, number)
        alice.know(theirs.card)
        await talk(100)
        bob.mesh.confirm(alice.device, number)
        await talk(100)
    await eventually(lambda: len(bob.handler.envelopes) == sent)
    assert [int(frame) for _, frame in bob.handler.envelopes] == list(range(sent))
    await ask(alice, bob)
    await ask(bob, alice)


async def test_a_peer_with_the_old_card_still_reaches_a_node_that_rotated_and_is_reached(pair: Pair) -> None:
    alice, bob = pair
    rotated = Rotated(alice)
    late = LoopbackNode("b")  # bob as after a restart: new connections, and the card from before
    late.identity, late.trust.identity = bob.identity, bob.identity
    await bob.stop()
    await late.start()
    late.know(card(alice.device, rotated.before, f"127.0.0.1:{alice.port}"))
    alice.know(late)
    try:
        await ask(late, alice)
        alice.mesh.confirm(late.device, 1)
        await eventually(lambda: alice.mesh.connected(late.device))
        await ask(alice, late)
    finally:
        await late.mesh.stop()
        await late.silence()
    bob.server = None
    await bob.start()


async def test_the_old_certificate_is_refused_once_the_overlap_is_over(pair: Pair) -> None:
    alice, bob = pair
    stale = LoopbackNode("a")  # who holds alice's old key
    stale.identity, stale.trust.identity = alice.identity, alice.identity
    rotated = Rotated(alice)
    bob.know(rotated.card)
    await stale.mesh.start()
    stale.know(bob)
    try:
        await ask(stale, bob)  # within the overlap the old certificate is alice too
        alice.mesh.confirm(bob.device, 2)
        await ask(alice, bob)  # the new one was seen: the old one parts
        for replaced in bob.trust._replaced.values():
            assert replaced.ends <= bob.trust._now() + trust_module.PARTING
            replaced.ends = 0.0
        with pytest.raises(PeerError) as caught:
            await stale.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
        assert caught.value.code == "UNKNOWN_CERTIFICATE"
        await ask(alice, bob)
    finally:
        await stale.mesh.stop()


async def test_a_rotation_at_once_shows_the_old_certificate_to_nobody(pair: Pair) -> None:
    alice, bob = pair
    before = card(alice.device, alice.identity, f"127.0.0.1:{alice.port}")
    rotated = Rotated(alice, ends=0)
    stranger = LoopbackNode("b")
    stranger.identity, stranger.trust.identity = bob.identity, bob.identity
    await stranger.mesh.start()
    stranger.know(before)
    try:
        with pytest.raises(PeerError) as caught:
            await stranger.mesh.request(alice.device, Method.HELLO, b"", timeout=PATIENCE)
        assert caught.value.code == "WRONG_CERTIFICATE"
        stranger.know(rotated.card)
        await ask(stranger, alice)
    finally:
        await stranger.mesh.stop()


async def test_a_peer_that_moved_is_dialled_there_and_no_frame_is_lost(pair: Pair) -> None:
    alice, bob = pair
    async with Wire(bob.port) as wire:
        for number in range(200):
            alice.mesh.post(bob.device, b"%d" % number)
            if number == 100:
                alice.know(replace(bob.card, address=f"127.0.0.1:{wire.port}"))
            if number % 9 == 0:
                await asyncio.sleep(0)
        await eventually(lambda: len(bob.handler.envelopes) == 200)
        assert [int(frame) for _, frame in bob.handler.envelopes] == list(range(200))
        await ask(alice, bob)
        wire.cut()  # it is this way that they go
        with pytest.raises(PeerError):
            await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=0.3)
        alice.know(bob)  # and back, from a line that is dead
        await eventually(lambda: alice.mesh.connected(bob.device))
        await ask(alice, bob)


def test_who_has_not_confirmed_a_new_card_is_met_as_who_it_knows() -> None:
    clock = [0.0]
    first, second, third = (create_identity(ALICE, rev=rev) for rev in (1, 2, 5))
    bob = card(BOB, create_identity(BOB), "h:1")
    earlier = [Earlier(1, first, 100.0), Earlier(4, second, 200.0)]
    trust = Trust(ALICE, third, {BOB: bob}, earlier=earlier, now=lambda: clock[0])
    assert trust.identity_for(BOB) is third  # nothing is known of what it holds
    assert trust.unconfirmed
    for rev, expected in ((1, first), (2, second), (4, second), (5, third)):
        trust.confirm(BOB, rev)
        assert trust.identity_for(BOB) is expected
        assert trust.unconfirmed is (rev < 5)
    trust.confirm(BOB, 1)
    version, clock[0] = trust.version, 150.0
    assert trust.version > version
    assert trust.identity_for(BOB) is second  # the first has ended
    assert len({server_name_of(each.certificate_pem) for each in (first, second, third)}) == 3


def test_a_replaced_certificate_ends_with_the_overlap_even_if_the_new_one_is_never_seen() -> None:
    clock = [0.0]
    old, new = create_identity(BOB), create_identity(BOB, rev=2)
    trust = Trust(
        ALICE, create_identity(ALICE), {BOB: card(BOB, old, "h:1")}, overlap=60.0, now=lambda: clock[0]
    )
    trust.replace({BOB: card(BOB, new, "h:1")})
    pem = old.certificate_pem.encode()
    clock[0] = 59.0
    assert trust.device_of(pem) == BOB
    version, clock[0] = trust.version, 61.0
    assert trust.device_of(pem) is None
    assert trust.version > version
    assert trust.device_of(new.certificate_pem.encode()) == BOB
    trust.replace({})
    assert trust.device_of(new.certificate_pem.encode()) is None


async def test_credentials_outlive_the_certificate_that_the_client_port_shows(served: Served) -> None:
    authority = create_authority(ALICE)
    assert served.server is not None
    served.server.renew(issue(authority, ["127.0.0.1"]))
    credentials = replace(
        served.credentials("treasury", served.book.enrol("treasury", Grant("admin"))),
        ca_pem=authority.certificate_pem,
    )
    shown = set()
    for _ in range(3):
        async with NodeClient.remote(credentials) as node:
            assert (await node.status()).name == "alice"
        shown.add(served.server._tls.certificate_pem)
        served.server.renew(issue(authority))
    assert len(shown) == 3
    forged = replace(credentials, ca_pem=create_authority(ALICE).certificate_pem)
    async with NodeClient.remote(forged) as node:
        with pytest.raises(Exception, match="certificate"):
            await node.status()


async def test_a_certificate_of_the_client_authority_is_for_servers_and_issues_nothing() -> None:
    authority = create_authority(ALICE)
    made = issue(authority)
    again = issue(made)  # nobody stops its holder from trying
    port_server = grpc.aio.server()
    credentials = grpc.ssl_server_credentials(
        [(again.private_key_pem, (again.certificate_pem + made.certificate_pem).encode())]
    )
    port = port_server.add_secure_port("127.0.0.1:0", credentials)
    await port_server.start()
    channel = grpc.aio.secure_channel(
        f"127.0.0.1:{port}",
        grpc.ssl_channel_credentials(authority.certificate_pem.encode()),
        options=[("grpc.ssl_target_name_override", server_name_of(authority.certificate_pem))],
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary("/x/y", bytes, bytes)(b"", timeout=PATIENCE)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    await channel.close(None)
    await port_server.stop(0)


async def test_two_meshes_that_rotate_at_the_same_time_find_each_other(pair: Pair) -> None:
    alice, bob = pair
    one, other = Rotated(alice), Rotated(bob)
    bob.know(one.card)
    alice.know(other.card)
    alice.mesh.confirm(bob.device, 2)
    bob.mesh.confirm(alice.device, 2)
    for node, peer in ((alice, bob), (bob, alice)):
        await ask(node, peer)
    await eventually(lambda: alice.mesh.connected(bob.device) and bob.mesh.connected(alice.device))


async def test_a_peer_that_shows_our_earlier_certificate_as_its_own_stops_nothing() -> None:
    earlier, ours, theirs = (create_identity(ALICE), create_identity(ALICE, rev=2), create_identity(BOB))
    trust = Trust(ALICE, ours, {}, earlier=[Earlier(1, earlier, LONG)], now=lambda: 0.0)
    trust.replace({BOB: card(BOB, earlier, "127.0.0.1:1")})
    trust.replace({BOB: card(BOB, theirs, "127.0.0.1:1")})
    assert trust.device_of(theirs.certificate_pem.encode()) == BOB


async def test_of_a_peer_that_shows_card_after_card_the_last_few_certificates_count() -> None:
    shown = [create_identity(BOB, rev=rev) for rev in range(1, 9)]
    trust = Trust(ALICE, create_identity(ALICE), {}, now=lambda: 0.0)
    for identity in shown:
        trust.replace({BOB: card(BOB, identity, "127.0.0.1:1")})
    known = [trust.device_of(identity.certificate_pem.encode()) for identity in shown]
    assert known == [None] * 3 + [BOB] * 5
