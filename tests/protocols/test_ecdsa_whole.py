"""ECDSA over oblivious transfer as it is, from the set-up of each pair to the signature."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.curves import SECP256K1
from quorate.errors import ProtocolAbort
from quorate.identifiers import Curve, DeviceId, Epoch
from quorate.protocols.ecdsa.terms import tweaked
from quorate.protocols.ot.setup import PairSetup, SetupContext, set_up
from quorate.wire.simulator import Outcome, Simulator, randomness
from tests.protocols.ecdsa_sessions import assert_verifies, digests, ecdsa_sign
from tests.protocols.vaults import VAULT, Vault, members, vault_of

WEIGHTS, THRESHOLD = [2, 1, 2], 4
DELTA = SECP256K1.scalar_of(0xDE17A)


@pytest.fixture
def vault() -> Vault:
    return vault_of(WEIGHTS, THRESHOLD)


@cache
def all_pairs() -> dict[tuple[DeviceId, DeviceId], PairSetup]:
    """The set-up of every two members, by who has it and with whom."""
    made: dict[tuple[DeviceId, DeviceId], PairSetup] = {}
    for low, high in combinations(members(WEIGHTS), 2):
        context = SetupContext(
            vault=VAULT,
            epoch=Epoch(0),
            attempt=1,
            generation=1,
            members=(low, high),
        )
        protocols = {
            DeviceId(me): lambda net, me=me, peer=peer, context=context: set_up(
                net.pair(peer, "ot"), context, randomness(f"set-up {me} {peer}")
            )
            for me, peer in ((low.device, high.device), (high.device, low.device))
        }
        outcome = Simulator(protocols).run()
        made |= {(device, setup.peer): setup for device, setup in outcome.results.items()}
    return made


def run(vault: Vault, signers: tuple[DeviceId, ...], count: int = 1, **session: Any) -> Outcome[Any]:
    return ecdsa_sign(
        vault,
        signers,
        digests(count),
        tweak=DELTA,
        setups=lambda me, peer: all_pairs()[me, peer],
        ideally=False,
        **session,
    )


@pytest.mark.parametrize(("places", "count"), [((0, 2), 1), ((0, 2), 9), ((0, 1, 2), 2)], ids=str)
def test_a_quorum_signs(vault: Vault, places: tuple[int, ...], count: int) -> None:
    """One message, a batch of two lanes, and a quorum of more weight than it takes."""
    outcome = run(vault, tuple(vault.devices[place] for place in places), count, lockstep=True)
    assert not outcome.failures
    assert outcome.rounds == 3
    (signatures,) = set(outcome.results.values())
    key = bytes(tweaked(SECP256K1.point(vault.public_key(Curve.SECP256K1)), DELTA))
    for message, signature in zip(digests(count), signatures, strict=True):
        assert_verifies(key, message, signature)


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("kind", "rule", "cheat", "change"),
    [
        ("Factor", "OT-3.1", False, lambda m: replace(m, m1=m.m1[:-1])),
        ("Factor", "OT-3.2", True, lambda m: replace(m, m1=flipped(m.m1, len(m.m1) - 1))),
        ("Product", "OT-4.1", False, lambda m: replace(m, m2=m.m2[:-1])),
        ("Product", "OT-4.2", False, lambda m: replace(m, m2=m.m2[:32] + b"\xff" * 32 + m.m2[64:])),
        ("Product", "OT-4.3", True, lambda m: replace(m, m2=flipped(m.m2, len(m.m2) - 1))),
        ("Product", "OT-4.3", True, lambda m: replace(m, m2=flipped(m.m2, 100))),
    ],
    ids=["short m1", "m1", "short m2", "large scalar", "mu", "matrix"],
)
def test_a_false_multiplication_names_its_author(
    vault: Vault, kind: str, rule: str, cheat: bool, change: Callable[[Any], Any]
) -> None:
    victim, _, liar = vault.devices

    def tamper(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        return change(message) if sender == liar and slot.endswith(f"/{kind}") else message

    failure = run(vault, (victim, liar), tamper=tamper).failures[victim]
    assert isinstance(failure, ProtocolAbort)
    assert failure.rule.split()[0] == rule
    assert failure.culprits == {liar}
    assert failure.cheat is cheat


@pytest.mark.parametrize(("kind", "field", "rule"), [("Factor", "m1", "OT-3.2"), ("Product", "m2", "OT-4.3")])
def test_a_message_of_another_session_is_a_cheat(vault: Vault, kind: str, field: str, rule: str) -> None:
    victim, _, liar = vault.devices
    old: list[Any] = []

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == liar and slot.endswith(f"/{kind}"):
            old.append(message)
        return message

    def replay(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == liar and slot.endswith(f"/{kind}"):
            return replace(message, **{field: getattr(old[0], field)})
        return message

    assert not run(vault, (victim, liar), tamper=listen, seed=5).failures
    failure = run(vault, (victim, liar), tamper=replay).failures[victim]
    assert isinstance(failure, ProtocolAbort)
    assert failure.rule.split()[0] == rule
    assert failure.culprits == {liar}
    assert failure.cheat
