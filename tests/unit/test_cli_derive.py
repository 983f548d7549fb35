"""Which keys ``quorate vault derive`` lists, without a node."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorate.ceremony.views import VaultView
from quorate.cli.derive import MAX_KEYS, paths_of, payees_of
from quorate.curves import ED25519, SECP256K1
from quorate.errors import UsageError
from quorate.identifiers import Curve, Epoch, VaultId
from quorate.operations.addresses import Chain, address
from quorate.operations.derivation import derive, xpub

KEYS = {Curve.SECP256K1: bytes(SECP256K1.generator), Curve.ED25519: bytes(ED25519.generator)}
CODES = {curve: bytes([number]) * 32 for number, curve in enumerate(Curve)}
VAULT = VaultView(
    id=VaultId("v" * 24), name="ops", epoch=Epoch(0), certificate_hash=bytes(32), threshold=1, signers=(),
    state="ready", public_keys=KEYS, chain_codes=CODES,
    xpubs={curve: xpub(curve, KEYS[curve], CODES[curve]) for curve in Curve},
)  # fmt: skip


@pytest.mark.parametrize(
    ("path", "range_", "paths"),
    [
        ("m", None, ["m"]),
        ("", None, ["m"]),
        ("m/0", None, ["m/0"]),
        ("", "7..7", ["m/7"]),
        ("M/1", "0..2", ["M/1/0", "M/1/1", "M/1/2"]),
    ],
)
def test_a_range_is_one_more_step(path: str, range_: str | None, paths: list[str]) -> None:
    assert paths_of(path, range_) == paths


@pytest.mark.parametrize(
    "range_", ["", "1", "1..", "..2", "-1..2", "2..1", "0...3", "0..x", "0..1000", "0 .. 1"]
)
def test_what_is_no_range_is_refused(range_: str) -> None:
    with pytest.raises(UsageError, match="--range"):
        paths_of("m", range_)


def test_a_range_may_reach_the_limit() -> None:
    assert len(paths_of("m", f"1..{MAX_KEYS}")) == MAX_KEYS


def test_a_range_cannot_leave_what_can_be_derived() -> None:
    with pytest.raises(UsageError, match=r"OP-1\.2"):
        paths_of("m", "2147483647..2147483648")
    with pytest.raises(UsageError, match=r"OP-1\.3"):
        paths_of("m" + "/0" * 255, "0..0")


def test_every_chain_is_paid_at_the_key_of_its_curve() -> None:
    payees = list(payees_of(VAULT, ["m", "m/5"], tuple(Chain)))
    assert [(payee.path, payee.chain) for payee in payees] == [(p, c) for p in ("m", "m/5") for c in Chain]
    for payee in payees:
        curve = payee.chain.curve
        key = derive(curve, KEYS[curve], CODES[curve], payee.path)
        record = payee.record(VAULT.id)
        assert record["address"] == address(payee.chain, key.public_key)
        assert (record["public_key"], record["xpub"]) == (key.public_key.hex(), key.xpub)
    assert payees[0].record(VAULT.id)["xpub"] == VAULT.xpubs[Curve.SECP256K1]


def test_a_chain_named_twice_is_listed_once() -> None:
    assert len(list(payees_of(VAULT, ["m"], [Chain.SOLANA, Chain.SOLANA]))) == 1


@pytest.mark.parametrize("state", ["pending", "active"])
def test_a_vault_that_is_not_ready_is_paid_nowhere(state: str) -> None:
    with pytest.raises(UsageError, match=f"vault ops is {state}, not ready") as refused:
        list(payees_of(replace(VAULT, state=state), ["m"], tuple(Chain)))
    assert refused.value.code == "VAULT_NOT_READY"
