from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quorate.curves import ED25519
from quorate.errors import Bug, ConsumedError, Denied, UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.eddsa import frost, hashes, nonces
from quorate.wire.simulator import Simulator, devices, randomness
from tests.oracle import frost as oracle
from tests.oracle import shamir
from tests.protocols.vaults import Vault, sign, vault_of
from tests.rules import breaks

DELTA = ED25519.scalar_of(0xDE17A)


@pytest.fixture
def vault() -> Vault:
    return vault_of([2, 1, 1], 3)


@pytest.mark.parametrize("message", [b"", b"hello", bytes(70_000)], ids=["empty", "short", "long"])
def test_a_quorum_makes_a_plain_ed25519_signature(vault: Vault, message: bytes) -> None:
    outcome = sign(vault, vault.devices[:2], [message])
    (signature,) = set(outcome.results.values())
    Ed25519PublicKey.from_public_bytes(vault.public_key(Curve.ED25519)).verify(signature[0], message)


def test_a_batch_takes_two_rounds_like_a_single_message(vault: Vault) -> None:
    messages = [b"message %d" % n for n in range(20)] + [b"message 0"]
    outcome = sign(vault, vault.devices, messages, lockstep=True)
    assert (outcome.rounds, outcome.messages) == (2, 2 * 6)
    (signatures,) = set(outcome.results.values())
    for message, signature in zip(messages, signatures, strict=True):
        assert verify_ed25519(vault.public_key(Curve.ED25519), message, signature)
    assert len({signature[:32] for signature in signatures}) == len(messages), "a nonce was used twice"


def test_a_vault_of_one_signs_alone() -> None:
    alone = vault_of([2], 2)
    outcome = sign(alone, alone.devices, [b"on my own"])
    assert outcome.messages == 0
    ((signature,),) = outcome.results.values()
    assert verify_ed25519(alone.public_key(Curve.ED25519), b"on my own", signature)


def test_a_tweak_signs_under_the_child_key(vault: Vault) -> None:
    parent = ED25519.point(vault.public_key(Curve.ED25519))
    child = bytes(parent + DELTA * ED25519.generator)
    outcome = sign(vault, vault.devices[1:] + vault.devices[:1], [b"child", b""], tweak=DELTA)
    (signatures,) = set(outcome.results.values())
    assert frost.tweaked(parent, DELTA) == child
    assert verify_ed25519(child, b"child", signatures[0])
    assert not verify_ed25519(bytes(parent), b"child", signatures[0])


def test_a_tweak_that_leads_to_no_key_is_refused() -> None:
    secret = ED25519.scalar_of(5)
    with pytest.raises(UsageError, match="choose another path"):
        frost.tweaked(secret * ED25519.generator, -secret)


