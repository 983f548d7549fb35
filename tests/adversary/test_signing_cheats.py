"""One signer breaks one rule of FROST, and every honest signer names it by that rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from quorate.curves import ED25519, Group, Scalar
from quorate.errors import Diverged, ProtocolAbort
from quorate.identifiers import DeviceId, Epoch
from quorate.protocols.eddsa import frost, hashes
from quorate.protocols.quorum import Quorum
from quorate.wire.simulator import (
    DROP,
    Outcome,
    Rewritten,
    Simulator,
    devices,
    randomness,
    silent_after,
)
from tests.adversary.blame import (
    THRESHOLD,
    WEIGHTS,
    Cheat,
    assert_a_split_is_seen,
    assert_all_name,
    assert_all_wait_for,
    assert_no_honest_party_is_named,
    bad_points,
    rewritten,
)
from tests.protocols.vaults import Vault, believing, sign, vault_of
from tests.rules import breaks

VICTIM, CHEAT, OTHER = devices(3)
MESSAGES = [b"first", b"second", b""]
ONE = ED25519.scalar_of(1)
DELTA = ED25519.scalar_of(77)
ROUND_1, ROUND_2 = "/ed25519/Commitments", "/ed25519/Response"


def second_of(change: Callable[[Scalar], Scalar]) -> Any:
    """A response that is wrong for the second message only."""
    return lambda m, _: replace(m, responses=(m.responses[0], change(m.responses[1]), *m.responses[2:]))


CHEATS = [
    Cheat(
        name="a pair too many", rule="ED-1.1", slot=ROUND_1, change=lambda m, _: replace(m, pairs=m.pairs * 2)
    ),
    Cheat(
        name="a pair too few", rule="ED-1.1", slot=ROUND_1, change=lambda m, _: replace(m, pairs=m.pairs[1:])
    ),
    Cheat(
        name="a response too many",
        rule="ED-2.1",
        slot=ROUND_2,
        change=lambda m, _: replace(m, responses=(*m.responses, ONE)),
    ),
    Cheat(
        name="a response too few",
        rule="ED-2.1",
        slot=ROUND_2,
        change=lambda m, _: replace(m, responses=m.responses[1:]),
    ),
    Cheat(
        name="other messages", rule="ED-2.2", slot=ROUND_2, change=lambda m, _: replace(m, messages=bytes(32))
    ),
    Cheat(name="another epoch", rule="ED-2.3", slot=ROUND_2, change=lambda m, _: replace(m, epoch=1)),
    Cheat(
        name="another key", rule="ED-2.4", slot=ROUND_2, change=lambda m, _: replace(m, public_key=bytes(32))
    ),
    Cheat(name="a bad response", rule="ED-3.1", slot=ROUND_2, change=second_of(lambda z: z + ONE)),
    Cheat(
        name="a bad response to one victim",
        rule="ED-3.1",
        slot=ROUND_2,
        change=second_of(lambda z: z + ONE),
        one_victim=True,
    ),
    Cheat(name="no response", rule="ED-3.1", slot=ROUND_2, change=second_of(lambda _: ED25519.scalar_of(0))),
    Cheat(
        name="responses in another order",
        rule="ED-3.1",
        slot=ROUND_2,
        change=lambda m, _: replace(m, responses=m.responses[::-1]),
    ),
    Cheat(
        name="errors that cancel over the batch",
        rule="ED-3.1",
        slot=ROUND_2,
        change=lambda m, _: replace(
            m, responses=(m.responses[0] + ONE, m.responses[1] - ONE, *m.responses[2:])
        ),
    ),
    Cheat(
        name="a response that is not canonical",
        rule="W-1.1",
        slot=ROUND_2,
        change=lambda m, _: rewritten(
            m,
            bytes(m.responses[0]),
            ((int(m.responses[0]) % 2**250) + ED25519.order).to_bytes(32, "little"),
        ),
    ),
]


@pytest.fixture
def vault() -> Vault:
    return vault_of(WEIGHTS, THRESHOLD)


@breaks("ED-1.1", "ED-2.1", "ED-2.2", "ED-2.3", "ED-2.4", "ED-3.1")
@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.id)
def test_every_honest_signer_names_the_cheat(vault: Vault, cheat: Cheat) -> None:
    outcome = sign(vault, vault.devices, MESSAGES, tamper=cheat.played_by(CHEAT, VICTIM))
    if not cheat.one_victim:
        assert_all_name(outcome, CHEAT, cheat.rule)
        return
    failure = outcome.failures[VICTIM]
    assert isinstance(failure, ProtocolAbort)
    assert failure.rule.startswith(cheat.rule)
    assert failure.culprits == {CHEAT}
    assert OTHER in outcome.results, "who got a good response has its signatures"


@breaks("ED-3.1")
def test_all_who_answer_wrongly_are_named(vault: Vault) -> None:
    def both(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        wrong = slot == ROUND_2 and sender != VICTIM
        return second_of(lambda z: z + ONE)(message, ED25519) if wrong else message

    failure = sign(vault, vault.devices, MESSAGES, tamper=both).failures[VICTIM]
    assert isinstance(failure, ProtocolAbort)
    assert failure.culprits == {CHEAT, OTHER}


@pytest.mark.parametrize("flaw", bad_points(ED25519))
@pytest.mark.parametrize("field", ["hiding", "binding"])
@pytest.mark.parametrize("item", [0, 2])
def test_a_point_that_is_none_is_refused_in_every_field(
    vault: Vault, flaw: str, field: str, item: int
) -> None:
    def change(message: Any, group: Group) -> bytes:
        good = bytes(getattr(message.pairs[item], field))
        return rewritten(message, good, bad_points(group)[flaw](good))

    cheat = Cheat(name=flaw, rule="W-1.1", slot=ROUND_1, change=change)
    outcome = sign(vault, vault.devices, MESSAGES, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_all_name(outcome, CHEAT, "W-1.1")


def play(vault: Vault, cheating: Callable[[Quorum], Any], tamper: Any = None) -> Outcome[Any]:
    """A signing under a tweak in which the cheat runs what ``cheating`` makes of its quorum."""

    def protocol(device: DeviceId) -> Any:
        quorum = vault.quorum(device, vault.devices)
        return cheating(quorum) if device == CHEAT else signing(quorum)

    return Simulator({device: protocol(device) for device in vault.devices}, tamper=tamper).run()


def signing(quorum: Quorum, tweak: Scalar | None = DELTA, messages: list[bytes] = MESSAGES) -> Any:
    rng = randomness(f"sign {quorum.me}")
    return lambda net: frost.sign(net, quorum, messages, tweak, rng, lambda: None)


@breaks("ED-3.1")
def test_nonces_copied_from_another_signer_cannot_be_answered_for(vault: Vault) -> None:
    theirs: list[Any] = []

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == VICTIM and slot == ROUND_1:
            theirs.append(message)
        return message

    play(vault, signing, listen)
    copy = lambda _, slot, m: theirs[0] if slot == ROUND_1 else m  # noqa: E731
    assert_all_name(play(vault, lambda quorum: believing(copy, signing(quorum))), CHEAT, "ED-3.1")


@breaks("ED-3.1")
def test_a_response_of_another_session_is_worth_nothing(vault: Vault) -> None:
    old: list[Any] = []

    def listen(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT and slot == ROUND_2:
            old.append(message)
        return message

    sign(vault, vault.devices, MESSAGES, tamper=listen, seed=5)
    cheat = Cheat(name="replay", rule="ED-3.1", slot=ROUND_2, change=lambda m, _: old[0])
    outcome = sign(vault, vault.devices, MESSAGES, tamper=cheat.played_by(CHEAT, VICTIM))
    assert_all_name(outcome, CHEAT, "ED-3.1")


def test_frames_of_another_session_change_nothing(vault: Vault) -> None:
    old = sign(vault, vault.devices, MESSAGES, seed=5)
    replayed = [(each.sender, each.recipient, each.frame) for each in old.sent]
    assert not sign(vault, vault.devices, MESSAGES, inject=replayed).failures


@breaks("ED-3.1")
def test_a_stale_share_names_who_signs_with_it(vault: Vault) -> None:
    """A share of another sharing of this roster, its owner's own check on it switched off."""
    stale = vault_of(WEIGHTS, THRESHOLD, seed=7).quorum(CHEAT, vault.devices).secret
    outcome = play(vault, lambda quorum: signing(dataclasses.replace(quorum, secret=stale)))
    assert_all_name(outcome, CHEAT, "ED-3.1")


