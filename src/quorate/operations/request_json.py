"""The request as an approver reads it: keys, nesting and types of the documented dialect.

What each field means stands in docs/spec/approval.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from quorate.errors import Bug, UsageError
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations import payload
from quorate.operations.addresses import uncompressed
from quorate.operations.effect import Action
from quorate.operations.kinds import (
    TRANSACTIONS,
    Algorithm,
    BatchSign,
    CreateVault,
    Kind,
    Operation,
    PairReset,
    PolicyChange,
    Reshare,
    Signature,
    SigningData,
    SignTransaction,
    short_id,
)
from quorate.operations.transactions.purposes import asset_id
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.protocols.policy import policy_digest

Json = dict[str, Any]
Vote = Literal["", "approved", "rejected", "abstain"]

ETHEREUM = "ETH"  # the product's name for how a transaction of any EVM chain is made

_NO_PARTY: Mapping[str, Any] = MappingProxyType({"id": "", "threshold": 0})
_COSE_VALUES = {Algorithm.EDDSA: "-8", Algorithm.ES256K: "-47", Algorithm.ESKEC256: ""}
_CURVES = ((Curve.SECP256K1, "ECDSA", "Secp256k1"), (Curve.ED25519, "EDDSA", "Edwards"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerFacts:
    """A device in the roster, as its card names it, with what is known of its vote."""

    device: DeviceId
    uuid: str
    name: str
    client_record: str
    weight: int
    vote: Vote = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultFacts:
    """A vault as this node's own record has it."""

    id: VaultId
    name: str
    epoch: int
    threshold: int
    signers: tuple[SignerFacts, ...]
    xpubs: Mapping[Curve, str]
    public_keys: Mapping[Curve, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupFacts:
    """The newest pair set-up of the two as this node's own record has it."""

    generation: int
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFacts:
    """What a policy says, as this node reads it, and what it would change here: ``diff`` has an object for each rule,
    asset, book or setting that is added, removed or changed. ``serving``: what decides by now, ``signed``,
    ``bootstrap`` or ``none``."""

    default: str
    rules: tuple[str, ...]
    diff: tuple[Json, ...]
    serving: str


def route(kind: Kind) -> Literal["transaction", "reshare"]:
    """Which of an approver's two URLs a request of this kind goes to: what a vault is made of, or what it signs.
    A policy is of the first: it decides on all that is signed."""
    made_of = (Kind.CREATE_VAULT, Kind.PAIR_RESET, Kind.RESHARE, Kind.POLICY_CHANGE)
    return "reshare" if kind in made_of else "transaction"


def create_vault_json(operation: Operation, signers: Sequence[SignerFacts]) -> Json:
    """The request to create a vault; ``signers`` are the devices its roster names, in any order."""
    request = operation.request
    if not isinstance(request, CreateVault):
        raise Bug(f"{operation.kind} is not a vault creation")
    if sorted((s.device, s.weight) for s in signers) != sorted((m.device, m.weight) for m in request.members):
        raise Bug("the signers described are not the roster that is asked for")
    approved = [s for s in signers if s.vote == "approved"]
    created = timestamp(operation.created_ms)
    return {
        "__typename": "OperationCreateVault_v3",
        "id": operation.id,
        "organisationId": operation.organisation,
        "cDetails": {"status": "VOTING", "threshold": request.threshold},
        "voting": {
            "approvedWeight": sum(s.weight for s in approved),
            "progress": str(len(approved)),
            "threshold": len(signers),
            "votes": [_vote(s, algorithm="CLIENTRECORD") for s in signers],
        },
        "details": {
            "__typename": "OperationCreateVaultDetails",
            "expiresAt": timestamp(operation.expires_ms),
            "createdAt": created,
            "updatedAt": created,
            "status": "VOTING",
            "errorCode": "",
            "errorMessage": "",
            "vault": {
                "id": operation.id,
                "curves": [],
                "signers": [_joining(operation, s, clientRecord=s.client_record) for s in signers],
                "signingParty": dict(_NO_PARTY),
                "details": {
                    "id": operation.id,
                    "name": request.name,
                    "signers": [_joining(operation, s) for s in signers],
                    "threshold": request.threshold,
                    "reshareNonce": -1,
                    "curves": [],
                    "signingParty": dict(_NO_PARTY),
                },
            },
            "threshold": request.threshold,
            "memo": request.memo,
        },
    }


def sign_json(operation: Operation, vault: VaultFacts, *, actions: Sequence[Action] = ()) -> Json:
    """The request to sign one message, a batch or a transaction with a vault this node is a signer of. ``actions``:
    what this node reads that the transaction does."""
    request = operation.request
    if not isinstance(request, Signature):
        raise Bug(f"{operation.kind} is not a signature")
    if (vault.id, vault.epoch) != (request.vault, request.epoch):
        raise Bug("the vault described is not the one that is to sign")
    name, details = typenames(operation.kind)
    body: Json = {
        "__typename": name,
        "id": operation.id,
        "organisationId": operation.organisation,
        "details": {
            "__typename": details,
            "status": "VOTING",
            "expiresAt": timestamp(operation.expires_ms),
            "vault": {
                "id": vault.id,
                "signingParty": {"threshold": vault.threshold},
                "signers": [
                    {
                        "id": digest(Domain.SIGNER_ID, vault.id, s.device, size=16).hex(),
                        "weight": s.weight,
                        "signingParty": {"threshold": vault.threshold},
                        "device": {"id": s.device, "uuid": s.uuid},
                    }
                    for s in vault.signers
                ],
                "curves": [
                    {"algorithm": algorithm, "curve": name, "xpub": vault.xpubs[curve]}
                    for curve, algorithm, name in _CURVES
                ],
                "details": {"name": vault.name, "reshareNonce": vault.epoch, "threshold": vault.threshold},
            },
        },
        "voting": {"votes": [_vote(s) for s in vault.signers]},
        "signingData": _signing_data(request.signing, single=not isinstance(request, BatchSign)),
    }
    if isinstance(request, SignTransaction):
        body["signingData"] |= {"executionType": ETHEREUM}
        if request.signing.content_type == payload.SIGNING_INPUT:  # as published: the form says all of it
            body["signingData"] |= {"contentType": "", "coseAlgorithm": {"type": "", "value": ""}}
        body["tDetails"] = _transaction(actions, request)
    return body


def _transaction(actions: Sequence[Action], request: SignTransaction) -> Json:
    """What the transaction does, by the bytes that are signed; texts are empty and amounts null where that is not
    known."""
    main = actions[-1]
    return {
        "asset": {
            "id": asset_id(main.asset) if main.asset else "",
            "details": {"executionType": ETHEREUM},
        },
        "chain": main.chain or "",
        "actions": actions_json(actions),
        "feeLimit": None if actions[0].fee is None else str(actions[0].fee),
        "toVault": request.claim.vault,
        "memo": request.memo,
    }


def actions_json(actions: Sequence[Action]) -> list[Json]:
    """What a transaction does, one after the other."""
    return [
        {
            "source": action.source or "",
            "receiver": action.receiver or "",
            "asset": asset_id(action.asset) if action.asset else "",
            "symbol": action.asset.symbol if action.asset else "",
            "decimals": action.asset.decimals if action.asset else None,
            "amount": None if action.amount is None else str(action.amount),
            "method": action.method or "",
        }
        for action in actions
    ]


def typenames(kind: Kind) -> tuple[str, str]:
    """Of the operation and of its details."""
    if kind is Kind.SIGN:
        return "OperationSign", "SignRequestDetails"
    name = "Operation" + "".join(word.capitalize() for word in kind.value.split("-"))
    third = kind in TRANSACTIONS or kind in (Kind.CREATE_VAULT, Kind.RESHARE)
    return (f"{name}_v3" if third else name), f"{name}Details"


def pair_reset_json(operation: Operation, vault: VaultFacts, present: SetupFacts | None) -> Json:
    """The request to make another set-up between two signers of a vault. ``present``: what they have; None if they
    never had one. This operation is ours alone: the dialect has no sample of it."""
    request = operation.request
    if not isinstance(request, PairReset):
        raise Bug(f"{operation.kind} is not a pair reset")
    if (vault.id, vault.epoch) != (request.vault, request.epoch):
        raise Bug("the vault described is not the one that the pair is of")
    pair = [signer for signer in vault.signers if signer.device in request.pair]
    if len(pair) != len(request.pair):
        raise Bug("the pair is not of the vault described")
    created = timestamp(operation.created_ms)
    return {
        "__typename": "OperationPairReset",
        "id": operation.id,
        "organisationId": operation.organisation,
        "voting": {"threshold": len(pair), "votes": [_vote(signer) for signer in pair]},
        "details": {
            "__typename": "OperationPairResetDetails",
            "expiresAt": timestamp(operation.expires_ms),
            "createdAt": created,
            "status": "VOTING",
            "vault": {
                "id": vault.id,
                "details": {"name": vault.name, "reshareNonce": vault.epoch, "threshold": vault.threshold},
            },
            "pair": {
                "devices": [{"id": s.device, "uuid": s.uuid, "name": s.name} for s in pair],
                "generation": request.generation,
                "presentGeneration": present.generation if present else -1,
                "presentState": present.state if present else "",
            },
            "memo": request.memo,
        },
    }


def policy_change_json(operation: Operation, vault: VaultFacts, policy: PolicyFacts) -> Json:
    """The request to put another policy in force. ``vault`` is the one that governs. This operation is ours alone: the
    dialect has no sample of it."""
    request = operation.request
    if not isinstance(request, PolicyChange):
        raise Bug(f"{operation.kind} is not a policy change")
    if (vault.id, vault.epoch) != (request.vault, request.epoch):
        raise Bug("the vault described is not the one that is to sign the policy")
    approved = [signer for signer in vault.signers if signer.vote == "approved"]
    created = timestamp(operation.created_ms)
    return {
        "__typename": "OperationPolicyChange",
        "id": operation.id,
        "organisationId": operation.organisation,
        "voting": {
            "approvedWeight": sum(signer.weight for signer in approved),
            "progress": str(len(approved)),
            "threshold": vault.threshold,
            "votes": [_vote(signer) for signer in vault.signers],
        },
        "diff": list(policy.diff),
        "details": {
            "__typename": "OperationPolicyChangeDetails",
            "expiresAt": timestamp(operation.expires_ms),
            "createdAt": created,
            "status": "VOTING",
            "vault": {
                "id": vault.id,
                "details": {"name": vault.name, "reshareNonce": vault.epoch, "threshold": vault.threshold},
            },
            "policy": {
                "version": request.version,
                "digest": policy_digest(request.policy).hex(),
                "text": request.policy.decode(),
                "default": policy.default,
                "rules": list(policy.rules),
            },
            "previous": {
                "version": request.after,
                "digest": request.replaces.hex(),
                "serving": policy.serving,
            },
            "memo": request.memo,
        },
    }


def reshare_json(
    operation: Operation, vault: VaultFacts, proposed: Sequence[SignerFacts], *, joining: bool
) -> Json:
    """The request to give a vault's keys to a new roster. ``vault`` is as it is now, ``proposed`` the signers as they
    are to be. ``joining``: this node has no record of the vault but the one it was shown, by which it is bound from
    then on, so its approver reads which one."""
    request = operation.request
    if not isinstance(request, Reshare):
        raise Bug(f"{operation.kind} is not a reshare")
    if (vault.id, vault.epoch, vault.name) != (request.vault, request.epoch, request.name):
        raise Bug("the vault described is not the one that is to be reshared")
    if sorted((s.device, s.weight) for s in proposed) != sorted(
        (m.device, m.weight) for m in request.members
    ):
        raise Bug("the signers described are not the roster that is asked for")
    present = {signer.device for signer in vault.signers}
    voters = (*vault.signers, *(signer for signer in proposed if signer.device not in present))
    approved = [signer for signer in voters if signer.vote == "approved"]
    created = timestamp(operation.created_ms)
    weights = {signer.device: signer.weight for signer in proposed}
    return {
        "__typename": "OperationReshare_v3",
        "id": operation.id,
        "organisationId": operation.organisation,
        "rDetails": {"newThreshold": request.threshold, "previousThreshold": vault.threshold},
        "voting": {
            "approvedWeight": sum(signer.weight for signer in approved if signer.device in present),
            "progress": str(len(approved)),
            "threshold": len(voters),
            "votes": [
                _vote(replace(s, weight=weights.get(s.device, s.weight)), algorithm="CLIENTRECORD")
                for s in sorted(voters, key=lambda signer: signer.device)
            ],
        },
        "diff": reshare_diff(vault, request.threshold, proposed),
        **({"previousCertificate": request.certificate.hex()} if joining else {}),
        "details": {
            "__typename": "OperationReshareDetails",
            "expiresAt": timestamp(operation.expires_ms),
            "createdAt": created,
            "updatedAt": created,
            "status": "VOTING",
            "errorCode": "",
            "errorMessage": "",
            "vault": {
                "id": vault.id,
                "curves": _curves(vault),
                "signers": [_present(vault, s, clientRecord=s.client_record) for s in vault.signers],
                "signingParty": _party(vault),
                "details": {
                    "id": vault.id,
                    "name": vault.name,
                    "signers": [_present(vault, signer) for signer in vault.signers],
                    "threshold": vault.threshold,
                    "reshareNonce": vault.epoch,
                    "curves": _curves(vault),
                    "signingParty": _party(vault),
                },
            },
            "memo": request.memo,
        },
    }


def reshare_diff(vault: VaultFacts, threshold: int, proposed: Sequence[SignerFacts]) -> list[Json]:
    """What changes: the threshold, then the devices in order of id. Empty for a refresh."""
    diff: list[Json] = []
    if threshold != vault.threshold:
        thresholds = {"originalThreshold": vault.threshold, "newThreshold": threshold}
        diff.append({"__typename": "ReshareDiffThreshold", **thresholds})
    before = {signer.device: signer for signer in vault.signers}
    after = {signer.device: signer for signer in proposed}
    for device in sorted(before.keys() | after.keys()):
        old, new = before.get(device), after.get(device)
        if old is None and new is not None:
            diff.append({**_changed("DeviceAdded", new), "newWeight": new.weight})
        elif old is not None and new is None:
            diff.append({**_changed("DeviceRemoved", old), "originalWeight": old.weight})
        elif old is not None and new is not None and old.weight != new.weight:
            weights = {"newWeight": new.weight, "originalWeight": old.weight}
            diff.append({**_changed("DevicePowerChanged", new), **weights})
    return diff


def _changed(what: str, signer: SignerFacts) -> Json:
    field = what[0].lower() + what[1:]
    device = {"id": signer.device, "uuid": signer.uuid, "clientRecord": signer.client_record}
    return {"__typename": f"ReshareDiff{what}", field: device}


def _curves(vault: VaultFacts) -> list[Json]:
    return [
        {
            "algorithm": algorithm,
            "curve": name,
            "id": digest(Domain.CURVE_ID, vault.id, curve.value, size=16).hex(),
            "publicKey": _public_key(curve, vault.public_keys[curve]),
            "xpub": vault.xpubs[curve],
        }
        for curve, algorithm, name in _CURVES
    ]


def _public_key(curve: Curve, key: bytes) -> str:
    """ECDSA keys uncompressed, 04..., as the dialect has them."""
    return (uncompressed(key) if curve is Curve.SECP256K1 else key).hex()


def _party(vault: VaultFacts) -> Json:
    """The signers of one epoch as a whole."""
    return {
        "id": digest(Domain.PARTY_ID, vault.id, vault.epoch, size=16).hex(),
        "threshold": vault.threshold,
    }


def _present(vault: VaultFacts, signer: SignerFacts, **record: str) -> Json:
    """A signer of a vault that is there."""
    return {
        "id": digest(Domain.SIGNER_ID, vault.id, signer.device, size=16).hex(),
        "device": {
            "id": signer.device,
            "uuid": signer.uuid,
            "name": signer.name,
            "theType": "VirtualSigner",
            **record,
        },
        "signingParty": _party(vault),
        "weight": signer.weight,
    }


def timestamp(unix_ms: int) -> str:
    """RFC 3339 in UTC with milliseconds; ``UsageError`` past the year 9999."""
    seconds, millis = divmod(unix_ms, 1000)
    try:
        moment = datetime.fromtimestamp(seconds, tz=UTC)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"{unix_ms} ms is past the year 9999", code="INVALID_TIME") from None
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"


def _vote(signer: SignerFacts, **algorithm: str) -> Json:
    device = {"id": signer.device, "uuid": signer.uuid, **algorithm, "clientRecord": signer.client_record}
    return {"device": device, "vote": signer.vote, "weight": signer.weight}


def _joining(operation: Operation, signer: SignerFacts, **record: str) -> Json:
    """A signer of a vault yet to be made: its id comes from the operation, its signing party is empty."""
    return {
        "id": short_id(digest(Domain.SIGNER_ID, operation.id, signer.device)),
        "device": {
            "id": signer.device,
            "uuid": signer.uuid,
            "name": signer.name,
            "theType": "VirtualSigner",
            **record,
        },
        "signingParty": dict(_NO_PARTY),
        "weight": signer.weight,
    }


def _signing_data(signing: SigningData, *, single: bool) -> Json:
    return {
        "data": signing.data[0] if single else "",
        "batchData": None if single else list(signing.data),
        "derivationPath": signing.derivation_path,
        "chainId": 0,
        "coseAlgorithm": {"type": signing.algorithm.value, "value": _COSE_VALUES[signing.algorithm]},
        "contentType": signing.content_type,
        "executionType": "",
        "signature": "",
        "batchSignature": None,
    }
