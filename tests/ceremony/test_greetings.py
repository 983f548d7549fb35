"""Nodes know of each other how they are: clock, version, and which epoch they hold."""

from __future__ import annotations

import pytest

from quorate.ceremony.ports import Method
from quorate.errors import PeerError, UsageError
from quorate.identifiers import DeviceId, OperationId
from tests.ceremony.world import World
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
