"""Samples of requests: like real ones to an approver, and no operation's to the node."""

from __future__ import annotations

import json
import re

import pytest

from quorate.operations.kinds import (
    TRANSACTIONS,
    Algorithm,
    Claim,
    Kind,
    SigningData,
    SignTransaction,
)
from quorate.operations.reading import effect_of
from quorate.operations.request_json import (
    Json,
    PolicyFacts,
    create_vault_json,
    pair_reset_json,
    policy_change_json,
    reshare_json,
    sign_json,
)
from quorate.operations.sample import MARK, Sample, sample
from quorate.operations.tokens import Tokens
from quorate.operations.transactions.actions import Payer
from tests.approval.facts import (
    BOB,
    VAULT,
    batch_sign,
    create_vault,
    operation,
    pair_reset,
    policy_change,
    reshare,
    sign,
    signer,
    vault,
)
from tests.unit.test_operations_purposes import ALLOWANCE, FITTING

SIGNER = signer(weight=1)


def made(kind: Kind, salt: bytes = b"salt") -> Sample:
    return sample(kind, SIGNER, bytes(32), now_ms=1_762_528_252_984, salt=salt)


REAL = {kind: fitting[0] for kind, fitting in FITTING.items()} | {Kind.CONTRACT_CALL: ALLOWANCE}


def transaction(kind: Kind) -> Json:
    signing = SigningData(
        data=(REAL[kind].unsigned().hex(),), content_type="application/octet-stream+hex",
        algorithm=Algorithm.ESKEC256, derivation_path="",
    )  # fmt: skip
    asked = operation(
        SignTransaction(
            vault=VAULT, epoch=0, certificate=bytes(32), purpose=kind, signing=signing, claim=Claim(), memo="",
        )
    )  # fmt: skip
    actions = effect_of(asked, Payer(account=bytes(20), tokens=Tokens())).actions
    return sign_json(asked, vault(), actions=actions)


FACTS = PolicyFacts(default="refuse", rules=(), diff=(), serving="signed")


def real(kind: Kind) -> Json:
    if kind in TRANSACTIONS:
        return transaction(kind)
    return {
        Kind.CREATE_VAULT: lambda: create_vault_json(create_vault(), [signer()]),
        Kind.SIGN: lambda: sign_json(sign(), vault()),
        Kind.BATCH_SIGN: lambda: sign_json(batch_sign(), vault()),
        Kind.RESHARE: lambda: reshare_json(reshare(threshold=2), vault(), [signer(weight=3)], joining=False),
        Kind.POLICY_CHANGE: lambda: policy_change_json(policy_change(), vault(), FACTS),
        Kind.PAIR_RESET: lambda: pair_reset_json(pair_reset(), vault(signer(), signer(BOB)), None),
    }[kind]()


def shape(value: object) -> object:
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    return [shape(each) for each in value] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("kind", Kind)
def test_a_sample_has_the_shape_of_a_real_request_of_its_kind(kind: Kind) -> None:
    assert shape(made(kind).body) == shape(real(kind))


@pytest.mark.parametrize("kind", Kind)
def test_a_sample_is_recognised_by_its_id_which_has_the_form_of_an_operation_s(kind: Kind) -> None:
    one = made(kind)
    assert one.body["id"] == one.id
    assert re.fullmatch(r"[a-z2-7]{24}", one.id)
    assert one.id.startswith(MARK)
    assert "Nothing is signed or made" in json.dumps(one.body)


@pytest.mark.parametrize("kind", Kind)
def test_every_sample_is_another_one(kind: Kind) -> None:
    one, other = made(kind), made(kind, b"other")
    assert (one.id, one.digest) != (other.id, other.digest)
    assert one.id != other.id
    assert one.digest != other.digest
