"""Nodes of different releases: which version of the protocol they use, and that those without one begin nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from quorate.ceremony.agreement import Agreement
from quorate.ceremony.ports import Method, State
from quorate.ceremony.statements import Begin, Hello, Join, Signed, hear, state
from quorate.ceremony.versions import SPOKEN, Versions, common
from quorate.errors import EncodingError
from quorate.identifiers import DeviceId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.wire.codec import decode, encode
from tests.ceremony.governed import greet
from tests.ceremony.world import World
from tests.rules import breaks

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
OLD = Versions(SPOKEN.oldest - 1, SPOKEN.oldest - 1)


async def vault(world: World, **versions: Versions) -> None:
    """A vault of all, then some of whom are another release."""
    made = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert made.state is State.COMPLETED, made
    for node in world.nodes.values():
        await node.ready("ops")
    for name, spoken in versions.items():
        world[name].versions = spoken
        await world[name].restart()
    await greet(world)
    world.refusals.clear()


async def used(world: World, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The version of each agreement, from now on."""
    seen: list[int] = []
    identify: Any = vars(Agreement)["ceremony_id"].fget

    def noted(self: Agreement) -> Any:
        seen.append(self.version)
        return identify(self)

    monkeypatch.setattr(Agreement, "ceremony_id", property(noted))
    return seen


@pytest.mark.parametrize(
    ("spoken", "version"),
    [
        ([(3, 3)], 3),
        ([(3, 3), (3, 4)], 3),
        ([(2, 5), (3, 4), (1, 9)], 4),
        ([(3, 3), (4, 4)], None),
        ([(3, 4), (3, 3), (4, 4)], None),
    ],
)
def test_the_highest_version_that_all_speak_is_used(
    spoken: list[tuple[int, int]], version: int | None
) -> None:
    assert common(Versions(*each) for each in spoken) == version


@breaks("CE-1.13")
async def test_a_proposal_of_a_peer_that_speaks_another_protocol_is_refused(world: World) -> None:
    await vault(world, bob=OLD)
    view = await world["bob"].sign("ops", "hello", seconds=0.5)
    assert view.state is State.VOTING
    assert world["alice"].ledger.operation(view.id) is None
    told = world["alice"].ceremonies.greetings.mismatch(world["bob"].device)
    assert told.startswith(f"CE-1.13 protocol: bob speaks protocol {OLD}, alice {SPOKEN}")


async def test_who_speaks_another_protocol_is_neither_asked_nor_waited_for(world: World) -> None:
    await vault(world, bob=OLD)
    view = await world["alice"].sign("ops", "hello")
    assert view.state is State.COMPLETED
    assert view.attempt == 1
    assert world["bob"].approver.asked[-1].operation != view.id


