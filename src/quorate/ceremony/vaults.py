"""The vaults of this node: live records, key shares, quorums, and who has acknowledged what."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from quorate.ceremony.ports import EpochRow, EpochState, Ledger
from quorate.ceremony.statements import Proposal, Signed
from quorate.errors import StaleEpoch, UsageError
from quorate.identifiers import Curve, DeviceId, Epoch, OperationId, VaultId
from quorate.operations.derivation import ExtendedKey, derive
from quorate.operations.kinds import CreateVault, SigningData
from quorate.protocols.certificate import EpochRecord
from quorate.protocols.quorum import KeyShare, Quorum, Sharing
from quorate.wire.codec import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """The live epoch of one vault as this node holds it."""

    id: VaultId
    name: str
    operation: OperationId
    row: EpochRow
    record: EpochRecord
    sharing: Sharing

    @property
    def epoch(self) -> Epoch:
        return self.row.epoch

    @property
    def certificate_hash(self) -> bytes:
        return self.row.record_hash

    @property
    def active(self) -> bool:
        return self.row.state is EpochState.ACTIVE

    @property
    def missing_acknowledgements(self) -> tuple[DeviceId, ...]:
        return tuple(device for device in self.sharing.devices if device not in self.row.acknowledgements)

    @property
    def ready(self) -> bool:
        """Certified by all and acknowledged by all after a trial signature: fit to be funded and used."""
        return self.active and not self.missing_acknowledgements

    def key(self, signing: SigningData) -> ExtendedKey:
        """The key that a payload is to be signed with: the one of the algorithm's curve at the payload's path."""
        root = self.record.key(signing.algorithm.curve)
        return derive(root.curve, root.public_key, root.chain_code, signing.derivation_path)

    @property
    def state(self) -> str:
        return "ready" if self.ready else "active" if self.active else "pending"


class Vaults:
    """Read through the ledger; what is expensive is kept until the epoch changes."""

    def __init__(self, ledger: Ledger, me: DeviceId) -> None:
        self._ledger = ledger
        self._me = me
        self._known: dict[bytes, tuple[EpochRecord, Sharing, str]] = {}
        self._shares: dict[tuple[VaultId, int, int, Curve], KeyShare] = {}
        self._loading = threading.Lock()

    def all(self) -> Sequence[Vault]:
        """The newest sharing of every vault, active ones before pending ones of the same vault."""
        newest: dict[VaultId, EpochRow] = {}
        for row in self._ledger.epochs():
            if row.state not in (EpochState.SIGNED, EpochState.ACTIVE):
                continue
            held = newest.get(row.vault)
            if held is None or _rank(row) > _rank(held):
                newest[row.vault] = row
        return tuple(self._vault(row) for row in newest.values())

    def made_by(self, operation: OperationId) -> tuple[Vault, ...]:
        """What an operation has left here, in any state from signed on, by rising attempt."""
        rows = [row for row in self._ledger.epochs() if row.operation == operation]
        rows = [row for row in rows if row.state in (EpochState.SIGNED, EpochState.ACTIVE)]
        return tuple(self._vault(row) for row in sorted(rows, key=_rank))

    def get(self, vault: VaultId) -> Vault:
        """The active epoch of a vault; ``UsageError`` if this node has none."""
        row = self._ledger.active_epoch(vault)
        if row is None:
            raise UsageError(f"there is no vault {vault} on this node", code="UNKNOWN_VAULT")
        return self._vault(row)

    def find(self, wanted: str) -> Vault:
        """By id, or by a name that only one live vault here has, or else one that never came to live: the leftover of a
        failed attempt takes nobody's name."""
        vaults = self.all()
        for vault in vaults:
            if vault.id == wanted:
                return vault
        named = [vault for vault in vaults if vault.name == wanted]
        named = [vault for vault in named if vault.active] or named
        if not named:
            raise UsageError(f"there is no vault {wanted} on this node", code="UNKNOWN_VAULT")
        if len(named) > 1:
            ids = ", ".join(vault.id for vault in named)
            raise UsageError(
                f"{len(named)} vaults are named {wanted}: use an id ({ids})", code="AMBIGUOUS_VAULT"
            )
        return named[0]

    def require_live(self, vault: VaultId, epoch: int, certificate: bytes) -> Vault:
        """The vault, if its live epoch is exactly this one."""
        held = self.get(vault)
        if (held.epoch, held.certificate_hash) != (epoch, certificate):
            raise StaleEpoch(f"CE-1.6 epoch: vault {vault} is at epoch {held.epoch} here, not {epoch}")
        return held

    def quorum(self, vault: Vault, curve: Curve, signers: Sequence[DeviceId]) -> Quorum:
        """Blocking: unseals the share the first time."""
        return vault.record.quorum(self.key_share(vault, curve), signers)

    def key_share(self, vault: Vault, curve: Curve) -> KeyShare:
        key = (vault.id, vault.row.epoch, vault.row.attempt, curve)
        with self._loading:
            if key not in self._shares:
                sealed = self._ledger.share(vault.id, vault.row.epoch, vault.row.attempt, curve)
                self._shares[key] = vault.record.share(curve, self._me, sealed.secret)
            return self._shares[key]

    def _vault(self, row: EpochRow) -> Vault:
        if row.record_hash not in self._known:
            record = decode(EpochRecord, row.record)
            self._known[row.record_hash] = (record, record.sharing, self._name(row))
        record, sharing, name = self._known[row.record_hash]
        return Vault(
            id=row.vault, name=name, operation=row.operation, row=row, record=record, sharing=sharing
        )

    def _name(self, row: EpochRow) -> str:
        made = self._ledger.operation(row.operation)
        if made is None:
            return row.vault
        request = decode(Proposal, decode(Signed, made.proposal).body).operation.request
        return request.name if isinstance(request, CreateVault) else row.vault


def _rank(row: EpochRow) -> tuple[bool, int, int]:
    return (row.state is EpochState.ACTIVE, row.epoch, row.attempt)