@pytest.mark.parametrize("tweak", [None, DELTA], ids=["plain", "tweaked"])
@pytest.mark.parametrize("weights", [[2, 1, 1], [1, 1, 1], [3, 4, 2]])
def test_every_value_is_the_oracles(weights: list[int], tweak: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the nonces a run drew, plain integers give the responses and the signature it made."""
    vault = vault_of(weights, sum(weights) // 2 + 1)
    drawn: dict[DeviceId, list[int]] = {device: [] for device in vault.devices}
    sent = {}

    def watch(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if slot.endswith("Response"):
            sent[sender] = int(message.responses[0])
        return message

    real = nonces.make_nonces

    def spy(hedge: Any, sid: bytes, message: bytes, item: int, rng: Any) -> nonces.Nonces:
        made = real(hedge, sid, message, item, rng)
        d, e = made.secret.take()
        device = next(d for d in vault.devices if vault.quorum(d, vault.devices).hedge is hedge)
        drawn[device] = [oracle.scalar(d.reveal()), oracle.scalar(e.reveal())]
        again = real(hedge, sid, message, item, rng)
        return nonces.Nonces(
            secret=type(again.secret)((d, e), name="again"), hiding=made.hiding, binding=made.binding
        )

    monkeypatch.setattr(frost, "make_nonces", spy)
    outcome = sign(vault, vault.devices, [b"compare"], tweak=tweak, tamper=watch)
    shares, ids = {}, {}
    for seat in vault.record.sharing.seats:
        secret = vault.shelves[seat.device].shares[Curve.ED25519].secret
        shares[seat.id] = {x: oracle.scalar(secret[p].reveal()) for p, x in enumerate(seat.indices)}
        ids[seat.device] = seat.id
    responses, signature = oracle.sign(
        shares,
        {ids[device]: (d, e) for device, (d, e) in drawn.items()},
        b"compare",
        frost.tweaked(ED25519.point(vault.public_key(Curve.ED25519)), tweak),
        assignment=hashes.assignment_of(vault.quorum(vault.devices[0], vault.devices)),
        tweak=0 if tweak is None else int(tweak),
    )
    assert {ids[device]: z for device, z in sent.items()} == responses
    assert set(outcome.results.values()) == {(signature,)}


def test_an_underweight_set_is_refused_before_anything_is_sent(vault: Vault) -> None:
    with pytest.raises(UsageError, match="weight 2 is below the threshold 3"):
        sign(vault, vault.devices[1:], [b"no"])


def test_an_underweight_set_that_is_forced_through_signs_nothing() -> None:
    """Not our refusal, the mathematics: fewer shares than coefficients interpolate to another secret."""
    vault = vault_of([2, 1, 1], 3)
    shares = {}
    for seat in vault.record.sharing.seats[1:]:
        secret = vault.shelves[seat.device].shares[Curve.ED25519].secret
        shares[seat.id] = {x: oracle.scalar(secret[p].reveal()) for p, x in enumerate(seat.indices)}
    drawn = {i: (3 * i + 1, 5 * i + 2) for i in shares}
    public_key = vault.public_key(Curve.ED25519)
    _, signature = oracle.sign(shares, drawn, b"no", public_key)
    assert not verify_ed25519(public_key, b"no", signature)
    values = {x: value for owned in shares.values() for x, value in owned.items()}
    wrong = oracle.encoded(shamir.interpolate(values, 0, oracle.L))
    assert bytes(ED25519.secret_scalar(wrong) * ED25519.generator) != public_key


def test_strangers_and_sets_without_us_are_refused(vault: Vault) -> None:
    me, other, third = vault.devices
    with pytest.raises(UsageError, match="not in the roster"):
        vault.quorum(me, [me, other, devices(4)[3]])
    with pytest.raises(UsageError, match=f"{me} is not one of the signers"):
        vault.quorum(me, [other, third])


def test_a_session_has_the_parties_of_its_quorum(vault: Vault) -> None:
    one, two, three = vault.devices
    quorum = vault.quorum(one, vault.devices)

    def protocol(net: Any) -> Any:
        return frost.sign(net, quorum, [b"m"], None, randomness("x"), lambda: None)

    for parties in [(one, two), (two, one, three)]:
        player = Simulator(dict.fromkeys(parties, protocol)).start()[
            parties[-1] if two in parties[:1] else two
        ]
        assert isinstance(player.failure, UsageError)


@pytest.mark.parametrize("count", [0, 1001])
def test_a_session_signs_one_to_a_thousand_messages(vault: Vault, count: int) -> None:
    outcome = sign(vault, vault.devices, [b"m"] * count)
    assert all(isinstance(failure, UsageError) for failure in outcome.failures.values())
    assert len(outcome.failures) == 3


def test_a_secp256k1_quorum_does_not_sign_ed25519(vault: Vault) -> None:
    one = vault.devices[0]
    quorum = vault.quorum(one, vault.devices, Curve.SECP256K1)

    def protocol(net: Any) -> Any:
        return frost.sign(net, quorum, [b"m"], None, randomness("x"), lambda: None)

    players = Simulator(dict.fromkeys(vault.devices, protocol)).start()
    assert isinstance(players[one].failure, UsageError)


def test_no_response_leaves_without_a_release(vault: Vault) -> None:
    """One signer's decision changed between the rounds: nothing of its round 2 is ever sent."""
    stopper = vault.devices[0]
    released = []

    def release(device: DeviceId) -> None:
        if device == stopper:
            raise Denied("the decision was withdrawn", approver="test", rule="test")
        released.append(device)

    outcome = sign(vault, vault.devices, [b"m"], release=release)
    assert isinstance(outcome.failures[stopper], Denied)
    assert sorted(released) == list(vault.devices[1:])
    assert not [each for each in outcome.sent if each.sender == stopper and each.slot.endswith("Response")]
    assert not outcome.results


def test_release_comes_after_every_check_of_round_one(vault: Vault) -> None:
    cheat = vault.devices[2]
    released: list[DeviceId] = []

    def shorten(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if sender == cheat and slot.endswith("Commitments"):
            return frost.Commitments(pairs=message.pairs * 2)
        return message

    outcome = sign(vault, vault.devices, [b"m"], tamper=shorten, release=released.append)
    assert set(outcome.failures) >= set(vault.devices[:2])
    assert released in ([], [cheat])


@breaks("ED-1.2")
def test_nothing_is_released_for_nonces_that_cancel(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    released: list[DeviceId] = []
    real = hashes.group_commitment

    def cancelling(pairs: hashes.Pairs, factors: Any) -> Any:
        g, one = ED25519.generator, ED25519.scalar_of(1)
        opposite = dict(zip(pairs, [(g, g), (-g, g), (g, -g)], strict=True))
        return real(opposite, dict(zip(pairs, [one, one, one + one + one], strict=True)))

    monkeypatch.setattr(hashes, "group_commitment", cancelling)
    outcome = sign(vault, vault.devices, [b"m"], release=released.append)
    assert {str(failure)[:6] for failure in outcome.failures.values()} == {"ED-1.2"}
    assert not released


def test_release_is_asked_for_once_and_before_a_response_exists(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[nonces.Nonces] = []
    real = nonces.make_nonces

    def keep(*args: Any) -> nonces.Nonces:
        made.append(real(*args))
        return made[-1]

    monkeypatch.setattr(frost, "make_nonces", keep)
    released: list[tuple[DeviceId, int]] = []

    def release(device: DeviceId) -> None:
        released.append((device, sum(each.secret.spent for each in made)))

    assert not sign(vault, vault.devices, [b"a", b"b"], release=release).failures
    assert sorted(device for device, _ in released) == list(vault.devices)
    assert [spent for _, spent in released] == [0, 2, 4]


def test_nonces_are_given_once_and_burned_by_any_end(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[nonces.Nonces] = []
    real = nonces.make_nonces

    def keep(*args: Any) -> nonces.Nonces:
        made.append(real(*args))
        return made[-1]

    monkeypatch.setattr(frost, "make_nonces", keep)

    def stop(device: DeviceId) -> None:
        raise Denied("no", approver="test", rule="test")

    sign(vault, vault.devices, [b"a", b"b"], release=stop)
    sign(vault, vault.devices, [b"a"], tamper=lambda *_: [])
    sign(vault, vault.devices, [b"a"])
    assert len(made) == 3 * 4
    assert all(each.secret.spent for each in made)
    with pytest.raises(ConsumedError):
        made[-1].secret.take()


def test_a_replayed_random_source_does_not_repeat_a_nonce(vault: Vault) -> None:
    """A machine restored from a snapshot: the same randomness in another session, or for another message."""
    hedge = vault.quorum(vault.devices[0], vault.devices).hedge

    def pair(sid: bytes, message: bytes, item: int) -> bytes:
        return bytes(nonces.make_nonces(hedge, sid, message, item, randomness("same")).hiding)

    assert pair(b"s", b"m", 0) == pair(b"s", b"m", 0)
    assert len({pair(b"s", b"m", 0), pair(b"t", b"m", 0), pair(b"s", b"n", 0), pair(b"s", b"m", 1)}) == 4


def test_two_keys_do_not_share_nonces_even_with_one_random_source() -> None:
    hedges = [vault_of([2, 1, 1], 3, seed=seed).quorum(devices(1)[0], devices(3)).hedge for seed in (0, 7)]
    one, other = (nonces.make_nonces(hedge, b"s", b"m", 0, randomness("same")) for hedge in hedges)
    assert one.hiding != other.hiding
    assert one.binding != other.binding


def test_lists_are_sorted_by_identifier_as_a_number() -> None:
    """Little-endian bytes would put 256 before 129."""
    point = ED25519.generator
    listed = hashes.encode_commitments(dict.fromkeys([257, 129, 256], (point, point)))
    assert [int.from_bytes(listed[place : place + 32], "little") for place in (0, 96, 192)] == [129, 256, 257]


def test_the_assignment_of_indices_is_bound_where_anyone_has_more_than_one(vault: Vault) -> None:
    one = vault.devices[0]
    quorums = [
        vault.quorum(one, vault.devices),
        vault.quorum(one, vault.devices[:2]),
        vault_of([2, 1, 1], 3, seed=7).quorum(one, vault.devices),
        vault_of([1, 2, 1], 3).quorum(one, vault.devices),
    ]
    assert len({hashes.assignment_of(quorum) for quorum in quorums}) == 4
    assert all(len(hashes.assignment_of(quorum)) == 64 for quorum in quorums)
    assert hashes.assignment_of(vault_of([5, 5, 5], 10).quorum(one, vault.devices)) == b""


def test_a_signature_that_is_wrong_without_a_wrong_response_is_our_bug(vault: Vault) -> None:
    quorum = vault.quorum(vault.devices[0], vault.devices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frost, "verify_ed25519", lambda *_: False)
        with pytest.raises(Bug, match="every response is right"):
            sign(vault, vault.devices, [b"m"])
    assert quorum.public_key == ED25519.point(vault.public_key(Curve.ED25519))


def test_weights_cost_nothing_on_the_wire() -> None:
    heavy, light = vault_of([499, 307, 194], 501), vault_of([1, 1, 1], 2)
    costs = []
    for vault in (heavy, light):
        for signers in (vault.devices[:2], vault.devices):
            outcome = sign(vault, signers, [b"cost"], lockstep=True)
            assert not outcome.failures
            costs.append((outcome.messages, outcome.bytes, outcome.rounds))
    assert costs[:2] == costs[2:]
