"""From this node's records to what an approver reads, and what a client sees."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.ceremony import intake, journal, resets, results
from quorate.ceremony.context import Context
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import (
    ApprovalRequest,
    OperationRow,
    OperationView,
    SetupView,
    SignatureView,
    SignerView,
    State,
    VaultView,
    VoteView,
)
from quorate.ceremony.vaults import Vault
from quorate.errors import QuorateError
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations import payload, request_json
from quorate.operations.addresses import ethereum_account
from quorate.operations.derivation import xpub
from quorate.operations.kinds import BatchSign, CreateVault, Operation, PairReset, Sign
from quorate.operations.reading import effect_of
from quorate.operations.request_json import SetupFacts, SignerFacts, VaultFacts
from quorate.operations.signatures import split
from quorate.operations.transactions.actions import Payer
from quorate.wire.codec import decode

SPELLED = {"approve": "approved", "reject": "rejected", "abstain": "abstain"}


def approval_request(context: Context, operation: Operation) -> ApprovalRequest:
    """The request for our approver: everything in it comes from the operation and from our own records."""
    request = operation.request
    verdicts = journal.verdicts(context, operation)
    if isinstance(request, CreateVault):
        weights = {DeviceId(member.device): member.weight for member in request.members}
        body = request_json.create_vault_json(operation, _signers(context, weights, verdicts))
    else:
        vault = context.vaults.require_live(VaultId(request.vault), request.epoch, request.certificate)
        weights = {seat.device: seat.weight for seat in vault.sharing.seats}
        described = VaultFacts(
            id=vault.id,
            name=vault.name,
            epoch=vault.epoch,
            threshold=vault.sharing.threshold,
            signers=_signers(context, weights, verdicts),
            xpubs=xpubs(vault),
        )
        if isinstance(request, PairReset):
            rows = resets.held(context, vault, resets.other(context, request))
            present = SetupFacts(generation=rows[-1].generation, state=rows[-1].state.value) if rows else None
            body = request_json.pair_reset_json(operation, described, present)
        else:
            body = request_json.sign_json(operation, described)
    return ApprovalRequest(
        operation=operation.id,
        digest=operation.digest,
        route=request_json.route(operation.kind),
        body=body,
        expires_ms=operation.expires_ms,
        effect=effect_of(operation, _payer(context, operation)),
    )


def _payer(context: Context, operation: Operation) -> Payer | None:
    """The key that is to sign, as the account that pays."""
    request = operation.request
    if not isinstance(request, Sign | BatchSign) or request.signing.algorithm.curve is not Curve.SECP256K1:
        return None
    vault = context.vaults.get(VaultId(request.vault))
    account = ethereum_account(vault.key(request.signing).public_key)
    return Payer(account=account, tokens=context.tokens)


def vault_view(context: Context, vault: Vault) -> VaultView:
    return VaultView(
        id=vault.id,
        name=vault.name,
        epoch=vault.epoch,
        certificate_hash=vault.certificate_hash,
        threshold=vault.sharing.threshold,
        signers=tuple(
            SignerView(
                device=seat.device,
                name=context.name_of(seat.device),
                weight=seat.weight,
                online=seat.device == context.me or context.mesh.connected(seat.device),
            )
            for seat in vault.sharing.seats
        ),
        state=vault.state,
        public_keys={key.curve: key.public_key for key in vault.record.keys},
        chain_codes={key.curve: key.chain_code for key in vault.record.keys},
        xpubs=xpubs(vault),
        setups=tuple(
            SetupView(
                device=row.peer, name=context.name_of(row.peer), generation=row.generation, state=row.state
            )
            for row in resets.newest(context, vault)
        ),
    )


def xpubs(vault: Vault) -> Mapping[Curve, str]:
    return {key.curve: xpub(key.curve, key.public_key, key.chain_code) for key in vault.record.keys}


def operation_view(context: Context, row: OperationRow) -> OperationView:
    operation = journal.operation_of(context, row)
    verdicts = journal.verdicts(context, operation)
    weights, needed = _electorate(context, operation)
    signatures, signers, vault = _result(context, operation, row)
    return OperationView(
        id=row.id,
        kind=row.kind,
        vault=vault,
        state=row.state,
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        proposer=row.proposer,
        votes=tuple(
            VoteView(device=d, name=context.name_of(d), weight=w, verdict=verdicts.get(d, ""))
            for d, w in sorted(weights.items())
        ),
        approved_weight=sum(w for d, w in weights.items() if verdicts.get(d) == "approve"),
        threshold=needed,
        attempt=row.attempt,
        reason=row.reason,
        detail=row.detail,
        culprits=row.culprits,
        signature_may_exist=row.released and row.state in FINAL and row.state is not State.COMPLETED,
        signers=signers,
        signatures=signatures,
    )


def _signers(
    context: Context, weights: Mapping[DeviceId, int], verdicts: Mapping[DeviceId, str]
) -> tuple[SignerFacts, ...]:
    peers = {device: context.peer(device) for device in weights}
    return tuple(
        SignerFacts(
            device=device,
            uuid=peers[device].uuid,
            name=peers[device].name,
            client_record=peers[device].client_record,
            weight=weight,
            vote=SPELLED.get(verdicts.get(device, ""), ""),  # type: ignore[arg-type]
        )
        for device, weight in sorted(weights.items())
    )


def _electorate(context: Context, operation: Operation) -> tuple[Mapping[DeviceId, int], int]:
    """Weights and what is needed; empty where the epoch the operation was for is no longer live here."""
    try:
        electorate = intake.electorate(context, operation)
    except QuorateError:
        return {}, 0
    return electorate.weights, electorate.needed


def _result(
    context: Context, operation: Operation, row: OperationRow
) -> tuple[tuple[SignatureView, ...], tuple[DeviceId, ...], VaultId | None]:
    request = operation.request
    if isinstance(request, PairReset):
        return (), (), row.vault
    if not isinstance(request, Sign | BatchSign):
        made = decode(results.Made, row.result).vault if row.result else None
        return (), (), VaultId(made) if made else None
    if not row.result:
        return (), (), row.vault
    shown = decode(results.Signatures, row.result)
    key = context.vaults.get(VaultId(request.vault)).key(request.signing).public_key
    views = tuple(
        SignatureView(
            algorithm=request.signing.algorithm.value,
            message=message,
            signature=signature,
            public_key=key,
            recovery_id=recovery_id,
        )
        for message, (signature, recovery_id) in zip(
            payload.messages(request.signing), map(split, shown.signatures), strict=True
        )
    )
    return views, tuple(DeviceId(signer) for signer in shown.signers), row.vault