@breaks("ED-2.3")
def test_another_epoch_is_named(vault: Vault) -> None:
    outcome = play(vault, lambda quorum: signing(dataclasses.replace(quorum, epoch=Epoch(1))))
    assert_all_name(outcome, CHEAT, "ED-2.3")


@breaks("ED-2.4")
@pytest.mark.parametrize("tweak", [None, DELTA + ONE], ids=["none", "other"])
def test_another_tweak_is_named(vault: Vault, tweak: Scalar | None) -> None:
    assert_all_name(play(vault, lambda quorum: signing(quorum, tweak)), CHEAT, "ED-2.4")


@breaks("ED-2.2")
@pytest.mark.parametrize(
    "messages", [[b"second", b"first", b""], [b"first", b"second", b"!"], [b"firstsecond", b"", b""]], ids=str
)
def test_other_messages_are_named(vault: Vault, messages: list[bytes]) -> None:
    outcome = play(vault, lambda quorum: signing(quorum, messages=messages))
    assert_all_name(outcome, CHEAT, "ED-2.2")


@breaks("ED-3.1")
def test_another_assignment_of_indices_signs_nothing(vault: Vault) -> None:
    """cfg: a signer that sees other indices, or another certificate, binds its nonces differently."""
    outcome = play(vault, lambda quorum: signing(dataclasses.replace(quorum, certificate=bytes(32))))
    assert_all_name(outcome, CHEAT, "ED-3.1")


