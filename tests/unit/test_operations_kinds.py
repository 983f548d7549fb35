"""What an operation is, what names it, and which values it cannot hold."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from quorate.errors import EncodingError
from quorate.operations.kinds import (
    MAX_PARTIES,
    BatchSign,
    CreateVault,
    Kind,
    Member,
    Operation,
    PairReset,
    Sign,
    device_id,
    short_id,
    vault_id,
)
from quorate.wire.codec import Message, decode, encode
from tests.approval.facts import ALICE, BOB, batch_sign, create_vault, pair_reset, reshare, sign

OPERATIONS = [create_vault((ALICE, 2), (BOB, 1)), sign(), batch_sign(), pair_reset(), reshare((ALICE, 2))]


def changed(operation: Operation, **changes: Any) -> Operation:
    return msgspec.structs.replace(operation, **changes)


@pytest.mark.parametrize(
    ("operation", "kind"), list(zip(OPERATIONS, list(Kind)[: len(OPERATIONS)], strict=True))
)
def test_an_operation_keeps_its_kind_and_digest_through_its_encoding(
    operation: Operation, kind: Kind
) -> None:
    again = decode(Operation, encode(operation))
    assert again == operation
    assert (again.kind, again.id, again.digest) == (kind, operation.id, operation.digest)


def test_an_id_is_the_same_at_whatever_node_and_time_a_request_is_repeated() -> None:
    first = sign()
    for again in (
        changed(first, proposer=BOB),
        changed(first, created_ms=first.created_ms + 1),
        changed(first, expires_ms=first.expires_ms + 1),
        changed(first, organisation="another"),
    ):
        assert again.id == first.id
        assert again.digest != first.digest


def test_another_client_key_or_request_is_another_operation() -> None:
    first = sign()
    others = [
        changed(first, client="another"),
        changed(first, idempotency_key="key-2"),
        sign("another message"),
        sign(epoch=1),
        batch_sign(),
        pair_reset(1),
        pair_reset(2),
    ]
    assert len({first.id, *(other.id for other in others)}) == 8
    assert len({first.digest, *(other.digest for other in others)}) == 8


def test_one_message_and_a_batch_of_one_are_different_operations() -> None:
    single = sign().request
    assert isinstance(single, Sign)
    batch = BatchSign(vault=single.vault, epoch=0, certificate=single.certificate, signing=single.signing)
    assert encode(batch) != encode(single)
    assert changed(sign(), request=batch).id != sign().id


def test_a_short_id_has_24_lower_case_letters_and_digits() -> None:
    assert short_id(bytes(32)) == "a" * 24
    assert short_id(b"\xff" * 32) == "7" * 24
    made = [str(device_id(bytes(32))), str(vault_id(bytes(32))), str(sign().id)]
    assert all(re.fullmatch("[a-z2-7]{24}", each) for each in made)
    assert len(set(made)) == 3


def roster(size: int) -> tuple[Member, ...]:
    return tuple(Member(device=ALICE, identity_key=bytes(32), weight=1) for _ in range(size))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "n" * 101},
        {"memo": "m" * 1001},
        {"threshold": 0},
        {"threshold": -1},
        {"threshold": True},
        {"threshold": 2**31},
        {"members": ()},
        {"members": roster(MAX_PARTIES + 1)},
        {"members": (Member(device=ALICE, identity_key=bytes(32), weight=0),)},
        {"members": (Member(device=ALICE, identity_key=bytes(31), weight=1),)},
        {"members": (Member(device="A" * 24, identity_key=bytes(32), weight=1),)},
        {"members": (Member(device="a" * 24 + "\n", identity_key=bytes(32), weight=1),)},
        {"allow_sole_signer": 1},
    ],
)
def test_a_request_that_holds_an_impossible_value_does_not_decode(changes: dict[str, Any]) -> None:
    sound = create_vault().request
    assert decode(CreateVault, encode(sound)) == sound
    with pytest.raises(EncodingError):
        decode(CreateVault, encode(msgspec.structs.replace(sound, **changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"pair": (BOB, ALICE)},
        {"pair": (ALICE, ALICE)},
        {"generation": 0},
        {"generation": 2**31},
        {"memo": "m" * 1001},
    ],
)
def test_a_pair_has_one_order_and_a_generation_of_its_own(changes: dict[str, Any]) -> None:
    sound = pair_reset().request
    assert decode(PairReset, encode(sound)) == sound
    fields = msgspec.structs.asdict(sound)
    with pytest.raises(EncodingError):
        decode(PairReset, encode(Raw(**fields | changes)))


class Raw(Message, tag="pair-reset"):
    """As a peer may write it: the same fields, unchecked."""

    vault: str
    epoch: int
    certificate: bytes
    pair: tuple[str, str]
    generation: int
    memo: str
