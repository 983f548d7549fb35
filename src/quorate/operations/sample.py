"""One request of each kind that is nobody's: for trying whether an approver answers as it should.

A sample reads like a real request and is none. Its id begins with ``MARK``, 90 bits of an operation id that no
operation's hash will have, and its digest is under a domain of its own, so that no vote and no session can bind
what was answered to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from quorate.curves import group_of
from quorate.identifiers import Curve, DeviceId, OperationId, VaultId
from quorate.operations.addresses import ethereum_account
from quorate.operations.derivation import xpub
from quorate.operations.digests import keccak256
from quorate.operations.effect import Effect
from quorate.operations.kinds import (
    Algorithm,
    BatchSign,
    Claim,
    CreateVault,
    Kind,
    Member,
    Operation,
    PairReset,
    PolicyChange,
    Request,
    Reshare,
    Sign,
    SigningData,
    SignTransaction,
    short_id,
)
from quorate.operations.reading import effect_of
from quorate.operations.request_json import (
    Json,
    PolicyFacts,
    SignerFacts,
    VaultFacts,
    create_vault_json,
    pair_reset_json,
    policy_change_json,
    reshare_json,
    route,
    sign_json,
)
from quorate.operations.tokens import Tokens
from quorate.operations.transactions import calldata
from quorate.operations.transactions.actions import Payer
from quorate.operations.transactions.evm import DynamicFee
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest

MARK = "samplesamplesample"
NAME = "sample"
TEXT = "A sample, sent to try the approver. Nothing is signed or made, whatever the answer."
LIFE_MS = 60_000
_VAULT = VaultId("sample" * 4)
_OTHER = DeviceId("sample" * 4)
_PAYER = ethereum_account(bytes(group_of(Curve.SECP256K1).generator))
_SEPOLIA = 11155111
_WEIGHT = 1
_POLICY = PolicyFacts(default="refuse", rules=(), diff=(), serving="none")


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
    effect = effect_of(operation, Payer(account=_PAYER, tokens=Tokens()))
    marked = OperationId(MARK + short_id(digest(Domain.SAMPLE, operation.id))[len(MARK) :])
    if isinstance(operation.request, CreateVault):
        body = create_vault_json(operation, (signer,))
    elif isinstance(operation.request, PairReset):
        body = pair_reset_json(operation, _vault(signer, replace(signer, device=_OTHER, name=NAME)), None)
    elif isinstance(operation.request, Reshare):
        body = reshare_json(operation, _vault(signer), (replace(signer, weight=2 * _WEIGHT),), joining=False)
    elif isinstance(operation.request, PolicyChange):
        body = policy_change_json(operation, _vault(signer), _POLICY)
    else:
        body = sign_json(operation, _vault(signer), actions=effect.actions)
    return Sample(
        kind=kind,
        id=marked,
        digest=digest(Domain.SAMPLE, operation.digest),
        route=route(kind),
        body=_with_id(body, operation.id, marked),
        expires_ms=operation.expires_ms,
        effect=effect,
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
        case Kind.RESHARE:
            member = Member(device=signer.device, identity_key=identity_key, weight=2 * _WEIGHT)
            return Reshare(
                vault=_VAULT, epoch=0, certificate=bytes(32), name=NAME, members=(member,), threshold=_WEIGHT,
                allow_sole_signer=True, after=0, memo=TEXT,
            )  # fmt: skip
        case Kind.POLICY_CHANGE:
            return PolicyChange(
                vault=_VAULT, epoch=0, certificate=bytes(32), after=0, replaces=b"", version=1,
                policy=f"# {TEXT}\n".encode(), memo=TEXT,
            )  # fmt: skip
        case _:
            return _transaction(kind)


def _transaction(kind: Kind) -> SignTransaction:
    """One that the public test net takes, by a key that has nothing there."""
    about, call = bytes([0xAB]) * 20, b""
    match kind:
        case Kind.MINT:
            call = calldata.write("mint", to=about, amount=1)
        case Kind.BURN:
            call = calldata.write("burn", amount=1)
        case Kind.CONTRACT_CALL:
            call = calldata.write("approve", spender=about, amount=1)
        case Kind.ALLOW_ADDRESS | Kind.BLOCK_ADDRESS | Kind.UNBLOCK_ADDRESS | Kind.DISABLE_ADDRESS:
            call = keccak256(b"sample(address)")[:4] + about.rjust(32, b"\0")
    made = DynamicFee(
        chain_id=_SEPOLIA, nonce=0, max_priority_fee_per_gas=1, max_fee_per_gas=1, gas_limit=100_000, to=about,
        value=0, data=call,
    )  # fmt: skip
    signing = SigningData(
        data=(made.unsigned().hex(),), content_type="application/octet-stream+hex",
        algorithm=Algorithm.ESKEC256, derivation_path="",
    )  # fmt: skip
    claim = Claim(vault=_VAULT) if kind is Kind.TRANSFER_BETWEEN else Claim()
    return SignTransaction(
        vault=_VAULT, epoch=0, certificate=bytes(32), purpose=kind, signing=signing, claim=claim, memo=TEXT
    )


def _signing(*texts: str) -> SigningData:
    return SigningData(data=texts, content_type="text/plain", algorithm=Algorithm.EDDSA, derivation_path="")


def _vault(*signers: SignerFacts) -> VaultFacts:
    """Its keys are the curves' generators: well formed, and everybody knows their secret."""
    keys = {curve: bytes(group_of(curve).generator) for curve in Curve}
    return VaultFacts(
        id=_VAULT,
        name=NAME,
        epoch=0,
        threshold=_WEIGHT,
        signers=signers,
        xpubs={curve: xpub(curve, key, bytes(32)) for curve, key in keys.items()},
        public_keys=keys,
    )


def _with_id(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {name: _with_id(each, old, new) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_id(each, old, new) for each in value]
    return new if value == old else value
