from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from quorate.curves import group_of
from quorate.errors import Corrupt, EncodingError
from quorate.identifiers import Curve
from quorate.protocols import certificate as certificates
from quorate.protocols.certificate import Certificate, EpochRecord, Key, Place, Signer
from quorate.wire.codec import decode, encode
from tests.protocols.vaults import Vault, vault_of


@pytest.fixture
def vault() -> Vault:
    return vault_of([2, 1, 1], 3)


@pytest.fixture
def certificate(vault: Vault) -> Certificate:
    certificate = vault.shelves[vault.devices[0]].certificate
    assert certificate is not None
    return certificate


def test_a_certificate_survives_its_encoding(certificate: Certificate) -> None:
    again = decode(Certificate, encode(certificate))
    assert again == certificate
    assert again.verify()
    assert again.hash == certificate.record.hash


def test_the_hash_covers_every_field_of_the_record(certificate: Certificate) -> None:
    record = certificate.record
    place = replace(record.roster[0], identity_key=bytes(32))
    moved = replace(record.keys[1], chain_code=bytes(32))
    dealer = Signer(device=record.roster[0].device, identity_key=record.roster[0].identity_key)
    stranger = Signer(device="stranger".ljust(24, "2"), identity_key=bytes(32))
    later = replace(record, epoch=1, previous=bytes(32), dealers=(dealer,))
    others = [
        replace(record, vault="another".ljust(24, "2")),
        later,
        replace(later, epoch=2),
        replace(later, previous=b"\1" * 32),
        replace(later, dealers=(dealer, stranger)),
        replace(later, dealers=(dealer, replace(stranger, identity_key=b"\1" * 32))),
        replace(later, dealers=(dealer, replace(stranger, device="t" * 24))),
        replace(record, attempt=2),
        replace(record, roster=(place, *record.roster[1:])),
        replace(record, roster=reweighed(record, 4), threshold=12),
        replace(record, keys=(record.keys[0], moved)),
        replace(record, keys=(record.keys[0], backwards(record.keys[1]))),
        replace(record, setups=(bytes(32), *record.setups[1:])),
        replace(record, setups=record.setups[::-1]),
        replace(record, transcript=bytes(32)),
    ]
    assert len({record.hash, *(other.hash for other in others)}) == len(others) + 1
    for other in others:
        assert not replace(certificate, record=other).verify()


def reweighed(record: EpochRecord, factor: int) -> tuple[Place, ...]:
    """The same reduced roster from other weights."""
    return tuple(replace(place, weight=place.weight * factor) for place in record.roster)


def backwards(key: Key) -> Key:
    return replace(key, commitment=key.commitment[::-1])


def test_signatures_do_not_change_the_hash(certificate: Certificate) -> None:
    forged = replace(certificate, signatures=(bytes(64),) * 3)
    assert forged.hash == certificate.hash
    assert not forged.verify()


def test_a_certificate_needs_every_signature_in_its_place(certificate: Certificate) -> None:
    one, two, three = certificate.signatures
    for signatures in [(one, two), (one, two, three, three), (two, one, three), (one, two, two)]:
        assert not replace(certificate, signatures=signatures).verify()


VAULT, EPOCH, ATTEMPT, PREVIOUS, DEALERS, ROSTER, THRESHOLD, TERMS, KEYS, SETUPS, TRANSCRIPT = range(11)
DEVICE, IDENTITY, WEIGHT, REDUCED = range(4)
CURVE, COMMITMENT, CHAIN_CODE = range(3)


def dealt(record: list[Any], members: list[int]) -> list[Any]:
    """The record made one of epoch 1, dealt by these members; its dealers, to spoil."""
    record[EPOCH], record[PREVIOUS] = 1, bytes(32)
    record[DEALERS] = [record[ROSTER][member][:2] for member in members]
    return list(record[DEALERS])


