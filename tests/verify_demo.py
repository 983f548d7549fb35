"""Check everything `quorate demo --json` claims, without importing a line of quorate.

    quorate demo --json | python tests/verify_demo.py

One JSON object per line, in the order things happened. `id` is a device id; unknown fields are left alone.

start               nodes [{id, name, pid}], approver {pid}
vault.create        vault, epoch, threshold, signers [{id, weight}], public_keys {secp256k1: compressed hex,
                    ed25519: hex}, xpubs {secp256k1, ed25519}
vault.reshare       the same of a vault whose signers change: one joins with weight 2, one leaves, the threshold rises
                    from 3 to 4, the keys stay; and state, votes [{id, weight, verdict}] of old and new signers
sign                one line per signature, those of a batch too: operation, vault, algorithm "EDDSA", "ES256K" or
                    "ESKEC256", path, message_hex, signature_hex, public_key_hex, recovery_id (ECDSA), signers [id]

and one line for each operation the demo shows off, after its signatures if it has any, with operation, vault,
messages_hex [what was signed, in the order asked for], state, votes [{id, weight, verdict: approve | reject |
abstain | ""}], approved_weight and threshold:

approval.approved   approvals that led to a signature
batch-sign          several signatures in one operation
ecdsa               an ECDSA signature by a vault's own key
derived             an ECDSA signature by a key derived from the vault's
ethereum            a transaction: chain_id, from, to, value_wei, transaction (its hash), raw_transaction; the message
                    that was signed is its unsigned form
receipt             of the payment in `ethereum`: receipt, as `quorate receipt show --json` has it; each vote in it is
                    verified under the voter's device key by docs/spec/wire.md and ceremony.md alone
policy.rejected     a transfer over a policy's limit: rule (its name), explanation (which has it), limit_wei,
                    unsigned_transaction; the transaction of `ethereum` is below the limit
reshared            a signature by the new signers of a vault, one with each of EDDSA and ES256K
approval.abstained  an abstention; the others sign without that node if their weight is enough
approval.rejected   a rejection that ended the operation
threshold.refused   approvals of weight 1 + 1 only, and so no signature

done                signatures: how many `sign` lines there were

Exits 0 and prints a summary, or 1 naming the line and the claim that does not hold.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import coincurve
import ecdsa
import msgspec
import rlp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

WEIGHTS, AFTER, THRESHOLDS = [1, 1, 2], [1, 2, 2], {3, 4}
SINGLE = b"Some data to be signed here".hex()
BATCH = ["68656c6c6f", "676f6f64627965"]
SEPOLIA = 11155111
VERDICTS = {
    "approval.approved": "approve",
    "approval.rejected": "reject",
    "policy.rejected": "reject",
    "approval.abstained": "abstain",
}
SIGNED = {"approval.approved", "approval.abstained", "batch-sign", "ecdsa", "derived", "ethereum", "reshared"}
REFUSED = {"approval.rejected", "policy.rejected", "threshold.refused"}
REQUIRED = {"start", "vault.create", "vault.reshare", "sign", "receipt", "done", *SIGNED, *REFUSED}
UNSIGNED_STATES = {"REJECTED", "EXPIRED", "FAILED", "CANCELLED"}
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ORDER = ecdsa.SECP256k1.order

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


@dataclass(frozen=True)
class Vault:
    weights: dict[str, int]
    threshold: int
    secp256k1: bytes
    ed25519: bytes
    chain_code: bytes  # of the secp256k1 key

    def secp256k1_at(self, path: str) -> bytes:
        """BIP-32's CKDpub, step by step."""
        key, code = self.secp256k1, self.chain_code
        first, *steps = path.split("/")
        claim(first == "m" and steps, "a derivation path is m and steps")
        for step in steps:
            claim(step.isdecimal() and int(step) < 1 << 31, "a step of a path is a number below 2^31")
            expanded = hmac.digest(code, key + int(step).to_bytes(4, "big"), "sha512")
            key, code = coincurve.PublicKey(key).add(expanded[:32]).format(), expanded[32:]
        return key


