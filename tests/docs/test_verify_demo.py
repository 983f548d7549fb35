"""The demo's verifier must refuse a demo that lies. The lines here are made with keys of our own."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey

from tests.verify_demo import BASE58, ClaimError, verify

KEY = SigningKey(hashlib.sha256(b"a demo's vault").digest())
OTHER = SigningKey(hashlib.sha256(b"somebody else").digest())
ALICE, BOB, CAROL = (letter * 24 for letter in "abc")
WEIGHTS = {ALICE: 2, BOB: 1, CAROL: 1}

Line = dict[str, Any]


def base58check(body: bytes) -> str:
    number = int.from_bytes(body + hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4], "big")
    text = ""
    while number:
        number, digit = divmod(number, 58)
        text = BASE58[digit] + text
    return text


def xpub(key: bytes, code: bytes) -> str:
    return base58check(bytes.fromhex("0488b21e") + bytes(9) + code + key)


def sign(operation: str, message: bytes, signers: list[str], key: SigningKey = KEY) -> Line:
    return {
        "step": "sign", "operation": operation, "algorithm": "EDDSA", "message_hex": message.hex(),
        "signature_hex": key.sign(message).signature.hex(), "public_key_hex": bytes(key.verify_key).hex(),
        "signers": signers,
    }  # fmt: skip


def votes(step: str, operation: str, state: str, **verdicts: str) -> Line:
    """What alice, bob and carol said."""
    ballots = zip(WEIGHTS.items(), verdicts.values(), strict=True)
    cast: list[Line] = [
        {"id": voter, "weight": weight, "verdict": verdict} for (voter, weight), verdict in ballots
    ]
    return {
        "step": step, "operation": operation, "state": state, "threshold": 3,
        "approved_weight": sum(WEIGHTS[vote["id"]] for vote in cast if vote["verdict"] == "approve"),
        "votes": cast,
    }  # fmt: skip


def altered(text: str) -> str:
    return text[:-1] + ("2" if text[-1] == "1" else "1")


SECP_KEY = ec.derive_private_key(77, ec.SECP256K1()).public_key()
SECP = SECP_KEY.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
EDWARDS = bytes(KEY.verify_key)
XPUBS = {"secp256k1": xpub(SECP, b"\1" * 32), "ed25519": xpub(b"\0" + EDWARDS, b"\2" * 32)}
SINGLE = sign("one", b"Some data to be signed here", [ALICE, BOB])


def honest_demo() -> list[Line]:
    return [
        {
            "step": "start", "approver": {"pid": 9},
            "nodes": [{"id": node, "name": "", "pid": pid} for pid, node in enumerate(WEIGHTS)],
        },
        {
            "step": "vault.create", "vault": "v", "epoch": 0, "threshold": 3,
            "signers": [{"id": node, "weight": weight} for node, weight in WEIGHTS.items()],
            "public_keys": {"secp256k1": SECP.hex(), "ed25519": EDWARDS.hex()},
            "xpubs": XPUBS,
        },
        dict(SINGLE),
        votes("approval.approved", "one", "COMPLETED", a="approve", b="approve", c="approve"),
        sign("two", b"hello", [ALICE, CAROL]),
        sign("two", b"goodbye", [ALICE, CAROL]),
        {"step": "batch-sign", "operation": "two", "messages_hex": ["68656c6c6f", "676f6f64627965"]},
        votes("approval.rejected", "three", "REJECTED", a="reject", b="approve", c=""),
        sign("four", b"without carol", [ALICE, BOB]),
        votes("approval.abstained", "four", "COMPLETED", a="approve", b="approve", c="abstain"),
        votes("threshold.refused", "five", "REJECTED", a="abstain", b="approve", c="approve"),
        {"step": "done", "signatures": 4},
    ]  # fmt: skip


def check(lines: list[Line]) -> None:
    verify(json.dumps(line) for line in lines)


def test_an_honest_demo_is_believed() -> None:
    check(honest_demo())


@pytest.mark.parametrize("left_out", range(12))
def test_a_missing_line_is_noticed(left_out: int) -> None:
    lines = honest_demo()
    del lines[left_out]
    with pytest.raises(ClaimError):
        check(lines)


@pytest.mark.parametrize(
    ("line", "change", "complaint"),
    [
        (0, {"approver": {"pid": 1}}, "four processes"),
        (0, {"nodes": [{"id": ALICE, "name": "", "pid": 1}]}, "three nodes"),
        (1, {"threshold": 2}, "threshold is 3"),
        (1, {"epoch": 1}, "epoch 0"),
        (1, {"signers": [{"id": node, "weight": 1} for node in WEIGHTS]}, "2, 1 and 1"),
        (1, {"signers": [{"id": ALICE, "weight": 2}, {"id": BOB, "weight": 1}]}, "three nodes"),
        (1, {"xpubs": XPUBS | {"ed25519": XPUBS["secp256k1"]}}, "ed25519 xpub"),
        (1, {"xpubs": XPUBS | {"secp256k1": altered(XPUBS["secp256k1"])}}, "checksum"),
        (1, {"xpubs": XPUBS | {"ed25519": xpub(b"\0" + EDWARDS, b"\1" * 32)}}, "chain code"),
        (1, {"public_keys": {"secp256k1": "02" + "ff" * 32, "ed25519": "00" * 32}}, "its curve"),
        (2, {"signature_hex": altered(SINGLE["signature_hex"])}, "libsodium and OpenSSL"),
        (2, {"signature_hex": SINGLE["signature_hex"][2:]}, "libsodium and OpenSSL"),
        (2, {"message_hex": "00"}, "libsodium and OpenSSL"),
        (2, sign("one", b"Some data to be signed here", [ALICE, BOB], OTHER), "the vault's"),
        (2, sign("one", b"Other data", [ALICE, BOB]), "sample's data"),
        (2, {"signers": [BOB, CAROL]}, "reach the threshold"),
        (2, {"signers": [BOB, BOB, CAROL]}, "twice"),
        (2, {"signers": [ALICE, "d" * 24]}, "members"),
        (2, {"algorithm": "ES256K"}, "EDDSA"),
        (3, {"approved_weight": 3}, "approved weight"),
        (3, {"state": "REJECTED"}, "approval of enough weight"),
        (3, {"operation": "nine"}, "ended without a signature"),
        (6, {"messages_hex": ["68656c6c6f"]}, "signed whole"),
        (7, {"operation": "one"}, "approval of enough weight"),
        (7, {"votes": [{"id": ALICE, "weight": 2, "verdict": "reject"}]}, "the vault's"),
        (
            9,
            votes("approval.abstained", "four", "COMPLETED", a="approve", b="abstain", c="approve"),
            "only those",
        ),
        (10, {"state": "COMPLETED"}, "ended without a signature"),
        (10, votes("threshold.refused", "five", "REJECTED", a="reject", b="approve", c=""), "1 + 1"),
        (11, {"signatures": 3}, "counts"),
        (11, {"step": "applause"}, "not a step"),
    ],
)
def test_a_line_that_lies_is_named(line: int, change: Line, complaint: str) -> None:
    lines = honest_demo()
    lines[line] |= change
    with pytest.raises(ClaimError, match=re.escape(complaint)):
        check(lines)


def test_a_repeated_nonce_is_noticed() -> None:
    lines = honest_demo()
    lines.insert(3, lines[2])
    with pytest.raises(ClaimError, match="nonce"):
        check(lines)


def test_an_empty_demo_and_a_line_that_is_not_json_are_refused() -> None:
    with pytest.raises(ClaimError, match="says something"):
        verify([])
    with pytest.raises(ClaimError, match="line 1: malformed"):
        verify(["Traceback"])