@pytest.mark.parametrize(
    ("cheat", "said"),
    [
        (lambda r: r[ROSTER].reverse(), "roster out of order"),
        (lambda r: r[ROSTER][0].__setitem__(REDUCED, 1), "reduced weights"),
        (lambda r: r[ROSTER].append(r[ROSTER][0]), "the same device"),
        (lambda r: r[ROSTER][0].__setitem__(WEIGHT, 0), "weight|>= 1"),
        (lambda r: r[ROSTER][0].__setitem__(DEVICE, "x"), "regex"),
        (lambda r: r[ROSTER][0].__setitem__(IDENTITY, bytes(31)), "length >= 32"),
        (lambda r: r.__setitem__(THRESHOLD, 5), "threshold 5"),
        (lambda r: r.__setitem__(TERMS, 2), "reduced weights"),
        (lambda r: r[KEYS].reverse(), "one key per curve"),
        (lambda r: r[KEYS].__setitem__(0, r[KEYS][1]), "one key per curve"),
        (lambda r: r[KEYS].append(r[KEYS][0]), "length"),
        (lambda r: r[KEYS][1][COMMITMENT].pop(), "one point per term"),
        (lambda r: r[KEYS][0][COMMITMENT].append(bytes(33)), "one point per term"),
        (lambda r: r[KEYS][0].__setitem__(CHAIN_CODE, bytes(33)), "length <= 32"),
        (lambda r: r.__setitem__(PREVIOUS, bytes(32)), "none at epoch 0"),
        (lambda r: r[DEALERS].append(r[ROSTER][0][:2]), "dealers from epoch 1 on"),
        (lambda r: (r.__setitem__(EPOCH, 1), r.__setitem__(PREVIOUS, bytes(32))), "dealers from epoch 1 on"),
        (lambda r: dealt(r, [1, 0]), "dealers out of order"),
        (lambda r: dealt(r, [0, 0]), "named twice"),
        (lambda r: dealt(r, [0])[0].__setitem__(IDENTITY, bytes(32)), "two identity keys"),
        (lambda r: dealt(r, [0])[0].__setitem__(DEVICE, "2" * 24), "two devices of one"),
        (lambda r: dealt(r, [0])[0].append(1), "length"),
        (lambda r: dealt(r, [0])[0].__setitem__(IDENTITY, bytes(31)), "length >= 32"),
        (lambda r: r.__setitem__(EPOCH, 1), "from epoch 1 on"),
        (lambda r: (r.__setitem__(EPOCH, 1), r.__setitem__(PREVIOUS, bytes(31))), "from epoch 1 on"),
        (lambda r: r[SETUPS].pop(), "one set-up for each pair"),
        (lambda r: r[SETUPS].clear(), "one set-up for each pair"),
        (lambda r: r[SETUPS].append(bytes(32)), "one set-up for each pair"),
        (lambda r: r[SETUPS].__setitem__(0, bytes(31)), "length >= 32"),
        (lambda r: r.__setitem__(TRANSCRIPT, b""), "length >= 32"),
        (lambda r: r.append(b""), "length"),
        (lambda r: r.pop(DEALERS), "length"),  # as it was before there were dealers
    ],
)
def test_a_record_that_contradicts_itself_is_not_decoded(
    certificate: Certificate, cheat: Callable[[list[Any]], object], said: str
) -> None:
    record = msgspec.msgpack.decode(encode(certificate.record))
    cheat(record)
    with pytest.raises(EncodingError, match=said):
        decode(EpochRecord, msgspec.msgpack.encode(record))


@pytest.mark.parametrize("curve", Curve)
def test_points_of_a_record_are_decoded_strictly(vault: Vault, curve: Curve) -> None:
    commitment = vault.record.commitment(curve)
    assert tuple(map(bytes, commitment)) == vault.record.key(curve).commitment
    key = replace(vault.record.key(curve), commitment=(b"\xff" * group_of(curve).point_size,) * 3)
    keys = tuple(key if known.curve == curve else known for known in vault.record.keys)
    with pytest.raises(EncodingError):
        replace(vault.record, keys=keys).commitment(curve)


@pytest.mark.parametrize("curve", Curve)
def test_a_stored_share_comes_back_into_use(vault: Vault, curve: Curve) -> None:
    me = vault.devices[0]
    kept = vault.shelves[me].shares[curve]
    share = vault.record.share(curve, me, kept.secret.secret())
    assert (
        vault.record.quorum(share, vault.devices[:2]).images
        == vault.quorum(me, vault.devices[:2], curve).images
    )


@pytest.mark.parametrize("curve", Curve)
def test_a_share_of_another_epoch_is_seen_at_once(vault: Vault, curve: Curve) -> None:
    me = vault.devices[0]
    other = vault_of([2, 1, 1], 3, seed=7).shelves[me].shares[curve]
    stale = vault.record.share(curve, me, other.secret.secret())
    with pytest.raises(Corrupt, match="does not fit its public commitment"):
        vault.record.quorum(stale, vault.devices[:2])


def test_a_quorum_is_made_once_and_few_are_kept(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "MAX_QUORUMS", 1)
    me, other, third = vault.devices
    vault.shelves[me].shares[Curve.ED25519].quorums.clear()
    first = vault.quorum(me, [me, other])
    assert vault.quorum(me, [other, me]) is first
    vault.quorum(me, [me, third])
    assert len(vault.shelves[me].shares[Curve.ED25519].quorums) == 1
    assert vault.quorum(me, [me, other]).images == first.images
