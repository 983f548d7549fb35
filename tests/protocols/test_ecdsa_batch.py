"""Batches of more digests than one run of the three rounds takes."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from quorate.errors import Denied, ProtocolAbort, UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.ecdsa import batch, lane, sign
from quorate.protocols.ecdsa.terms import agree, share_of
from quorate.protocols.ot import extension, multiply
from quorate.protocols.ot.setup import PairSetup
from quorate.wire.simulator import Outcome, Simulator, randomness
from tests.protocols import pairs
from tests.protocols.ecdsa_sessions import assert_verifies, digests
from tests.protocols.ideal import Dealer, ideal_setup, multiply_ideally
from tests.protocols.vaults import Vault, vault_of


@pytest.fixture
def vault() -> Vault:
    return vault_of([2, 1, 1], 3)


def sign_batch(
    vault: Vault,
    messages: list[bytes],
    places: tuple[int, ...] = (0, 1),
    *,
    setups: Any = ideal_setup,
    release: Any = lambda device: None,
    **simulation: Any,
) -> Outcome[Any]:
    chosen = tuple(vault.devices[place] for place in places)
    protocols = {
        device: lambda net, device=device: batch.sign_batch(
            net, vault.quorum(device, chosen, Curve.SECP256K1), messages, None, partial(setups, device),
            randomness(f"batch {device}"), partial(release, device),
        )
        for device in chosen
    }  # fmt: skip
    return Simulator(protocols, **simulation).run()


@pytest.fixture
def ideal(monkeypatch: pytest.MonkeyPatch) -> None:
    multiply_ideally(monkeypatch, Dealer())


@pytest.mark.usefixtures("ideal")
@pytest.mark.parametrize(("count", "rounds"), [(1, 3), (64, 3), (65, 6), (130, 9)])
def test_every_sixty_four_messages_take_three_rounds(vault: Vault, count: int, rounds: int) -> None:
    outcome = sign_batch(vault, digests(count), lockstep=True)
    assert not outcome.failures
    assert outcome.rounds == rounds
    (signatures,) = set(outcome.results.values())
    assert len(signatures) == count
    key = vault.public_key(Curve.SECP256K1)
    for message, signature in zip(digests(count), signatures, strict=True):
        assert_verifies(key, message, signature)


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_one_to_a_thousand_digests(vault: Vault, count: int) -> None:
    outcome = sign_batch(vault, [bytes(32)] * count)
    assert [type(failure) for failure in outcome.failures.values()] == [UsageError] * 2
    assert not outcome.messages


def test_chunks_of_equal_digests_share_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same session, signers, key and digest, and a random source that starts over: other shares of zero, secrets,
    contexts and salts all the same."""
    vault = vault_of([2, 1, 1], 3)
    lanes: list[lane.Lane] = []
    contexts: list[tuple[bytes, bytes]] = []
    opened, started = lane.open_lane, extension.extend

    def open_lane(terms: Any, part: int, some: Any, share: Any, setups: Any, rng: Any) -> lane.Lane:
        rng = randomness("the same again")
        lanes.append(opened(terms, part, some, share, setups, rng))
        return lanes[-1]

    def extend(context: bytes, *rest: Any) -> Any:
        made, m1 = started(context, *rest)
        contexts.append((context, made.salt))
        return made, m1

    monkeypatch.setattr(lane, "open_lane", open_lane)
    monkeypatch.setattr(multiply, "extend", extend)
    monkeypatch.setattr(batch, "MAX_MESSAGES", 1)
    outcome = sign_batch(vault, [bytes(32)] * 3, setups=lambda me, _: pairs.setups()[me])
    assert not outcome.failures

    me = vault.devices[0]
    ours = [each for each in lanes if each.terms.quorum.me == me]
    assert [each.terms.chunk for each in ours] == [0, 1, 2]
    assert len({each.terms.hash for each in ours}) == 3
    peers = {vault.devices[1]: pairs.setups()[me]}
    assert len({int(share_of(each.terms, peers).publish()) for each in ours}) == 3
    assert len({bytes(each.image) for each in ours}) == 3
    assert len({bytes(point) for each in ours for point in each.points}) == 3
    assert len(contexts) == 6
    assert len({context for context, _ in contexts}) == len({salt for _, salt in contexts}) == 6