def test_an_equivocator_is_named_or_nobody_is(vault: Vault) -> None:
    """Two lists of commitments: without the view, honest responses would look wrong, and honest signers guilty."""

    def two_faced(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == CHEAT and recipient == VICTIM and slot == ROUND_1:
            return replace(message, pairs=message.pairs[::-1])
        return message

    assert_a_split_is_seen(sign(vault, vault.devices, MESSAGES, tamper=two_faced), CHEAT)


def test_a_lie_about_the_view_names_no_honest_signer(vault: Vault) -> None:
    def lie(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        aimed = sender == CHEAT and slot == ROUND_2
        return Rewritten(message, {"view": bytes(32)}) if aimed else message

    outcome = sign(vault, vault.devices, MESSAGES, tamper=lie)
    assert_no_honest_party_is_named(outcome, CHEAT)
    assert all(isinstance(outcome.failures[device], (Diverged, ProtocolAbort)) for device in (VICTIM, OTHER))


def test_a_signer_that_falls_silent_is_waited_for_by_name(vault: Vault) -> None:
    assert_all_wait_for(
        sign(vault, vault.devices, MESSAGES, tamper=silent_after(CHEAT, "Commitments")), CHEAT
    )


def test_a_signer_that_never_speaks_is_waited_for_by_name(vault: Vault) -> None:
    def mute(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        return DROP if sender == CHEAT else message

    assert_all_wait_for(sign(vault, vault.devices, MESSAGES, tamper=mute), CHEAT)


# --- what no single signer can bring about


@breaks("ED-1.2")
def test_nonces_that_cancel_are_refused() -> None:
    g = ED25519.generator
    pairs = {1: (g, g), 2: (-g, g)}
    factors = {1: ONE, 2: -ONE}
    with pytest.raises(ProtocolAbort, match=r"ED-1\.2") as raised:
        hashes.group_commitment(pairs, factors)
    assert not raised.value.culprits
    assert hashes.group_commitment(pairs, {1: ONE, 2: ONE}) == g + g