def check_ed25519(key: bytes, message: bytes, signature: bytes) -> None:
    try:
        VerifyKey(key).verify(message, signature)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (BadSignatureError, InvalidSignature, ValueError):
        raise ClaimError("libsodium and OpenSSL accept the signature") from None


def check_ecdsa(key: bytes, digest: bytes, signature: bytes, recovery_id: int) -> None:
    """r and s, by libsecp256k1 (coincurve), OpenSSL and plain Python (ecdsa), and by recovery of the key."""
    claim(len(signature) == 64, "an ECDSA signature is r and s, 32 bytes each")
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    claim(s <= ORDER // 2, "s is the lower of the two")
    claim(recovery_id in (0, 1), "the recovery id is the parity of y")
    try:
        der = encode_dss_signature(r, s)
        claim(coincurve.PublicKey(key).verify(der, digest, hasher=None), "libsecp256k1 accepts the signature")
        point = EllipticCurvePublicKey.from_encoded_point(SECP256K1(), key)
        point.verify(der, digest, ECDSA(Prehashed(SHA256())))
        ecdsa.VerifyingKey.from_string(key, ecdsa.SECP256k1).verify_digest(signature, digest)
    except (InvalidSignature, ecdsa.BadSignatureError):
        raise ClaimError("OpenSSL and ecdsa accept the signature") from None
    except ValueError:
        raise ClaimError("r and s are numbers of a signature") from None
    recovered = coincurve.PublicKey.from_signature_and_message(
        signature + bytes([recovery_id]), digest, hasher=None
    )
    claim(recovered.format() == key, "the key is recovered from the signature and its recovery id")


def transcript(tag: str, *fields: str | bytes) -> bytes:
    """H of docs/spec/wire.md, of texts and bytes."""

    def encoded(field: str | bytes) -> bytes:
        data, mark = (field.encode(), b"s") if isinstance(field, str) else (field, b"b")
        return mark + len(data).to_bytes(8, "big") + data

    items = (tag, *fields)
    whole = b"l" + len(items).to_bytes(8, "big") + b"".join(map(encoded, items))
    return hashlib.blake2b(whole, digest_size=32).digest()


def signed_vote(statement: bytes, keys: dict[str, bytes]) -> tuple[str, list[Any]]:
    """Who signed a vote, and its fields in order, by docs/spec/ceremony.md."""
    voter, body, signature = msgspec.msgpack.decode(statement)
    claim(voter in keys, "a vote is a signer's of the vault")
    check_ed25519(keys[voter], transcript("quorate/v1/statement", "vote", voter, body), signature)
    return voter, msgspec.msgpack.decode(body)


class Demo:
    """What the lines so far have claimed, each checked against the ones before it."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()
        self.vaults: dict[str, Vault] = {}
        self.signed: dict[str, list[Line]] = {}  # by operation
        self.nonces: set[str] = set()
        self.seen: set[str] = set()
        self.thresholds: set[int] = set()  # of vaults as they were created
        self.reshared: set[str] = set()  # vaults
        self.since: set[str] = set()  # algorithms that signed after it
        self.limit = 0  # wei, of a policy
        self.payment: Line = {}
        self.by_ecdsa: set[int] = set()  # how many signers made a signature under a vault's own key

    def read(self, line: Line) -> None:
        step = line["step"]
        claim("done" not in self.seen, "nothing follows done")
        match step:
            case "start":
                self.start(line)
            case "vault.create":
                self.create(line)
            case "vault.reshare":
                self.reshare(line)
            case "sign":
                self.sign(line)
            case "receipt":
                self.receipt(line)
            case "done":
                claim(line["signatures"] == len(self.nonces), "done counts the signatures")
            case _ if step in SIGNED | REFUSED:
                self.operation(step, line)
            case _:
                raise ClaimError(f"{step!r} is not a step of the demo")
        self.seen.add(step)

    def start(self, line: Line) -> None:
        self.nodes = {node["id"] for node in line["nodes"]}
        claim(len(self.nodes) == len(line["nodes"]) == 4, "four nodes, four identities")
        pids = [line["approver"]["pid"], *(node["pid"] for node in line["nodes"])]
        claim(len(set(pids)) == 5, "four nodes and an approval server are five processes")

    def create(self, line: Line) -> None:
        weights = {signer["id"]: signer["weight"] for signer in line["signers"]}
        claim(
            set(weights) < self.nodes and len(line["signers"]) == len(weights) == 3,
            "the signers are three of the nodes",
        )
        claim(sorted(weights.values()) == WEIGHTS, "the weights are 2, 1 and 1")
        claim(line["threshold"] in THRESHOLDS, "the threshold is 3, or 4 where everybody is to sign")
        claim(line["epoch"] == 0, "the epoch is 0")
        claim(line["vault"] and line["vault"] not in self.vaults, "each vault has an id of its own")
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
        keys = {key for vault in self.vaults.values() for key in (vault.secp256k1, vault.ed25519)}
        claim(keys.isdisjoint((secp, edwards)), "no two vaults share a key")
        self.vaults[line["vault"]] = Vault(weights, line["threshold"], secp, edwards, codes[0])
        self.thresholds.add(line["threshold"])

    def reshare(self, line: Line) -> None:
        claim(line["vault"] in self.vaults, "what is reshared is a vault that was created")
        claim(line["vault"] not in self.reshared and line["epoch"] == 1, "the epoch is 1")
        before = self.vaults[line["vault"]]
        keys = {curve: bytes.fromhex(key) for curve, key in line["public_keys"].items()}
        claim(keys == {"secp256k1": before.secp256k1, "ed25519": before.ed25519}, "the public keys stay")
        key, code = key_and_chain_code(line["xpubs"]["secp256k1"])
        claim((key, code) == (before.secp256k1, before.chain_code), "the chain code stays")
        weights = {signer["id"]: signer["weight"] for signer in line["signers"]}
        joined, left = set(weights) - set(before.weights), set(before.weights) - set(weights)
        claim(len(joined) == len(left) == 1 and joined < self.nodes, "one node joins and one leaves")
        claim([weights[node] for node in joined] == [2], "who joins has weight 2")
        claim(sorted(weights.values()) == AFTER, "the weights are 2, 1 and 2")
        claim((before.threshold, line["threshold"]) == (3, 4), "the threshold rises from 3 to 4")
        verdicts = {vote["id"]: vote["verdict"] for vote in line["votes"]}
        claim(set(verdicts) == set(weights) | set(before.weights), "old and new signers vote")
        claim(all(verdicts[node] == "approve" for node in weights), "every new signer approved")
        approved = sum(weight for node, weight in before.weights.items() if verdicts[node] == "approve")
        claim(approved >= 3, "old weight of more than half approved")
        claim(line["state"] == "COMPLETED", "the reshare was completed")
        self.vaults[line["vault"]] = Vault(
            weights, line["threshold"], before.secp256k1, before.ed25519, before.chain_code
        )
        self.reshared.add(line["vault"])

    def sign(self, line: Line) -> None:
        claim(line["vault"] in self.vaults, "a signature is by a vault that was created")
        vault, algorithm, path = self.vaults[line["vault"]], line["algorithm"], line["path"]
        message, signature, key = (
            bytes.fromhex(line[f"{part}_hex"]) for part in ("message", "signature", "public_key")
        )
        if algorithm == "EDDSA":
            claim(path == "" and key == vault.ed25519, "the key is the vault's Ed25519 key")
            claim("recovery_id" not in line, "an Ed25519 signature has no recovery id")
            check_ed25519(key, message, signature)
        else:
            claim(algorithm in ("ES256K", "ESKEC256"), "the algorithm is EDDSA, ES256K or ESKEC256")
            own = vault.secp256k1_at(path) if path else vault.secp256k1
            claim(key == own, "the key is the vault's secp256k1 key, or the one at the path below it")
            digest = hashlib.sha256(message).digest() if algorithm == "ES256K" else keccak(message)
            check_ecdsa(key, digest, signature, line["recovery_id"])
        claim(len(set(line["signers"])) == len(line["signers"]), "no signer counts twice")
        claim(set(line["signers"]) <= set(vault.weights), "the signers are members of the vault")
        weight = sum(vault.weights[signer] for signer in line["signers"])
        claim(weight >= vault.threshold, "the signers reach the threshold")
        nonce = signature[:32].hex()
        claim(nonce not in self.nonces, "no nonce serves two signatures")
        self.nonces.add(nonce)
        self.signed.setdefault(line["operation"], []).append(line)

    def operation(self, step: str, line: Line) -> None:
        signatures = self.signed.get(line["operation"], [])
        claim(
            [signature["message_hex"] for signature in signatures] == line["messages_hex"],
            "what is asked for is signed whole and in order",
        )
        claim(all(signature["vault"] == line["vault"] for signature in signatures), "it is by one vault")
        self.votes(step, line, signatures)
        match step:
            case "batch-sign":
                claim(line["messages_hex"] == BATCH, "the batch is the sample's")
            case "approval.approved" | "approval.abstained":
                claim(signatures[0]["algorithm"] == "EDDSA", "the first signatures are EDDSA")
            case "ecdsa":
                [signature] = signatures
                claim(signature["algorithm"] == "ES256K", "it is signed by ES256K")
                claim(signature["path"] == "", "the vault's own key signs")
                self.by_ecdsa.add(len(signature["signers"]))
            case "reshared":
                [signature] = signatures
                claim(line["vault"] in self.reshared, "the vault's signers have changed")
                self.since.add(signature["algorithm"])
            case "derived":
                [signature] = signatures
                claim(signature["algorithm"] == "ES256K", "it is signed by ES256K")
                claim(signature["path"], "a derived key signs")
            case "ethereum":
                [signature] = signatures
                self.ethereum(line, signature)
            case "policy.rejected":
                self.over_the_limit(line)

    def votes(self, step: str, line: Line, signatures: list[Line]) -> None:
        votes = {vote["id"]: (vote["weight"], vote["verdict"]) for vote in line["votes"]}
        claim(len(votes) == len(line["votes"]), "a node votes once")
        weights = {voter: weight for voter, (weight, _) in votes.items()}
        claim(line["vault"] in self.vaults, "the vote is about a vault that was created")
        vault = self.vaults[line["vault"]]
        claim(weights == vault.weights, "the voters and their weights are the vault's")
        claim(line["threshold"] == vault.threshold, "the threshold is the vault's")
        approving = [voter for voter, (_, verdict) in votes.items() if verdict == "approve"]
        approved = sum(weights[voter] for voter in approving)
        claim(line["approved_weight"] == approved, "the approved weight is that of the approving votes")
        for signature in signatures:
            claim(set(signature["signers"]) <= set(approving), "only those who approved signed")
        if step in SIGNED:
            claim(signatures, "what was approved is signed")
            claim(
                line["state"] == "COMPLETED" and approved >= vault.threshold,
                "what is signed had approval of enough weight",
            )
        else:
            claim(approved < vault.threshold and not signatures, "it is refused, and there is no signature")
            claim(line["state"] in UNSIGNED_STATES, "what is not signed ended without a signature")
        if step == "threshold.refused":
            claim(sorted(weights[voter] for voter in approving) == [1, 1], "weight 1 + 1 approved")
        else:
            verdict = VERDICTS.get(step, "approve")
            claim(any(vote == verdict for _, vote in votes.values()), f"somebody voted {verdict}")

    def over_the_limit(self, line: Line) -> None:
        name = line["rule"].rpartition(": ")[2]
        claim(name and f'rule "{name}"' in line["explanation"], "the rule is named")
        wanted = HexBytes(line["unsigned_transaction"])
        claim(wanted[:1] == b"\x02", "the transaction is of type 2")
        chain, value = (int.from_bytes(rlp.decode(wanted[1:])[place], "big") for place in (0, 6))
        claim(chain == SEPOLIA, "the transaction is for Sepolia")
        claim(value > line["limit_wei"] > 0, "it pays more than the limit")
        self.limit = line["limit_wei"]

    def ethereum(self, line: Line, signature: Line) -> None:
        """The raw transaction, read by eth-account."""
        claim(signature["algorithm"] == "ESKEC256", "it is signed by ESKEC256")
        raw = HexBytes(line["raw_transaction"])
        claim(raw[:1] == b"\x02", "the transaction is of type 2")
        transaction = TypedTransaction.from_bytes(raw)
        fields = transaction.as_dict()
        claim(fields["chainId"] == line["chain_id"] == SEPOLIA, "the transaction is for Sepolia")
        claim(
            to_checksum_address(fields["to"]) == line["to"] and fields["value"] == line["value_wei"],
            "the transaction pays what and whom the line says",
        )
        claim(0 < fields["value"] <= self.limit, "the transaction is below the policy's limit")
        claim(
            bytes(transaction.hash()) == keccak(hexstr=signature["message_hex"]),
            "the message that was signed is the unsigned transaction",
        )
        r, s = (fields[number].to_bytes(32, "big").hex() for number in ("r", "s"))
        claim(
            r + s == signature["signature_hex"] and fields["v"] == signature["recovery_id"],
            "the transaction carries the signature",
        )
        key = coincurve.PublicKey(bytes.fromhex(signature["public_key_hex"])).format(compressed=False)
        sender = to_checksum_address(keccak(key[1:])[-20:])
        claim(line["from"] == sender, "the sender is the account of the key that signed")
        claim(Account.recover_transaction(raw) == sender, "eth-account finds that sender in the transaction")
        claim(line["transaction"] == "0x" + keccak(raw).hex(), "the transaction's hash is its Keccak-256")
        self.payment = line

    def receipt(self, line: Line) -> None:
        receipt, payment = line["receipt"], self.payment
        claim(payment and line["operation"] == payment["operation"], "the receipt is of the payment")
        claim(receipt["operation"]["id"] == payment["operation"], "the receipt says of what it is")
        vault, shown = self.vaults[line["vault"]], receipt["vault"]
        weights = {signer["id"]: signer["weight"] for signer in shown["signers"]}
        claim(
            (weights, shown["threshold"]) == (vault.weights, vault.threshold),
            "signers and threshold are the vault's",
        )
        claim(shown["public_keys"]["secp256k1"] == vault.secp256k1.hex(), "the key is the vault's")
        [message] = receipt["signed"]["messages"]
        claim(
            message["raw_transaction"] == payment["raw_transaction"],
            "the transaction is the one that was paid by",
        )
        [action] = message["does"]
        claim(
            (action["receiver"], action["amount"], action["source"])
            == (payment["to"], str(payment["value_wei"]), payment["from"]),
            "it says what the transaction does",
        )
        keys = {signer["id"]: bytes.fromhex(signer["identity_key"]) for signer in shown["signers"]}
        said = {vote["id"]: vote for vote in receipt["votes"]}
        proofs = [signed_vote(base64.b64decode(each), keys) for each in receipt["evidence"]["votes"]]
        claim(
            len(proofs) == len(said) == len(receipt["votes"]),
            "each vote in it is proved, and a node votes once",
        )
        for voter, (operation, digest, verdict, _, _, approver, rule) in proofs:
            claim(
                (operation, digest.hex()) == (payment["operation"], receipt["operation"]["digest"]),
                "it is on that",
            )
            vote = said[voter]
            claim(
                (vote["verdict"], vote["approver"], vote["rule"]) == (verdict, approver, rule),
                "it is what was signed",
            )
            claim(approver and rule, "a vote says who decided and by what rule")
        approved = sum(weights[voter] for voter, vote in said.items() if vote["verdict"] == "approve")
        claim(
            receipt["approved_weight"] == approved >= vault.threshold,
            "the approved weight reaches the threshold",
        )

    def finish(self) -> None:
        missing = REQUIRED - self.seen
        claim(not missing, f"the demo shows every step; missing: {', '.join(sorted(missing))}")
        claim(
            any([line["message_hex"] for line in lines] == [SINGLE] for lines in self.signed.values()),
            "the sample's data is signed by itself",
        )
        claim(self.thresholds == THRESHOLDS, "both thresholds are shown")
        claim(self.since == {"EDDSA", "ES256K"}, "after the reshare both keys sign")
        claim(self.by_ecdsa == {2, 3}, "two signers sign by ECDSA, and so do three")


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
    print(f"every claim holds: {len(demo.nonces)} signatures verified, each by two libraries or more")
    return 0


if __name__ == "__main__":
    sys.exit(main())
