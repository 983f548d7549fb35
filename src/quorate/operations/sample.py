"""One request of each kind that is nobody's: for trying whether an approver answers as it should.

A sample reads like a real request and is none. Its id begins with ``MARK``, 90 bits of an operation id that no
operation's hash will have, and its digest is under a domain of its own, so that no vote and no session can bind
what was answered to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, assert_never

from quorate.curves import group_of
from quorate.identifiers import Curve, DeviceId, OperationId, VaultId
from quorate.operations.derivation import xpub
from quorate.operations.effect import Effect
from quorate.operations.kinds import (
    Algorithm,
    BatchSign,
    CreateVault,
    Kind,
    Member,
    Operation,
    PairReset,
    Request,
    Sign,
    SigningData,
    short_id,
)
from quorate.operations.reading import effect_of
from quorate.operations.request_json import (
    Json,
    SignerFacts,
    VaultFacts,
    create_vault_json,
    pair_reset_json,
    route,
    sign_json,
)
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest

MARK = "samplesamplesample"
NAME = "sample"
TEXT = "A sample, sent to try the approver. Nothing is signed or made, whatever the answer."
LIFE_MS = 60_000
_VAULT = VaultId("sample" * 4)
_OTHER = DeviceId("sample" * 4)
_WEIGHT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """``id`` stands in the body where a request has its operation's."""

    kind: Kind
    id: OperationId
    digest: bytes
    route: Literal["transaction", "reshare"]
    body: Json
    expires_ms: int
    effect: Effect


def sample(kind: Kind, signer: SignerFacts, identity_key: bytes, *, now_ms: int, salt: bytes) -> Sample:
    """A request of this kind by and for one device, and for another that does not exist where it takes two. ``salt``
    makes it another one each time."""
    operation = Operation(
        request=_request(kind, signer, identity_key),
        proposer=signer.device,
        client=NAME,
        idempotency_key=salt.hex(),
        organisation=NAME,
        created_ms=now_ms,
        expires_ms=now_ms + LIFE_MS,
    )
    marked = OperationId(MARK + short_id(digest(Domain.SAMPLE, operation.id))[len(MARK) :])
    if isinstance(operation.request, CreateVault):
        body = create_vault_json(operation, (signer,))
    elif isinstance(operation.request, PairReset):
        body = pair_reset_json(operation, _vault(signer, replace(signer, device=_OTHER, name=NAME)), None)
    else:
        body = sign_json(operation, _vault(signer))
    return Sample(
        kind=kind,
        id=marked,
        digest=digest(Domain.SAMPLE, operation.digest),
        route=route(kind),
        body=_with_id(body, operation.id, marked),
        expires_ms=operation.expires_ms,
        effect=effect_of(operation),
    )


def _request(kind: Kind, signer: SignerFacts, identity_key: bytes) -> Request:
    match kind:
        case Kind.CREATE_VAULT:
            member = Member(device=signer.device, identity_key=identity_key, weight=signer.weight)
            return CreateVault(
                name=NAME, members=(member,), threshold=_WEIGHT, allow_sole_signer=True, memo=TEXT
            )
        case Kind.SIGN:
            return Sign(vault=_VAULT, epoch=0, certificate=bytes(32), signing=_signing(TEXT))
        case Kind.BATCH_SIGN:
            return BatchSign(vault=_VAULT, epoch=0, certificate=bytes(32), signing=_signing(TEXT, TEXT))
        case Kind.PAIR_RESET:
            low, high = sorted((signer.device, _OTHER))
            return PairReset(
                vault=_VAULT, epoch=0, certificate=bytes(32), pair=(low, high), generation=1, memo=TEXT
            )
        case _:
            assert_never(kind)


def _signing(*texts: str) -> SigningData:
    return SigningData(data=texts, content_type="text/plain", algorithm=Algorithm.EDDSA, derivation_path="")


def _vault(*signers: SignerFacts) -> VaultFacts:
    """Its keys are the curves' generators: well formed, and everybody knows their secret."""
    return VaultFacts(
        id=_VAULT,
        name=NAME,
        epoch=0,
        threshold=_WEIGHT,
        signers=signers,
        xpubs={curve: xpub(curve, bytes(group_of(curve).generator), bytes(32)) for curve in Curve},
    )


def _with_id(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_id(each, old, new) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_id(each, old, new) for each in value]
    return new if value == old else value
