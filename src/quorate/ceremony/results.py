"""What an operation came to: kept, shown to others, and believed only where it proves itself."""

from __future__ import annotations

from collections.abc import Collection

from quorate.ceremony.context import Context
from quorate.ceremony.lifecycle import sources
from quorate.ceremony.ports import OperationRow, State
from quorate.ceremony.statements import Holding, Holdings, Outcome, state
from quorate.ceremony.vaults import Vault
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, Epoch, OperationId, VaultId
from quorate.operations.kinds import Operation
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import Certificate, EpochRecord, acknowledgement
from quorate.wire.codec import Bytes32, Count, Identifier, Message, decode, encode


class Made(Message):
    """The vault an operation made, once everybody has acknowledged it."""

    vault: Identifier
    epoch: Count
    certificate: Bytes32


def complete(context: Context, operation: OperationId, result: bytes) -> None:
    context.ledger.move_operation(operation, sources(State.COMPLETED), State.COMPLETED, result=result)


def settle(context: Context, operation: OperationId) -> None:
    """Complete the operation that made a vault once the vault is ready."""
    for vault in context.vaults.made_by(operation):
        if vault.ready:
            made = Made(vault=vault.id, epoch=vault.epoch, certificate=vault.certificate_hash)
            complete(context, operation, encode(made))


def note_acknowledgement(context: Context, vault: Vault, device: DeviceId, signature: bytes) -> None:
    """Keep a member's acknowledgement if it is one."""
    if device not in vault.sharing.devices or device in vault.row.acknowledgements:
        return
    key = vault.sharing.seat(device).identity_key
    if verify_ed25519(key, acknowledgement(vault.record, device), signature):
        context.ledger.record_acknowledgement(vault.id, vault.epoch, vault.row.attempt, device, signature)


def believe_certificate(context: Context, operation: OperationId, shown: bytes) -> None:
    """Activate a sharing whose record we signed, if everybody signed it (rule CE-5.2)."""
    certificate = decode(Certificate, shown)
    record = certificate.record
    for vault in context.vaults.made_by(operation):
        same = (vault.id, vault.epoch, vault.certificate_hash) == (record.vault, record.epoch, record.hash)
        if same and not vault.active:
            if not certificate.verify():
                raise UsageError(
                    "CE-5.2 certificates: a member's signature is missing", code="BAD_CERTIFICATE"
                )
            context.ledger.activate(VaultId(record.vault), Epoch(record.epoch), record.attempt, shown)


def outcome(context: Context, operation: Operation, row: OperationRow) -> bytes:
    """How the operation ended here (or that it has not), as a signed statement."""
    return state(
        context.identity,
        Outcome(
            operation=operation.id,
            digest=operation.digest,
            state=row.state.value,
            attempt=row.attempt,
            reason=row.reason[:100],
            culprits=row.culprits,
            result=row.result,
            released=row.released,
        ),
    )


def report(
    context: Context, operation: Operation, attempt: int, reason: str, suspects: Collection[DeviceId]
) -> bytes:
    """That our part in one attempt is over without output: a hint for a proposer that is no party of it."""
    return state(
        context.identity,
        Outcome(
            operation=operation.id,
            digest=operation.digest,
            state=State.RUNNING.value,
            attempt=attempt,
            reason=reason,
            culprits=tuple(sorted(suspects)),
            result=b"",
            released=False,
        ),
    )


def holdings(context: Context, operation: OperationId) -> bytes:
    """Every sharing this operation has made here, with certificates and acknowledgements."""
    items = tuple(
        Holding(
            record=vault.row.record,
            certificate=vault.row.certificate,
            acknowledgements=tuple(sorted(vault.row.acknowledgements.items())),
        )
        for vault in context.vaults.made_by(operation)
    )
    return state(context.identity, Holdings(items=items))


def absorb(context: Context, operation: OperationId, shown: Holdings) -> None:
    """Take over what proves itself of another node's holdings: certificates we signed, acknowledgements. Blocking."""
    for item in shown.items:
        if item.certificate:
            believe_certificate(context, operation, item.certificate)
        record = decode(EpochRecord, item.record)
        for vault in context.vaults.made_by(operation):
            if vault.active and vault.certificate_hash == record.hash:
                for device, signature in item.acknowledgements:
                    note_acknowledgement(context, vault, DeviceId(device), signature)
    settle(context, operation)