@pytest.mark.usefixtures("ideal")
def test_contexts_of_all_lanes_of_all_chunks_differ(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of a lane counts through the session: chunk 1 does not begin where chunk 0 did."""
    parts: list[int] = []
    original = lane._context

    def context(terms: Any, part: int, *rest: Any) -> Any:
        made = original(terms, part, *rest)
        parts.append(made.part)
        return made

    monkeypatch.setattr(lane, "_context", context)
    assert not sign_batch(vault, digests(130)).failures
    assert set(parts) == set(range(17))


@pytest.mark.usefixtures("ideal")
def test_release_is_asked_before_each_chunk_s_round_three(vault: Vault) -> None:
    first = vault.devices[0]
    asked: list[DeviceId] = []

    def release(device: DeviceId) -> None:
        asked.append(device)
        if device == first and asked.count(first) == 2:
            raise Denied("no more", approver="", rule="")

    outcome = sign_batch(vault, digests(130), release=release)
    assert isinstance(outcome.failures[first], Denied)
    shares = [each.slot for each in outcome.sent if each.sender == first and each.slot.endswith("/Shares")]
    assert len(shares) == 1
    assert shares[0].startswith("/chunk-0/")
    assert not any(each.slot.startswith("/chunk-2/") for each in outcome.sent)


@pytest.mark.usefixtures("ideal")
def test_a_set_up_that_dies_between_chunks_ends_the_batch(vault: Vault) -> None:
    first = vault.devices[0]
    reads: list[DeviceId] = []

    def setups(me: DeviceId, peer: DeviceId) -> PairSetup:
        reads.append(me)
        if me == first and reads.count(first) > 2:
            raise UsageError("no live set-up", code="NO_LIVE_SETUP")
        return ideal_setup(me, peer)

    outcome = sign_batch(vault, digests(65), setups=setups)
    assert isinstance(outcome.failures[first], UsageError)
    assert not any(each.sender == first and each.slot.startswith("/chunk-1/") for each in outcome.sent)


@pytest.mark.usefixtures("ideal")
def test_a_chunk_of_another_number_blames_nobody(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    first = vault.devices[0]

    def misread(quorum: Any, sid: Any, some: Any, tweak: Any, chunk: int) -> Any:
        return agree(quorum, sid, some, tweak, chunk + (quorum.me == first))

    monkeypatch.setattr(sign, "agree", misread)
    failures = sign_batch(vault, digests(1)).failures
    for failure in failures.values():
        assert isinstance(failure, ProtocolAbort)
        assert failure.rule == "EC-1.1 terms"
        assert not failure.culprits


@pytest.mark.usefixtures("ideal")
def test_a_finished_chunk_leaves_no_bodies_in_memory(vault: Vault) -> None:
    chosen = vault.devices[:2]
    held: list[int] = []

    def protocol(device: DeviceId) -> Any:
        async def run(net: Any) -> Any:
            quorum = vault.quorum(device, chosen, Curve.SECP256K1)
            signed = await batch.sign_batch(
                net, quorum, digests(65), None, partial(ideal_setup, device), randomness(device), lambda: None
            )
            finished = [letter for (slot, _), letter in net.box.letters.items() if "chunk-0/" in slot]
            assert finished
            held.append(sum(len(letter.frame) + len(letter.envelope.body) for letter in finished))
            return signed

        return run

    outcome = Simulator({device: protocol(device) for device in chosen}).run()
    assert not outcome.failures
    assert held == [0, 0]