@breaks("CE-10.2")
@pytest.mark.parametrize("algorithm", ["EDDSA", "ES256K"])
async def test_releases_with_a_version_in_common_sign_by_the_highest_one(
    world: World, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await vault(world, alice=Versions(3, 5), bob=Versions(2, 4), carol=Versions(3, 3))
    seen = await used(world, monkeypatch)
    world.down.add(world["carol"].device)
    assert (await world["alice"].sign("ops", "two", algorithm=algorithm)).state is State.COMPLETED
    assert set(seen) == {4}
    world.down.clear()
    world.down.add(world["bob"].device)
    seen.clear()
    assert (await world["alice"].sign("ops", "older", algorithm=algorithm)).state is State.COMPLETED
    assert set(seen) == {3}


async def test_those_who_have_one_in_common_are_chosen_where_all_have_none(world: World) -> None:
    """Each has one with alice, bob and carol have none with each other: either is enough."""
    await vault(world, alice=Versions(3, 4), bob=Versions(4, 4), carol=Versions(3, 3))
    for _ in range(2):
        view = await world["alice"].sign("ops", "hello")
        assert view.state is State.COMPLETED, view
        assert view.attempt == 1


async def test_an_operation_that_needs_all_of_those_who_have_none_in_common_names_them(world: World) -> None:
    await vault(world, alice=Versions(3, 4), bob=Versions(4, 4), carol=Versions(3, 3))
    view = await world["alice"].create_vault("other", {"alice": 1, "bob": 1, "carol": 1}, 3)
    assert (view.state, view.reason) == (State.FAILED, "PROTOCOL_MISMATCH"), view
    for told in ("alice 3 to 4", "bob 4", "carol 3"):
        assert told in view.detail


@breaks("CE-10.2")
async def test_nobody_between_two_nodes_has_them_use_an_older_version(world: World) -> None:
    """Somebody who could change what is said would have bob's join say that he speaks an older version alone."""
    await vault(world, alice=Versions(2, 3), bob=Versions(2, 3))
    world.down.add(world["carol"].device)
    changed = 0

    def older(sender: DeviceId, peer: DeviceId, method: Method, body: bytes) -> bytes | None:
        nonlocal changed
        if method is not Method.BEGIN:
            return None
        signed = decode(Signed, body)
        begin = decode(Begin, signed.body)
        joins = []
        for each in begin.joins:
            inner = decode(Signed, each)
            if inner.signer == world["bob"].device:
                lowered = encode_like(inner, oldest=2, newest=2)
                changed += 1
            else:
                lowered = each
            joins.append(lowered)
        begun = Begin(
            **{name: getattr(begin, name) for name in Begin.__struct_fields__} | {"joins": tuple(joins)}
        )
        return state(world["alice"].ledger.identity, begun)  # as if the proposer itself did it

    world.intercept = older
    view = await world["alice"].sign("ops", "hello", seconds=1.5)
    assert changed
    assert view.state is not State.COMPLETED
    assert {code for _, method, code in world.refusals if method is Method.BEGIN} == {"BAD_SIGNATURE"}


def encode_like(signed: Signed, **changes: int) -> bytes:
    """The same signature over another join."""
    join = decode(Join, signed.body)
    fields: dict[str, Any] = {name: getattr(join, name) for name in Join.__struct_fields__} | changes
    return encode(Signed(signer=signed.signer, body=encode(Join(**fields)), signature=signed.signature))


@breaks("CE-10.1")
@pytest.mark.parametrize(("oldest", "newest"), [(0, 3), (4, 3)])
def test_a_join_with_no_range_of_versions_is_none(oldest: int, newest: int) -> None:
    fields: dict[str, Any] = {
        "digest": bytes(32),
        "attempt": 1,
        "boot": bytes(32),
        "nonce": bytes(32),
        "session_key": bytes(32),
    }
    with pytest.raises(ValueError, match=r"CE-10\.1 range"):
        Join(**fields, oldest=oldest, newest=newest)
    good = encode(Join(**fields, oldest=3, newest=3))
    spoiled = good[:-2] + bytes([oldest, newest])
    with pytest.raises(EncodingError, match=r"CE-10\.1 range"):
        Join.read(spoiled)
    assert Join.read(good).versions == Versions(3, 3)


def hello(**fields: Any) -> Hello:
    held: dict[str, Any] = {
        "version": "9", "protocol": 4, "clock_ms": 1, "boot_counter": 1, "boot": bytes(32), "vaults": (), "oldest": 3,
    }  # fmt: skip
    return Hello(**held | fields)


@breaks("CE-10.3")
async def test_a_greeting_of_a_release_with_other_fields_is_understood(world: World) -> None:
    alice, bob = world["alice"], world["bob"]
    for change in ("more", "fewer"):
        fields = msgspec.msgpack.decode(encode(hello()))
        fields = [*fields, "of a later release", [1]] if change == "more" else fields[:6]
        body = msgspec.msgpack.encode(fields)
        identity = bob.ledger.identity
        signature = identity.sign(digest(Domain.STATEMENT, "hello", bob.device, body))
        signed = encode(Signed(signer=bob.device, body=body, signature=signature))
        signer, heard = hear(Hello, signed, alice.ceremonies._context.key_of)
        assert signer == bob.device
        assert heard.versions == (Versions(3, 4) if change == "more" else Versions(4, 4))


def test_what_is_no_greeting_is_none() -> None:
    for fields in ("text", [], [1, 2, 3], msgspec.msgpack.decode(encode(hello()))[:5]):
        with pytest.raises(EncodingError):
            Hello.read(msgspec.msgpack.encode(fields))
    with pytest.raises(EncodingError):
        Hello.read(b"\xc1")
    with pytest.raises(EncodingError, match="canonical"):
        Hello.read(encode(hello()).replace(b"\xa19", b"\xd9\x019"))
