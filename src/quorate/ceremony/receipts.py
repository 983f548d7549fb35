"""Receipts: what was signed, who approved it and by which rule, for anybody to check without a node.

docs/spec/receipts.md (RC). All that a receipt says follows from the evidence in it, so it is checked by writing it once
more from the evidence alone, and comparing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from quorate.ceremony.context import Context
from quorate.ceremony.evidence import Anchor, Evidence, Proven, bad, prove
from quorate.ceremony.journal import operation_of, verdicts
from quorate.ceremony.ports import OperationRow, State
from quorate.ceremony.procedures.signing import Signatures
from quorate.ceremony.statements import Seal, hear, printable, state
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, VaultId
from quorate.operations.digests import signing_digest
from quorate.operations.effect_json import action_json
from quorate.operations.kinds import Algorithm, Signature, SignTransaction
from quorate.operations.request_json import timestamp
from quorate.operations.signatures import split
from quorate.operations.transactions.evm import transaction_id
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.wire.codec import decode

Json = dict[str, Any]

TYPE = "quorate/v1/receipt"
LARGEST = 64 << 20  # characters
LONGEST_CONTENT = 4096  # characters of a message as the caller wrote it
MAX_NAME = 100
NO_ANCHOR = Anchor()


# --- making one ---------------------------------------------------------------------------------------------------


def issue(context: Context, row: OperationRow) -> str:
    """The receipt of a completed signing operation, as JSON. ``UsageError`` NO_RECEIPT where there is none, or where
    this node does not hold the votes. Blocking."""
    operation = operation_of(context, row)
    request = operation.request
    if row.state is not State.COMPLETED or not isinstance(request, Signature):
        raise _none(f"operation {row.id} ({row.kind}, {row.state}) is no signature that was made")
    vault = context.vaults.held(VaultId(request.vault), request.certificate)
    if vault is None or not vault.row.certificate:
        raise _none(f"the certificate that operation {row.id} was signed under is not held here")
    said, record = verdicts(context, operation), vault.record
    approving = (place for place in record.roster if said.get(DeviceId(place.device)) == "approve")
    if sum(place.weight for place in approving) < record.threshold:
        raise _none(
            f"too few votes on operation {row.id} are here: ask {context.name_of(row.proposer)}, or a signer"
        )
    evidence = Evidence(
        proposal=row.proposal,
        certificate=vault.row.certificate,
        trial=vault.row.trial,
        votes=tuple(signed for _, signed in sorted(context.ledger.votes(row.id).items())),
        signatures=decode(Signatures, row.result).signatures,
    )
    names = {
        place.device: printable(context.name_of(DeviceId(place.device)), MAX_NAME) for place in record.roster
    }
    document = _document(prove(evidence, NO_ANCHOR), evidence, {"id": context.me, "names": names})
    seal = state(context.identity, Seal(document=_hash(document)))
    return json.dumps({**document, "seal": _base64(seal)}, indent=2)


def _none(why: str) -> UsageError:
    return UsageError(why, code="NO_RECEIPT")


# --- what it says -------------------------------------------------------------------------------------------------


def _document(proven: Proven, evidence: Evidence, issuer: Json) -> Json:
    operation, request, record = proven.operation, proven.request, proven.record
    return {
        "type": TYPE,
        "operation": {
            "id": operation.id,
            "digest": operation.digest.hex(),
            "kind": operation.kind.value,
            "proposer": operation.proposer,
            "client": operation.client,
            "created": timestamp(operation.created_ms),
            "expires": timestamp(operation.expires_ms),
        },
        "vault": {
            "id": record.vault,
            "epoch": record.epoch,
            "certificate": record.hash.hex(),
            "keys_know_certificate": proven.tried,
            "threshold": record.threshold,
            "signers": [
                {"id": place.device, "identity_key": place.identity_key.hex(), "weight": place.weight}
                for place in record.roster
            ],
            "public_keys": {str(key.curve): key.public_key.hex() for key in record.keys},
        },
        "signed": {
            "algorithm": request.signing.algorithm.value,
            "path": request.signing.derivation_path,
            "public_key": proven.key.public_key.hex(),
            "memo": request.memo if isinstance(request, SignTransaction) else "",
            "messages": _messages(proven),
        },
        "votes": [
            {
                "id": voter,
                "verdict": vote.verdict,
                "approver": vote.approver,
                "rule": vote.rule,
                "at": timestamp(vote.at_ms),
            }
            for voter, vote in proven.votes.items()
        ],
        "approved_weight": proven.approved_weight,
        "issuer": issuer,
        "evidence": {
            "proposal": _base64(evidence.proposal),
            "certificate": _base64(evidence.certificate),
            "trial": _base64(evidence.trial),
            "votes": [_base64(vote) for vote in evidence.votes],
            "signatures": [_base64(signature) for signature in evidence.signatures],
        },
    }


def _messages(proven: Proven) -> list[Json]:
    signing = proven.request.signing
    said: list[Json] = []
    for number, (message, signature) in enumerate(zip(proven.messages, proven.signatures, strict=True)):
        compact, recovery_id = split(signature)
        about: Json = {
            "content_type": signing.content_type,
            "content": signing.data[number][:LONGEST_CONTENT],
            "size": len(message),
            "digest": _digest(signing.algorithm, message),
            "does": [action_json(action) for action in proven.actions if action.message == number],
            "signature": compact.hex(),
        }
        if recovery_id is not None:
            about["recovery_id"] = recovery_id
        if transaction := proven.transaction(signature):
            about["transaction"] = f"0x{transaction_id(transaction).hex()}"
            about["raw_transaction"] = f"0x{transaction.hex()}"
        said.append(about)
    return said


def _digest(algorithm: Algorithm, message: bytes) -> str:
    """What ECDSA signs; of EDDSA, which signs the message itself, its SHA-256."""
    if algorithm is Algorithm.EDDSA:
        return hashlib.sha256(message).hexdigest()
    return signing_digest(algorithm, message).hex()


# --- checking one -------------------------------------------------------------------------------------------------


def verify(text: str, anchor: Anchor) -> Json:
    """The receipt, if all of it is so. ``UsageError`` BAD_RECEIPT names the first rule that does not hold, and what in
    the receipt is not as it should be."""
    stated = _read(text)
    evidence, issuer, seal = _evidence(stated), _issuer(stated), _bytes(stated, "seal")
    proven = prove(evidence, anchor)
    document = _document(proven, evidence, issuer)
    without_seal = {name: value for name, value in stated.items() if name != "seal"}
    if place := _difference(document, without_seal, ""):
        raise bad(f"RC-1.10 summary: {place} is not what the evidence gives")
    try:
        device, sealed = hear(Seal, seal, proven.record.signers.get)
    except UsageError as error:
        raise bad(f"RC-1.11 seal: {error}") from None
    if device != issuer["id"] or sealed.document != _hash(document):
        raise bad(
            "RC-1.11 seal: this is not what was issued: issuer, names or the list of votes were changed"
        )
    return stated


def _read(text: str) -> Json:
    def once(pairs: Sequence[tuple[str, Any]]) -> Json:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            raise ValueError("an object has a member twice")
        return fields

    def refuse(number: str) -> NoReturn:
        raise ValueError(f"{number[:20]} is no whole number")

    try:
        if len(text) > LARGEST:
            raise ValueError(f"it has over {LARGEST >> 20} MiB")
        stated = json.loads(text, object_pairs_hook=once, parse_float=refuse, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise bad(f"RC-1.1 form: no JSON of a receipt: {error}") from None
    if not isinstance(stated, dict) or stated.get("type") != TYPE:
        raise bad(f"RC-1.1 form: type is not {TYPE}")
    return stated


def _evidence(stated: Json) -> Evidence:
    shown = stated.get("evidence")
    if not isinstance(shown, dict):
        raise bad("RC-1.1 form: there is no evidence")
    return Evidence(
        proposal=_bytes(shown, "proposal"), certificate=_bytes(shown, "certificate"), trial=_bytes(shown, "trial"),
        votes=_list(shown, "votes"), signatures=_list(shown, "signatures"),
    )  # fmt: skip


def _issuer(stated: Json) -> Json:
    """Who issued it, and what it calls the devices: text for people's terminals, so it prints."""
    issuer = stated.get("issuer")
    names = issuer.get("names") if isinstance(issuer, dict) else None
    if not isinstance(issuer, dict) or issuer.keys() != {"id", "names"} or not isinstance(names, dict):
        raise bad("RC-1.1 form: issuer has an id and names")
    texts = [issuer["id"], *names.values(), *names]
    if not all(isinstance(each, str) and each.isprintable() for each in texts):
        raise bad("RC-1.1 form: issuer: a name is text that prints")
    return issuer


