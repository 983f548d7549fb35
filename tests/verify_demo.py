"""Check everything `quorate demo --json` claims, without importing a line of quorate.

    quorate demo --json | python tests/verify_demo.py

One JSON object per line, in the order things happened. `id` is a device id; unknown fields are left alone.

start               nodes [{id, name, pid}], approver {pid}
vault.create        vault, epoch, threshold, signers [{id, weight}], public_keys {secp256k1: compressed hex,
                    ed25519: hex}, xpubs {secp256k1, ed25519}
sign                one line per signature, those of a batch too: operation, algorithm "EDDSA", message_hex,
                    signature_hex, public_key_hex, signers [id]
batch-sign          after its signatures: operation, messages_hex [in the order they were asked for]

and one line for each operation the demo shows off, after its signatures if it has any, with operation, state,
votes [{id, weight, verdict: approve | reject | abstain | ""}], approved_weight and threshold:

approval.approved   approvals that led to a signature
approval.rejected   a rejection that ended the operation
approval.abstained  an abstention; the others sign without that node if their weight is enough
threshold.refused   approvals of weight 1 + 1 only, and so no signature

done                signatures: how many `sign` lines there were

Exits 0 and prints a summary, or 1 naming the line and the claim that does not hold.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

WEIGHTS, THRESHOLD = [1, 1, 2], 3
SINGLE = b"Some data to be signed here".hex()
BATCH = ["68656c6c6f", "676f6f64627965"]
VERDICTS = {"approval.approved": "approve", "approval.rejected": "reject", "approval.abstained": "abstain"}
REQUIRED = {"start", "vault.create", "sign", "batch-sign", "threshold.refused", "done", *VERDICTS}
UNSIGNED_STATES = {"REJECTED", "EXPIRED", "FAILED", "CANCELLED"}
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

Line = dict[str, Any]


class ClaimError(Exception):
    """A claim of the demo that does not hold."""


def claim(holds: object, what: str) -> None:
    if not holds:
        raise ClaimError(what)


def base58check(text: str) -> bytes:
    number = 0
    for character in text:
        claim(character in BASE58, f"an xpub is base58, {character!r} is not")
        number = number * 58 + BASE58.index(character)
    raw = number.to_bytes(82, "big") if number < 1 << 656 else b""
    body, checksum = raw[:78], raw[78:]
    claim(
        raw and hashlib.sha256(hashlib.sha256(body).digest()).digest()[:4] == checksum,
        "an xpub's checksum fits",
    )
    return body


def key_and_chain_code(xpub: str) -> tuple[bytes, bytes]:
    """The key (33 bytes) and chain code of a master key's xpub: version 0488b21e, then nine zeros."""
    body = base58check(xpub)
    claim(body[:13] == bytes.fromhex("0488b21e") + bytes(9), "an xpub's header is that of a master key")
    return body[45:], body[13:45]


