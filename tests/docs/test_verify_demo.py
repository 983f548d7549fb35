"""The demo's verifier must refuse a demo that lies. The lines here are made with keys of our own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from typing import Any

import msgspec
import pytest
import rlp
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.crypto import keccak
from nacl import signing

from tests.verify_demo import BASE58, ORDER, ClaimError, transcript, verify

KEY = signing.SigningKey(hashlib.sha256(b"a demo's vault").digest())
OTHER = signing.SigningKey(hashlib.sha256(b"somebody else").digest())
ALICE, BOB, CAROL, DAVE = (letter * 24 for letter in "abcd")
WEIGHTS = {ALICE: 2, BOB: 1, CAROL: 1}
AFTER = {ALICE: 2, BOB: 1, DAVE: 2}

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


def sign(operation: str, message: bytes, signers: list[str], key: signing.SigningKey = KEY) -> Line:
    return {
        "step": "sign", "operation": operation, "vault": "v", "algorithm": "EDDSA", "path": "",
        "message_hex": message.hex(), "signature_hex": key.sign(message).signature.hex(),
        "public_key_hex": bytes(key.verify_key).hex(), "signers": signers,
    }  # fmt: skip


def sign_ecdsa(
    operation: str, message: bytes, signers: list[str], secret: int, *, vault: str = "v", path: str = "",
    algorithm: str = "ES256K",
) -> Line:  # fmt: skip
    digest = hashlib.sha256(message).digest() if algorithm == "ES256K" else keccak(message)
    signed = Account.unsafe_sign_hash(digest, secret.to_bytes(32, "big"))
    return {
        "step": "sign", "operation": operation, "vault": vault, "algorithm": algorithm, "path": path,
        "message_hex": message.hex(), "signature_hex": f"{signed.r:064x}{signed.s:064x}",
        "recovery_id": signed.v - 27, "public_key_hex": secp(secret).hex(), "signers": signers,
    }  # fmt: skip


def secp(secret: int) -> bytes:
    point = ec.derive_private_key(secret, ec.SECP256K1()).public_key()
    return point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def child(secret: int, code: bytes, *path: int) -> int:
    for index in path:
        expanded = hmac.digest(code, secp(secret) + index.to_bytes(4, "big"), "sha512")
        secret, code = (int.from_bytes(expanded[:32], "big") + secret) % ORDER, expanded[32:]
    return secret


def votes(step: str, operation: str, state: str, *messages: bytes, vault: str = "v", **verdicts: str) -> Line:
    """What alice, bob and carol said, and what of ``messages`` was signed."""
    ballots = zip(WEIGHTS.items(), verdicts.values(), strict=True)
    cast: list[Line] = [
        {"id": voter, "weight": weight, "verdict": verdict} for (voter, weight), verdict in ballots
    ]
    return {
        "step": step, "operation": operation, "vault": vault, "state": state,
        "messages_hex": [message.hex() for message in messages], "threshold": 3 if vault == "v" else 4,
        "approved_weight": sum(WEIGHTS[vote["id"]] for vote in cast if vote["verdict"] == "approve"),
        "votes": cast,
    }  # fmt: skip


def approved(step: str, operation: str, *messages: bytes, vault: str = "v") -> Line:
    said = dict.fromkeys("abc", "approve")
    return votes(step, operation, "COMPLETED", *messages, vault=vault, **said)


def altered(text: str) -> str:
    return text[:-1] + ("2" if text[-1] == "1" else "1")


SECRET, SECRET_OF_ALL = 77, 78
EDWARDS = bytes(KEY.verify_key)
EDWARDS_OF_ALL = bytes(OTHER.verify_key)
CODE = b"\1" * 32
XPUBS = {"secp256k1": xpub(secp(SECRET), CODE), "ed25519": xpub(b"\0" + EDWARDS, b"\2" * 32)}
SINGLE = b"Some data to be signed here"
FIELDS = {
    "type": 2, "chainId": 11155111, "nonce": 0, "maxPriorityFeePerGas": 1, "maxFeePerGas": 2, "gas": 21000,
    "to": "0x" + "11" * 20, "value": 5, "data": "0x", "accessList": [],
}  # fmt: skip
PAYER = child(SECRET, CODE, 60, 0)


def unsigned(fields: dict[str, Any]) -> bytes:
    """The unsigned transaction. eth-account gives only its hash; the signed one is that with three fields more."""
    numbers = ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas")
    encoded: bytes = rlp.encode(
        [*(fields[name] for name in numbers), bytes.fromhex(fields["to"][2:]), fields["value"], b"", []]
    )
    assert keccak(b"\x02" + encoded) == bytes(TypedTransaction.from_dict(fields).hash())
    return b"\x02" + encoded


def over_the_limit(value: int = 11, **changes: Any) -> Line:
    return votes("policy.rejected", "much", "REJECTED", a="reject", b="reject", c="") | {
        "rule": "PO-2.1 rules: small", "explanation": 'rule "small": too much', "limit_wei": 10,
        "unsigned_transaction": "0x" + unsigned(FIELDS | {"value": value}).hex(),
    } | changes  # fmt: skip


def ethereum(fields: dict[str, Any] = FIELDS, secret: int = PAYER) -> Line:
    signed = Account.sign_transaction(fields, secret.to_bytes(32, "big"))
    return approved("ethereum", "pay", unsigned(FIELDS)) | {
        "chain_id": fields["chainId"], "from": Account.from_key(secret.to_bytes(32, "big")).address,
        "to": fields["to"], "value_wei": fields["value"],
        "raw_transaction": "0x" + signed.raw_transaction.hex(), "transaction": "0x" + signed.hash.hex(),
    }  # fmt: skip


def device(node: str) -> signing.SigningKey:
    return signing.SigningKey(hashlib.sha256(node.encode()).digest())


def vote_of(node: str, *, verdict: str = "approve", rule: str = "PO-2.1 rules", signer: str = "") -> str:
    body = msgspec.msgpack.encode(["pay", bytes(32), verdict, bytes(32), 7, "policy", rule])
    said = transcript("quorate/v1/statement", "vote", node, body)
    signature = device(signer or node).sign(said).signature
    return base64.b64encode(msgspec.msgpack.encode([node, body, signature])).decode()


def receipt(**changes: Any) -> Line:
    paid, signers = ethereum(), [
        {"id": node, "weight": weight, "identity_key": bytes(device(node).verify_key).hex()}
        for node, weight in WEIGHTS.items()
    ]  # fmt: skip
    does = {"receiver": paid["to"], "amount": str(paid["value_wei"]), "source": paid["from"]}
    return {"step": "receipt", "operation": "pay", "vault": "v", "receipt": {
        "operation": {"id": "pay", "digest": bytes(32).hex()},
        "vault": {"threshold": 3, "signers": signers, "public_keys": {"secp256k1": secp(SECRET).hex()}},
        "signed": {"messages": [{"raw_transaction": paid["raw_transaction"], "does": [does]}]},
        "votes": [
            {"id": node, "verdict": "approve", "approver": "policy", "rule": "PO-2.1 rules"} for node in (ALICE, BOB)
        ],
        "approved_weight": 3, "evidence": {"votes": [vote_of(ALICE), vote_of(BOB)]},
    } | changes}  # fmt: skip


def reshare(**changes: Any) -> Line:
    voters = {**WEIGHTS, **AFTER}
    return {
        "step": "vault.reshare", "vault": "v", "operation": "change", "state": "COMPLETED", "epoch": 1, "threshold": 4,
        "signers": [{"id": node, "weight": weight} for node, weight in AFTER.items()], "xpubs": XPUBS,
        "public_keys": {"secp256k1": secp(SECRET).hex(), "ed25519": EDWARDS.hex()},
        "votes": [{"id": node, "weight": weight, "verdict": "approve"} for node, weight in voters.items()],
    } | changes  # fmt: skip


def after(operation: str) -> Line:
    cast = [{"id": node, "weight": weight, "verdict": "approve"} for node, weight in AFTER.items()]
    return {
        "step": "reshared", "operation": operation, "vault": "v", "state": "COMPLETED",
        "messages_hex": [b"welcome".hex()], "threshold": 4, "approved_weight": 5, "votes": cast,
    }  # fmt: skip


def honest_demo() -> list[Line]:
    signers = [{"id": node, "weight": weight} for node, weight in WEIGHTS.items()]
    return [
        {
            "step": "start", "approver": {"pid": 9},
            "nodes": [{"id": node, "name": "", "pid": pid} for pid, node in enumerate((*WEIGHTS, DAVE))],
        },
        {
            "step": "vault.create", "vault": "v", "epoch": 0, "threshold": 3, "signers": signers,
            "public_keys": {"secp256k1": secp(SECRET).hex(), "ed25519": EDWARDS.hex()}, "xpubs": XPUBS,
        },
        sign("one", SINGLE, [ALICE, BOB]),
        approved("approval.approved", "one", SINGLE),
        sign("two", b"hello", [ALICE, CAROL]),
        sign("two", b"goodbye", [ALICE, CAROL]),
        approved("batch-sign", "two", b"hello", b"goodbye"),
        sign_ecdsa("chairs", b"chairs", [ALICE, CAROL], SECRET),
        approved("ecdsa", "chairs", b"chairs"),
        {
            "step": "vault.create", "vault": "all", "epoch": 0, "threshold": 4, "signers": signers,
            "public_keys": {"secp256k1": secp(SECRET_OF_ALL).hex(), "ed25519": EDWARDS_OF_ALL.hex()},
            "xpubs": {
                "secp256k1": xpub(secp(SECRET_OF_ALL), b"\3" * 32),
                "ed25519": xpub(b"\0" + EDWARDS_OF_ALL, b"\4" * 32),
            },
        },
        sign_ecdsa("salaries", b"salaries", [ALICE, BOB, CAROL], SECRET_OF_ALL, vault="all"),
        approved("ecdsa", "salaries", b"salaries", vault="all"),
        sign_ecdsa("receipt", b"receipt", [ALICE, BOB], child(SECRET, CODE, 0, 1), path="m/0/1"),
        approved("derived", "receipt", b"receipt"),
        over_the_limit(),
        sign_ecdsa("pay", unsigned(FIELDS), [ALICE, BOB], PAYER, path="m/60/0", algorithm="ESKEC256"),
        ethereum(),
        receipt(),
        sign("four", b"without carol", [ALICE, BOB]),
        votes("approval.abstained", "four", "COMPLETED", b"without carol", a="approve", b="approve", c="abstain"),
        votes("approval.rejected", "three", "REJECTED", a="reject", b="approve", c=""),
        reshare(),
        sign("welcome", b"welcome", [ALICE, DAVE]),
        after("welcome"),
        sign_ecdsa("twice", b"welcome", [ALICE, DAVE], SECRET),
        after("twice"),
        votes("threshold.refused", "five", "EXPIRED", vault="all", a="", b="approve", c="approve"),
        {"step": "done", "signatures": 10},
    ]  # fmt: skip


def check(lines: list[Line]) -> None:
    verify(json.dumps(line) for line in lines)


def test_an_honest_demo_is_believed() -> None:
    check(honest_demo())


@pytest.mark.parametrize("left_out", range(28))
def test_a_missing_line_is_noticed(left_out: int) -> None:
    lines = honest_demo()
    del lines[left_out]
    with pytest.raises(ClaimError):
        check(lines)


def place(step: str, operation: str = "") -> int:
    """Which line of the honest demo it is, by its step and, if given, its operation or vault."""
    return next(
        number
        for number, line in enumerate(honest_demo())
        if line["step"] == step and operation in ("", line.get("operation"), line.get("vault"))
    )


def high(line: Line) -> Line:
    """The same signature with the other s, as anybody can make it."""
    r, s = line["signature_hex"][:64], int(line["signature_hex"][64:], 16)
    return {"signature_hex": f"{r}{ORDER - s:064x}", "recovery_id": line["recovery_id"] ^ 1}


ONE, CHAIRS, PAY = (honest_demo()[place("sign", operation)] for operation in ("one", "chairs", "pay"))


@pytest.mark.parametrize(
    ("line", "change", "complaint"),
    [
        ("start", {"approver": {"pid": 1}}, "five processes"),
        ("start", {"nodes": [{"id": ALICE, "name": "", "pid": 1}]}, "four nodes"),
        ("vault.create", {"threshold": 2}, "threshold is 3"),
        ("vault.create", {"epoch": 1}, "epoch is 0"),
        ("vault.create", {"signers": [{"id": node, "weight": 1} for node in WEIGHTS]}, "2, 1 and 1"),
        ("vault.create", {"signers": [{"id": ALICE, "weight": 2}, {"id": BOB, "weight": 1}]}, "three of the nodes"),
        ("vault.create", {"xpubs": XPUBS | {"ed25519": XPUBS["secp256k1"]}}, "ed25519 xpub"),
        ("vault.create", {"xpubs": XPUBS | {"secp256k1": altered(XPUBS["secp256k1"])}}, "checksum"),
        ("vault.create", {"xpubs": XPUBS | {"ed25519": xpub(b"\0" + EDWARDS, CODE)}}, "own chain code"),
        ("vault.create", {"public_keys": {"secp256k1": "02" + "ff" * 32, "ed25519": "00" * 32}}, "its curve"),
        ("vault.create all", {"vault": "v"}, "id of its own"),
        ("vault.create all", honest_demo()[1] | {"vault": "all"}, "share a key"),
        ("vault.create all", {"threshold": 3}, "threshold is the vault's"),
        ("sign one", {"signature_hex": altered(ONE["signature_hex"])}, "libsodium and OpenSSL"),
        ("sign one", {"signature_hex": ONE["signature_hex"][2:]}, "libsodium and OpenSSL"),
        ("sign one", {"message_hex": "00"}, "libsodium and OpenSSL"),
        ("sign one", sign("one", SINGLE, [ALICE, BOB], OTHER), "the vault's Ed25519 key"),
        ("sign one", {"path": "m/0"}, "the vault's Ed25519 key"),
        ("sign one", {"recovery_id": 0}, "no recovery id"),
        ("sign one", {"vault": "w"}, "vault that was created"),
        ("sign one", {"signers": [BOB, CAROL]}, "reach the threshold"),
        ("sign one", {"signers": [BOB, BOB, CAROL]}, "twice"),
        ("sign one", {"signers": [ALICE, "d" * 24]}, "members"),
        ("vault.reshare", {"vault": "w"}, "vault that was created"),
        ("vault.reshare", {"epoch": 0}, "epoch is 1"),
        ("vault.reshare", {"public_keys": {"secp256k1": secp(79).hex(), "ed25519": EDWARDS.hex()}}, "keys stay"),
        ("vault.reshare", {"xpubs": XPUBS | {"secp256k1": xpub(secp(SECRET), b"\7" * 32)}}, "chain code stays"),
        ("vault.reshare", {"signers": [{"id": n, "weight": w} for n, w in WEIGHTS.items()]}, "one node joins"),
        ("vault.reshare", {"signers": [{"id": n, "weight": 2} for n in AFTER]}, "2, 1 and 2"),
        ("vault.reshare", {"threshold": 3}, "rises from 3 to 4"),
        ("vault.reshare", {"votes": reshare()["votes"][:3]}, "old and new signers vote"),
        ("vault.reshare", {"state": "FAILED"}, "completed"),
        ("sign welcome", {"signers": [ALICE, BOB]}, "reach the threshold"),
        ("sign welcome", {"signers": [ALICE, BOB, CAROL]}, "members"),
        ("reshared twice", after("welcome"), "both keys sign"),
        ("sign one", {"algorithm": "ES256K"}, "the vault's secp256k1 key"),
        ("sign chairs", {"algorithm": "EDDSA"}, "the vault's Ed25519 key"),
        ("sign chairs", {"algorithm": "RS256"}, "EDDSA, ES256K or ESKEC256"),
        ("sign chairs", {"algorithm": "ESKEC256"}, "libsecp256k1 accepts"),
        ("sign chairs", {"signature_hex": altered(CHAIRS["signature_hex"])}, "libsecp256k1 accepts"),
        ("sign chairs", {"signature_hex": CHAIRS["signature_hex"] + "00"}, "32 bytes each"),
        ("sign chairs", {"message_hex": "00"}, "libsecp256k1 accepts"),
        ("sign chairs", high(CHAIRS), "the lower of the two"),
        ("sign chairs", {"recovery_id": CHAIRS["recovery_id"] ^ 1}, "recovered"),
        ("sign chairs", {"recovery_id": 2}, "parity of y"),
        ("sign chairs", {"path": "m/0"}, "the one at the path"),
        ("sign chairs", {"path": "m"}, "m and steps"),
        ("sign chairs", {"path": "m/0'"}, "below 2^31"),
        ("sign chairs", sign_ecdsa("chairs", b"chairs", [ALICE, CAROL], 79), "the vault's secp256k1 key"),
        ("sign chairs", {"signers": [ALICE, BOB, CAROL]}, "two signers sign by ECDSA"),
        ("sign salaries", {"signers": [ALICE, BOB]}, "reach the threshold"),
        (
            "sign receipt",
            sign_ecdsa("receipt", b"receipt", [ALICE, BOB], child(SECRET, CODE, 0, 2), path="m/0/1"),
            "the one at the path",
        ),
        ("sign receipt", sign_ecdsa("receipt", b"receipt", [ALICE, BOB], SECRET), "a derived key signs"),
        ("approval.approved", {"approved_weight": 3}, "approved weight"),
        ("approval.approved", {"state": "REJECTED"}, "approval of enough weight"),
        ("approval.approved", {"operation": "nine"}, "signed whole"),
        ("approval.approved", {"operation": "nine", "messages_hex": []}, "approved is signed"),
        ("approval.approved", {"vault": "all"}, "by one vault"),
        ("batch-sign", {"messages_hex": ["68656c6c6f"]}, "signed whole"),
        ("ecdsa chairs", approved("ecdsa", "one", SINGLE), "by ES256K"),
        ("ecdsa chairs", approved("ecdsa", "nine"), "approved is signed"),
        ("ethereum", {"raw_transaction": "0x01" + ethereum()["raw_transaction"][4:]}, "type 2"),
        ("ethereum", {"raw_transaction": altered(ethereum()["raw_transaction"])}, "carries the signature"),
        ("ethereum", ethereum(secret=79), "carries the signature"),
        ("ethereum", ethereum(FIELDS | {"nonce": 1}), "the unsigned transaction"),
        ("ethereum", ethereum(FIELDS | {"chainId": 1}), "for Sepolia"),
        ("ethereum", {"to": "0x" + "22" * 20}, "pays what and whom"),
        ("ethereum", {"value_wei": 6}, "pays what and whom"),
        ("ethereum", {"from": "0x" + "22" * 20}, "account of the key"),
        ("ethereum", {"transaction": "0x" + "22" * 32}, "Keccak-256"),
        ("receipt", {"operation": "one"}, "of the payment"),
        ("receipt", receipt(operation={"id": "one"}), "of what it is"),
        ("receipt", receipt(vault=receipt()["receipt"]["vault"] | {"threshold": 2}), "threshold are the vault's"),
        ("receipt", receipt(vault=receipt()["receipt"]["vault"] | {"public_keys": {"secp256k1": ""}}), "the vault's"),
        ("receipt", receipt(signed={"messages": [{"raw_transaction": "0x"}]}), "paid by"),
        ("receipt", receipt(votes=[]), "each vote in it is proved"),
        ("receipt", receipt(evidence={"votes": [vote_of(ALICE), vote_of(BOB, signer=ALICE)]}), "libsodium and OpenSSL"),
        ("receipt", receipt(evidence={"votes": [vote_of(ALICE), vote_of(DAVE)]}), "signer's of the vault"),
        ("receipt", receipt(evidence={"votes": [vote_of(ALICE), vote_of(BOB, rule="x")]}), "what was signed"),
        ("receipt", receipt(operation={"id": "pay", "digest": ""}), "on that"),
        ("receipt", receipt(approved_weight=4), "reaches the threshold"),
        ("policy.rejected", over_the_limit(10), "more than the limit"),
        ("policy.rejected", over_the_limit(limit_wei=4), "below the policy's limit"),
        ("policy.rejected", over_the_limit(rule="PO-2.1 rules: large"), "rule is named"),
        ("policy.rejected", over_the_limit(unsigned_transaction="0x01"), "type 2"),
        ("policy.rejected", over_the_limit(state="COMPLETED"), "ended without a signature"),
        ("ethereum", approved("ethereum", "receipt", b"receipt"), "by ESKEC256"),
        (
            "approval.abstained",
            votes("approval.abstained", "four", "COMPLETED", b"without carol", a="approve", b="abstain", c="approve"),
            "only those",
        ),
        ("approval.rejected", {"operation": "one"}, "signed whole"),
        ("approval.rejected", approved("approval.rejected", "one", SINGLE), "there is no signature"),
        ("approval.rejected", {"votes": [{"id": ALICE, "weight": 2, "verdict": "reject"}]}, "the vault's"),
        ("approval.rejected", {"vault": "w"}, "vault that was created"),
        ("threshold.refused", {"state": "COMPLETED"}, "ended without a signature"),
        (
            "threshold.refused",
            votes("threshold.refused", "five", "REJECTED", vault="all", a="reject", b="approve", c=""),
            "1 + 1",
        ),
        ("done", {"signatures": 3}, "counts"),
        ("done", {"step": "applause"}, "not a step"),
    ],
)  # fmt: skip
def test_a_line_that_lies_is_named(line: str, change: Line, complaint: str) -> None:
    lines = honest_demo()
    lines[place(*line.split())] |= change
    with pytest.raises(ClaimError, match=re.escape(complaint)):
        check(lines)


def test_a_demo_without_the_sample_s_data_is_noticed() -> None:
    lines = honest_demo()
    lines[place("sign", "one")] = sign("one", b"Other data", [ALICE, BOB])
    lines[place("approval.approved")] = approved("approval.approved", "one", b"Other data")
    with pytest.raises(ClaimError, match="sample's data"):
        check(lines)


def test_a_batch_of_other_messages_is_noticed() -> None:
    lines = honest_demo()
    lines[place("batch-sign")] = approved("batch-sign", "two", b"hello")
    del lines[place("batch-sign") - 1]
    with pytest.raises(ClaimError, match="batch is the sample's"):
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
