"""The certificate stage's book, kept in the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from quorate.ceremony.context import Context
from quorate.ceremony.ports import EpochRow, EpochState, SealedSetup, SealedShare
from quorate.identifiers import Epoch, OperationId, VaultId
from quorate.protocols.certificate import Certificate, EpochRecord
from quorate.protocols.ot.setup import PairSetup
from quorate.protocols.quorum import KeyShare
from quorate.wire.codec import encode


class LedgerBook:
    """``protocols.certificate.Book`` over the ledger. Each call returns when the change is on disk."""

    def __init__(self, context: Context, operation: OperationId) -> None:
        self._ledger = context.ledger
        self._vaults = context.vaults
        self._operation = operation

    def pending(self, record: EpochRecord, shares: Sequence[KeyShare], setups: Sequence[PairSetup]) -> None:
        row = EpochRow(
            vault=VaultId(record.vault),
            epoch=Epoch(record.epoch),
            attempt=record.attempt,
            record_hash=record.hash,
            record=encode(record),
            state=EpochState.PENDING,
            operation=self._operation,
        )
        sealed = [
            SealedShare(curve=share.curve, indices=tuple(share.indices), secret=share.secret.secret())
            for share in shares
        ]
        paired = [
            SealedSetup(id=setup.id, peer=setup.peer, generation=0, secret=setup.seal()) for setup in setups
        ]
        self._ledger.store_pending(row, sealed, paired)

    def signed(self, record: EpochRecord) -> None:
        self._ledger.mark_signed(VaultId(record.vault), Epoch(record.epoch), record.attempt)

    def activate(self, certificate: Certificate) -> None:
        record = certificate.record
        self._ledger.activate(VaultId(record.vault), Epoch(record.epoch), record.attempt, encode(certificate))
        self._vaults.forget_earlier(VaultId(record.vault), record.epoch)