def _bytes(shown: Mapping[str, Any], name: str) -> bytes:
    return _decoded(shown.get(name), name)


def _list(shown: Mapping[str, Any], name: str) -> tuple[bytes, ...]:
    items = shown.get(name)
    if not isinstance(items, list):
        raise bad(f"RC-1.1 form: {name} is a list")
    return tuple(_decoded(item, name) for item in items)


def _decoded(text: object, name: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        decoded = None
    if decoded is None or _base64(decoded) != text:
        raise bad(f"RC-1.1 form: {name} is base64")
    return decoded


def _difference(right: object, stated: object, place: str) -> str:
    """Where in a document something else stands first; empty if nowhere. 1 is not true, here."""
    if type(right) is not type(stated):
        return place or "it"
    if isinstance(right, dict) and isinstance(stated, dict):
        for name in [*right, *(each for each in stated if each not in right)]:
            at = f"{place}.{name[:40]}" if place else name[:40]
            if name not in right or name not in stated:
                return at
            if found := _difference(right[name], stated[name], at):
                return found
        return ""
    if isinstance(right, list) and isinstance(stated, list):
        for number, (one, other) in enumerate(zip(right, stated, strict=False)):
            if found := _difference(one, other, f"{place}[{number}]"):
                return found
        return "" if len(right) == len(stated) else place
    return "" if right == stated else place


def _hash(document: Json) -> bytes:
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return digest(Domain.RECEIPT, canonical.encode())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
