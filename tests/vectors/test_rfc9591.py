"""RFC 9591's FROST(Ed25519, SHA-512) vectors, through the signing protocol itself.

Only the source of fresh randomness is replaced, by the vectors' own; everything from there on is the product's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorate.curves import ED25519
from quorate.identifiers import Curve, DeviceId, Epoch
from quorate.native.memory import SecretBytes
from quorate.protocols.eddsa import frost, hashes, nonces
from quorate.protocols.quorum import KeyShare, Quorum, quorum_of
from quorate.wire.simulator import Simulator, devices, randomness
from tests.protocols.vaults import VAULT, sharing

VECTORS = json.loads((Path(__file__).parent / "frost-ed25519-sha512.json").read_text())
INPUTS = VECTORS["inputs"]
MESSAGE = bytes.fromhex(INPUTS["message"])
PUBLIC_KEY = bytes.fromhex(INPUTS["group_public_key"])
SHARES = {row["identifier"]: bytes.fromhex(row["participant_share"]) for row in INPUTS["participant_shares"]}
ROUND_ONE = {row["identifier"]: row for row in VECTORS["round_one_outputs"]["outputs"]}
ROUND_TWO = {row["identifier"]: row for row in VECTORS["round_two_outputs"]["outputs"]}
PARTY = dict(zip(SHARES, devices(3), strict=True))
SIGNERS = [PARTY[number] for number in INPUTS["participant_list"]]


def quorum(number: int) -> Quorum:
    slope = ED25519.secret_scalar(bytes.fromhex(INPUTS["share_polynomial_coefficients"][0]))
    share = KeyShare(
        curve=Curve.ED25519,
        device=PARTY[number],
        indices=range(number, number + 1),
        secret=ED25519.secret_vector(SHARES[number]),
        commitment=(ED25519.point(PUBLIC_KEY), slope * ED25519.generator),
        chain_code=bytes(32),
    )
    roster = sharing([1, 1, 1], int(VECTORS["config"]["MIN_PARTICIPANTS"]))
    return quorum_of(share, roster, SIGNERS, vault=VAULT, epoch=Epoch(0), certificate=bytes(32))


def pairs() -> hashes.Pairs:
    names = ("hiding_nonce_commitment", "binding_nonce_commitment")
    return {
        i: tuple(ED25519.point(bytes.fromhex(row[name])) for name in names)  # type: ignore[misc]
        for i, row in ROUND_ONE.items()
    }


@pytest.mark.parametrize("number", ROUND_ONE)
@pytest.mark.parametrize("kind", ["hiding", "binding"])
def test_nonces_and_their_commitments_are_the_vectors(number: int, kind: str) -> None:
    row = ROUND_ONE[number]
    drawn = SecretBytes.of(bytes.fromhex(row[f"{kind}_nonce_randomness"]))
    nonce = hashes.h3(drawn, quorum(number).hedge)
    assert nonce.reveal().hex() == row[f"{kind}_nonce"]
    assert bytes(nonce * ED25519.generator).hex() == row[f"{kind}_nonce_commitment"]


def test_binding_factors_and_their_inputs_are_the_vectors() -> None:
    assignment = hashes.assignment_of(quorum(1))
    inputs = hashes.binding_inputs(PUBLIC_KEY, pairs(), MESSAGE, assignment)
    factors = hashes.binding_factors(PUBLIC_KEY, pairs(), MESSAGE, assignment)
    assert {i: data.hex() for i, data in inputs.items()} == column("binding_factor_input")
    assert {i: bytes(factor).hex() for i, factor in factors.items()} == column("binding_factor")


def column(name: str) -> dict[int, str]:
    return {i: row[name] for i, row in ROUND_ONE.items()}


def test_the_protocol_sends_and_returns_the_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines run ``sign``: what crosses the wire, and the signature both return, are the vectors'."""
    drawn = {
        device: [
            bytes.fromhex(ROUND_ONE[number][f"{kind}_nonce_randomness"]) for kind in ("hiding", "binding")
        ]
        for number, device in PARTY.items()
        if number in ROUND_ONE
    }
    monkeypatch.setattr(
        nonces, "folded", lambda rng, sid, message, counter: SecretBytes.of(drawn[rng.device][counter])
    )

    class Named:
        """A stand-in that only says whose randomness is asked for."""

        def __init__(self, device: DeviceId) -> None:
            self.device = device
            self.secret = randomness("unused").secret
            self.public = randomness("unused").public

    sent: dict[tuple[DeviceId, str], Any] = {}

    def watch(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        sent[sender, slot.rpartition("/")[2]] = message
        return message

    protocols = {
        PARTY[i]: lambda net, i=i: frost.sign(net, quorum(i), [MESSAGE], None, Named(PARTY[i]), lambda: None)
        for i in ROUND_ONE
    }
    outcome = Simulator(protocols, tamper=watch).run()
    for number, row in ROUND_ONE.items():
        (pair,) = sent[PARTY[number], "Commitments"].pairs
        assert bytes(pair.hiding).hex() == row["hiding_nonce_commitment"]
        assert bytes(pair.binding).hex() == row["binding_nonce_commitment"]
        (response,) = sent[PARTY[number], "Response"].responses
        assert bytes(response).hex() == ROUND_TWO[number]["sig_share"]
    expected = bytes.fromhex(VECTORS["final_output"]["sig"])
    assert outcome.results == dict.fromkeys(SIGNERS, (expected,))


def test_the_oracle_agrees_with_the_vectors() -> None:
    """The reference that other tests compare with is itself right."""
    from tests.oracle import frost as oracle

    drawn = {
        i: tuple(
            oracle.nonce(bytes.fromhex(row[f"{kind}_nonce_randomness"]), SHARES[i])
            for kind in ("hiding", "binding")
        )
        for i, row in ROUND_ONE.items()
    }
    shares = {i: {i: oracle.scalar(SHARES[i])} for i in ROUND_ONE}
    responses, signature = oracle.sign(shares, drawn, MESSAGE, PUBLIC_KEY)  # type: ignore[arg-type]
    assert {i: oracle.encoded(z).hex() for i, z in responses.items()} == {
        i: row["sig_share"] for i, row in ROUND_TWO.items()
    }
    assert signature.hex() == VECTORS["final_output"]["sig"]
