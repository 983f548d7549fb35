"""From this node's records to what an approver reads, and what a client sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quorate.ceremony import descriptions, journal, resets
from quorate.ceremony.context import Context
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import ApprovalRequest, OperationRow, State
from quorate.ceremony.procedures import procedure_of
from quorate.ceremony.statements import Vote
from quorate.ceremony.vaults import Vault
from quorate.ceremony.views import OperationView, SetupView, SignerView, VaultView, VoteView
from quorate.errors import QuorateError
from quorate.identifiers import DeviceId
from quorate.operations import request_json
from quorate.operations.kinds import Operation
from quorate.operations.reading import effect_of


def approval_request(context: Context, operation: Operation) -> ApprovalRequest:
    """The request for our approver: everything in it comes from the operation and from our own records."""
    procedure = procedure_of(context, operation)
    return ApprovalRequest(
        operation=operation.id,
        digest=operation.digest,
        route=request_json.route(operation.kind),
        body=procedure.request_json(),
        expires_ms=operation.expires_ms,
        effect=effect_of(operation, procedure.payer()),
    )


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
        state=vault.state if context.quarantine.of(vault.id) is None else "quarantined",
        public_keys={key.curve: key.public_key for key in vault.record.keys},
        chain_codes={key.curve: key.chain_code for key in vault.record.keys},
        xpubs=descriptions.xpubs(vault.record),
        setups=tuple(
            SetupView(
                device=row.peer, name=context.name_of(row.peer), generation=row.generation, state=row.state
            )
            for row in resets.newest(context, vault)
        ),
    )


def operation_view(context: Context, row: OperationRow) -> OperationView:
    operation = journal.operation_of(context, row)
    votes = journal.votes(context, operation)
    weights, needed = _electorate(context, operation)
    procedure = procedure_of(context, operation)
    shown = procedure.shown(row)
    return OperationView(
        id=row.id,
        kind=row.kind,
        vault=shown.vault,
        state=row.state,
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        proposer=row.proposer,
        votes=tuple(
            _vote_view(context, device, weight, votes.get(device))
            for device, weight in sorted(weights.items())
        ),
        approved_weight=sum(w for d, w in weights.items() if d in votes and votes[d].verdict == "approve"),
        threshold=needed,
        attempt=row.attempt,
        reason=row.reason,
        detail=row.detail,
        culprits=row.culprits,
        signature_may_exist=row.released and row.state in FINAL and row.state is not State.COMPLETED,
        signers=shown.signers,
        signatures=shown.signatures,
        phase=procedure.phase() if row.state is State.RUNNING else "",
    )


def _vote_view(context: Context, device: DeviceId, weight: int, vote: Vote | None) -> VoteView:
    view = VoteView(device=device, name=context.name_of(device), weight=weight, verdict="")
    if vote is None:
        return view
    return replace(view, verdict=vote.verdict, approver=vote.approver, rule=vote.rule)


def _electorate(context: Context, operation: Operation) -> tuple[Mapping[DeviceId, int], int]:
    """Weights and what is needed; empty where the epoch the operation was for is no longer live here."""
    try:
        electorate = procedure_of(context, operation).electorate()
    except QuorateError:
        return {}, 0
    return electorate.weights, electorate.needed
