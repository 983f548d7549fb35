"""Nodes know of each other how they are: clock, version, and which epoch they hold."""

from __future__ import annotations

from typing import Any

import pytest

from quorate.ceremony.allowance import MOST, WITHIN
from quorate.ceremony.identity import card_of
from quorate.ceremony.ports import Method
from quorate.ceremony.statements import Hello, state
from quorate.errors import PeerError, UsageError
from quorate.identifiers import DeviceId, OperationId
from quorate.native.memory import SecretBytes
from quorate.rpc.tls import create_identity
from tests.ceremony.world import Node, World
from tests.rules import breaks

EQUAL = {"alice": 1, "bob": 1, "carol": 1}


async def test_a_greeting_tells_both_sides_and_only_the_asker_the_other_s_clock(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    bob.clock.ahead_ms = 60_000
    await alice.ceremonies.greetings.greet(bob.device)
    heard = alice.ceremonies.greetings.heard[bob.device]
    assert heard.version == "test"
    assert heard.clock_offset is not None
    assert 55 < heard.clock_offset < 65
    assert bob.ceremonies.greetings.heard[alice.device].clock_offset is None


async def test_a_greeting_shows_the_epochs_of_shared_vaults_only(world: World) -> None:
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    await alice.create_vault("ops", EQUAL, 2)
    await alice.create_vault("two", {"alice": 1, "bob": 1}, 2)
    ops, two = await alice.ready("ops"), await alice.ready("two")
    for peer in (bob, carol):
        await peer.ready("ops")
        await alice.ceremonies.greetings.greet(peer.device)
    await bob.ready("two")
    heard = alice.ceremonies.greetings.heard
    assert set(heard[bob.device].heads) == {ops.id, two.id}
    assert set(heard[carol.device].heads) == {ops.id}
    assert heard[carol.device].heads[ops.id].certificate == ops.certificate_hash


async def test_a_peer_that_is_down_is_not_heard(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    world.down.add(bob.device)
    with pytest.raises(PeerError):
        await alice.ceremonies.greetings.greet(bob.device)
    assert bob.device not in alice.ceremonies.greetings.heard


async def test_a_peer_tells_how_it_sees_those_it_is_asked_about_and_no_others(world: World) -> None:
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    carol.clock.ahead_ms = 60_000
    await bob.ceremonies.greetings.greet(carol.device)
    told = await alice.ceremonies.greetings.greet(bob.device)
    assert told.sights == {}
    strangers = DeviceId("z" * 24)
    told = await alice.ceremonies.greetings.greet(
        bob.device, asking=[alice.device, bob.device, carol.device, strangers]
    )
    assert set(told.sights) == {carol.device}
    sight = told.sights[carol.device]
    assert (sight.connected, sight.version, sight.rev) == (True, "test", 1)
    assert sight.rtt_us > 0
    assert 55_000 < sight.offset_ms < 65_000


@breaks("CE-1.1")
async def test_a_hello_that_somebody_else_signed_is_not_believed(world: World) -> None:
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    answer = carol.ceremonies.greetings.hello(alice.device)
    inner = bob.ceremonies.on_request

    async def lie(sender: DeviceId, method: Method, body: bytes) -> bytes:
        return answer if method is Method.HELLO else await inner(sender, method, body)

    bob.ceremonies.on_request = lie  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"CE-1\.1"):
        await alice.ceremonies.greetings.greet(bob.device)


async def test_every_change_of_an_operation_is_heard_once_it_is_there(world: World) -> None:
    alice, heard = world["alice"], list[tuple[OperationId, str]]()

    def on_change(operation: OperationId) -> None:
        row = alice.ledger.operation(operation)
        heard.append((operation, row.state.value if row else ""))

    alice.ceremonies._context.board._on_change = on_change
    view = await alice.create_vault("ops", EQUAL, 2)
    states = list(dict.fromkeys(state for operation, state in heard if operation == view.id))
    assert states == ["VOTING", "APPROVED", "RUNNING", "COMPLETED"]


def announced(node: Node, **changes: Any) -> str:
    """The card a node would show after it changed, without its store knowing."""
    me, identity = node.ledger.me, node.ledger.identity
    fields: dict[str, Any] = {
        "name": me.name, "address": me.address, "certificate_pem": me.certificate_pem,
        "hardware_id": me.hardware_id, "rev": me.rev + 1, "updated_ms": 1_762_527_062_984,
    }  # fmt: skip
    return card_of(identity, **fields | changes)


async def test_a_new_card_reaches_every_peer_by_itself_and_each_says_that_it_holds_it(world: World) -> None:
    alice = world["alice"]
    told: list[tuple[str, DeviceId, int]] = []

    def listen(name: str) -> None:
        world[name].ceremonies.greetings._on_cards = lambda peer, holds: told.append((name, peer, holds))

    for name in world.nodes:
        listen(name)
    greetings = alice.ceremonies.greetings
    await greetings.announce()
    made = create_identity(alice.device, rev=2)
    alice.ledger.renew_card(
        address="10.0.0.7:7100",
        certificate_pem=made.certificate_pem,
        tls_key=SecretBytes.of(made.private_key_pem),
    )
    world.down.add(world["carol"].device)
    await greetings.announce()
    held = {node.name: node.ledger.peers()[alice.device] for node in world.nodes.values()}
    assert (held["bob"].rev, held["bob"].address, held["bob"].certificate_pem) == (
        2, "10.0.0.7:7100", made.certificate_pem,
    )  # fmt: skip
    assert held["carol"].rev == 1
    assert greetings.heard[world["bob"].device].holds == 2
    assert ("alice", world["bob"].device, 2) in told
    assert ("bob", alice.device, 1) in told
    world.down.clear()
    await world["carol"].ceremonies.greetings.greet(alice.device)  # the answer brings it, whoever asks first
    assert world["carol"].ledger.peers()[alice.device].rev == 2
    await world["carol"].ceremonies.greetings.greet(alice.device)
    assert greetings.heard[world["carol"].device].holds == 2


@breaks("ST-5.8")
async def test_a_peer_that_changes_its_card_without_end_does_not_fill_the_audit_chains_of_others(
    world: World,
) -> None:
    alice, bob = world["alice"], world["bob"]

    async def change(count: int) -> int:
        """Records that it takes of bob."""
        before = bob.ledger.audit_head().sequence
        for number in range(count):
            alice.ledger.renew_card(address=f"10.0.0.7:{7100 + number}")
            await alice.ceremonies.greetings.announce()
        return bob.ledger.audit_head().sequence - before

    await alice.ceremonies.greetings.announce()
    assert await change(MOST + 5) == MOST
    assert bob.ledger.peers()[alice.device].rev == MOST + 1
    taken = bob.ceremonies.greetings._cards._taken
    taken[alice.device] = [at - WITHIN for at in taken[alice.device]]
    assert await change(1) == 1
    assert bob.ledger.peers()[alice.device].card == alice.ledger.me.card


@breaks("ST-5.2", "ST-5.8")
async def test_a_card_in_a_greeting_counts_only_if_its_own_device_signed_it_and_it_is_later(
    world: World,
) -> None:
    alice, bob, carol = (world[name] for name in ("alice", "bob", "carol"))
    replayed = alice.ledger.me.card
    alice.ledger.renew_card(address="10.0.0.7:7100")
    await alice.ceremonies.greetings.greet(bob.device)
    await alice.ceremonies.greetings.announce()
    assert bob.ledger.peers()[alice.device].rev == 2
    held = bob.ledger.peers()
    forged = announced(alice, address="10.6.6.6:7100").replace("10.6.6.6", "10.6.6.7")
    for card, code in (
        (replayed, "OLD_CARD"),
        (announced(alice, rev=2, address="10.6.6.6:7100"), "OLD_CARD"),
        (forged, "INVALID_CARD"),
        (announced(alice, name="bob's friend"), "INVALID_CARD"),
        (announced(carol), "INVALID_CARD"),
        ("no card", "INVALID_CARD"),
    ):
        hello = Hello(
            version="", protocol=1, clock_ms=1, boot_counter=1, boot=bytes(32), vaults=(), card=card, holds=1
        )
        with pytest.raises(UsageError) as caught:
            await bob.ceremonies.on_request(alice.device, Method.HELLO, state(alice.ledger.identity, hello))
        assert caught.value.code == code
        assert bob.ledger.peers() == held