class Demo:
    """What the lines so far have claimed, each checked against the ones before it."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()
        self.weights: dict[str, dict[str, int]] = {}  # by the vault's Ed25519 key, in hex
        self.signed: dict[str, list[Line]] = {}  # by operation
        self.nonces: set[str] = set()
        self.seen: set[str] = set()

    def read(self, line: Line) -> None:
        step = line["step"]
        claim("done" not in self.seen, "nothing follows done")
        match step:
            case "start":
                self.start(line)
            case "vault.create":
                self.create(line)
            case "sign":
                self.sign(line)
            case "batch-sign":
                messages = [signature["message_hex"] for signature in self.signed.get(line["operation"], [])]
                claim(messages == line["messages_hex"], "a batch is signed whole and in order")
                claim(messages == BATCH, "the batch is the sample's")
            case "approval.approved" | "approval.rejected" | "approval.abstained" | "threshold.refused":
                self.votes(step, line)
            case "done":
                claim(line["signatures"] == len(self.nonces), "done counts the signatures")
            case _:
                raise ClaimError(f"{step!r} is not a step of the demo")
        self.seen.add(step)

    def start(self, line: Line) -> None:
        self.nodes = {node["id"] for node in line["nodes"]}
        claim(len(self.nodes) == len(line["nodes"]) == 3, "three nodes, three identities")
        pids = [line["approver"]["pid"], *(node["pid"] for node in line["nodes"])]
        claim(len(set(pids)) == 4, "three nodes and an approval server are four processes")

    def create(self, line: Line) -> None:
        weights = {signer["id"]: signer["weight"] for signer in line["signers"]}
        claim(set(weights) == self.nodes and len(line["signers"]) == 3, "the signers are the three nodes")
        claim(sorted(weights.values()) == WEIGHTS, "the weights are 2, 1 and 1")
        claim((line["threshold"], line["epoch"]) == (THRESHOLD, 0), "the threshold is 3 and the epoch 0")
        claim(line["vault"], "the vault has an id")
        secp, edwards = (bytes.fromhex(line["public_keys"][curve]) for curve in ("secp256k1", "ed25519"))
        claim(len(secp) == 33, "the secp256k1 key is compressed")
        try:
            EllipticCurvePublicKey.from_encoded_point(SECP256K1(), secp)
        except ValueError:
            raise ClaimError("the secp256k1 key is a point of its curve") from None
        claim(len(edwards) == 32, "the Ed25519 key has 32 bytes")
        codes = []
        for curve, key in (("secp256k1", secp), ("ed25519", b"\0" + edwards)):
            xpub_key, code = key_and_chain_code(line["xpubs"][curve])
            claim(xpub_key == key, f"the {curve} xpub holds the {curve} key")
            codes.append(code)
        claim(codes[0] != codes[1], "each curve has its own chain code")
        self.weights[edwards.hex()] = weights

    def sign(self, line: Line) -> None:
        claim(line["algorithm"] == "EDDSA", "the algorithm is EDDSA")
        weights = self.weights.get(line["public_key_hex"])
        if weights is None:
            raise ClaimError("a signature's key is the vault's")
        message, signature, key = (
            bytes.fromhex(line[f"{part}_hex"]) for part in ("message", "signature", "public_key")
        )
        try:
            VerifyKey(key).verify(message, signature)
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except (BadSignatureError, InvalidSignature, ValueError):
            raise ClaimError("libsodium and OpenSSL accept the signature") from None
        claim(len(set(line["signers"])) == len(line["signers"]), "no signer counts twice")
        claim(set(line["signers"]) <= set(weights), "the signers are members of the vault")
        claim(
            sum(weights[signer] for signer in line["signers"]) >= THRESHOLD, "the signers reach the threshold"
        )
        nonce = signature[:32].hex()
        claim(nonce not in self.nonces, "no nonce serves two signatures")
        self.nonces.add(nonce)
        self.signed.setdefault(line["operation"], []).append(line)

    def votes(self, step: str, line: Line) -> None:
        votes = {vote["id"]: (vote["weight"], vote["verdict"]) for vote in line["votes"]}
        claim(len(votes) == len(line["votes"]), "a node votes once")
        weights = {voter: weight for voter, (weight, _) in votes.items()}
        claim(weights in self.weights.values(), "the voters and their weights are the vault's")
        approving = [voter for voter, (_, verdict) in votes.items() if verdict == "approve"]
        approved = sum(weights[voter] for voter in approving)
        claim(line["approved_weight"] == approved, "the approved weight is that of the approving votes")
        claim(line["threshold"] == THRESHOLD, "the threshold is the vault's")
        signatures = self.signed.get(line["operation"], [])
        if signatures:
            claim(
                line["state"] == "COMPLETED" and approved >= THRESHOLD,
                "what is signed had approval of enough weight",
            )
        else:
            claim(line["state"] in UNSIGNED_STATES, "what is not signed ended without a signature")
        for signature in signatures:
            claim(set(signature["signers"]) <= set(approving), "only those who approved signed")
        if step == "threshold.refused":
            claim(sorted(weights[voter] for voter in approving) == [1, 1], "weight 1 + 1 approved")
        else:
            verdict = VERDICTS[step]
            claim(any(vote == verdict for _, vote in votes.values()), f"somebody voted {verdict}")
        if step in ("approval.rejected", "threshold.refused"):
            claim(approved < THRESHOLD and not signatures, "it is refused, and there is no signature")
        if step == "approval.approved":
            claim(signatures, "the approved operation is signed")

    def finish(self) -> None:
        missing = REQUIRED - self.seen
        claim(not missing, f"the demo shows every step; missing: {', '.join(sorted(missing))}")
        claim(
            any([line["message_hex"] for line in lines] == [SINGLE] for lines in self.signed.values()),
            "the sample's data is signed by itself",
        )


def verify(lines: Iterable[str]) -> Demo:
    demo = Demo()
    number = 0
    for number, text in enumerate(lines, start=1):
        try:
            demo.read(json.loads(text))
        except ClaimError as broken:
            raise ClaimError(f"line {number}: {broken}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as malformed:
            raise ClaimError(f"line {number}: malformed ({type(malformed).__name__}: {malformed})") from None
    claim(number, "the demo says something")
    demo.finish()
    return demo


def main() -> int:
    try:
        demo = verify(sys.stdin)
    except ClaimError as broken:
        print(f"the demo's claims do not hold: {broken}", file=sys.stderr)
        return 1
    print(f"every claim holds: {len(demo.nonces)} signatures verified by libsodium and by OpenSSL")
    return 0


if __name__ == "__main__":
    sys.exit(main())
