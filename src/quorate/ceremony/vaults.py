"""The vaults of this node: live records, key shares, quorums, and who has acknowledged what."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from quorate.ceremony.ports import EpochRow, EpochState, Ledger
from quorate.ceremony.statements import Proposal, Signed
from quorate.errors import StaleEpoch, UsageError
from quorate.identifiers import Curve, DeviceId, Epoch, OperationId, VaultId
from quorate.operations.derivation import ExtendedKey, derive
from quorate.operations.kinds import CreateVault, Reshare, SigningData
from quorate.protocols.certificate import EpochRecord
from quorate.protocols.quorum import KeyShare, Quorum, Sharing
from quorate.wire.codec import decode

Halt = Callable[[str], None]
"""Ends a session from any thread: when it returns, nothing of the session leaves any more."""


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
        """Of its signers: the members, and those that left with it."""
        return tuple(device for device in self.record.signers if device not in self.row.acknowledgements)

    @property
    def ready(self) -> bool:
        """Certified by all and, after a trial signature, acknowledged by all, or the operator goes on without them: fit
        to be funded and used."""
        return self.active and (self.row.waived or not self.missing_acknowledgements)

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
        self._at_work: dict[Halt, tuple[VaultId, int]] = {}

    def all(self) -> Sequence[Vault]:
        """The newest sharing of every vault that this node is a signer of, active ones before pending ones of the same
        vault."""
        return tuple(vault for vault in self.known() if self._me in vault.sharing.devices)

    def known(self) -> Sequence[Vault]:
        """``all``, and the vaults that this node was a signer of."""
        newest: dict[VaultId, EpochRow] = {}
        for row in self._ledger.epochs():
            if row.state not in (EpochState.SIGNED, EpochState.ACTIVE):
                continue
            held = newest.get(row.vault)
            if held is None or _rank(row) > _rank(held):
                newest[row.vault] = row
        return tuple(self._vault(row) for row in newest.values())

    def needing(self, device: DeviceId) -> tuple[Vault, ...]:
        """The sharings, live or on their way, that this node has together with a device, or waits for its
        acknowledgement of."""
        rows = [row for row in self._ledger.epochs() if row.state in (EpochState.SIGNED, EpochState.ACTIVE)]
        return tuple(
            vault
            for vault in map(self._vault, rows)
            if self._me in vault.sharing.devices
            and (
                device in vault.sharing.devices
                or (not vault.ready and device in vault.missing_acknowledgements)
            )
        )

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
        held = self._vault(row)
        if self._me not in held.sharing.devices:
            raise UsageError(
                f"this node is no signer of vault {held.name} any more, since epoch {held.epoch}",
                code="NOT_A_SIGNER",
            )
        return held

    def newest_vault(self, vault: VaultId) -> Vault | None:
        """The active epoch of a vault, whether or not this node is a signer of it."""
        row = self._ledger.active_epoch(vault)
        return None if row is None else self._vault(row)

    def newest(self, vault: VaultId) -> EpochRecord | None:
        held = self.newest_vault(vault)
        return None if held is None else held.record

    def held(self, vault: VaultId, certificate: bytes) -> Vault | None:
        """The sharing of this certificate hash, in whatever state."""
        rows = self._ledger.epochs(vault)
        return next((self._vault(row) for row in rows if row.record_hash == certificate), None)

    def record(self, vault: VaultId, certificate: bytes) -> EpochRecord | None:
        """The certified record of this hash, however old."""
        held = self.held(vault, certificate)
        return held.record if held is not None and held.row.certificate else None

    def attempts(self, vault: VaultId, epoch: int) -> int:
        """The highest attempt at an epoch that this node knows of, or may have signed; 0 for none."""
        known = (row.attempt for row in self._ledger.epochs(vault) if row.epoch == epoch)
        return max((self._ledger.attempt_floor(vault, epoch), *known))

    @contextmanager
    def working(self, halt: Halt, vault: VaultId | None, epoch: int) -> Iterator[None]:
        """While a session works under an epoch, or makes it, ``halt`` is called if a later one comes to live."""
        if vault is None:
            yield
            return
        with self._loading:
            self._at_work[halt] = vault, epoch
        try:
            yield
        finally:
            with self._loading:
                del self._at_work[halt]

    def at_work(self, vault: VaultId, before: int) -> Sequence[Halt]:
        """What ends the sessions under epochs of a vault before this one."""
        with self._loading:
            return tuple(h for h, (held, epoch) in self._at_work.items() if held == vault and epoch < before)

    def forget_earlier(self, vault: VaultId, epoch: int) -> None:
        """Rule CE-7.11: end every session under an earlier epoch, and drop its shares and quorums from memory."""
        for halt in self.at_work(vault, epoch):
            halt(f"CE-7.11 old: epoch {epoch} of vault {vault} lives now")
        with self._loading:
            for key in [key for key in self._shares if key[0] == vault and key[1] < epoch]:
                del self._shares[key]  # wiped with the last session that holds it

    def wipe_shares(self) -> None:
        """Rule CE-9.2: those in memory, whoever holds them. They are unsealed again when they are wanted."""
        with self._loading:
            for share in self._shares.values():
                share.wipe()
            self._shares.clear()

    def find(self, wanted: str, *, among: Sequence[Vault] | None = None) -> Vault:
        """By id, or by a name that only one live vault here has, or else one that never came to live: the leftover of a
        failed attempt takes nobody's name."""
        vaults = self.all() if among is None else among
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
        """As an operation that made an epoch of it here has it."""
        for each in (row, *self._ledger.epochs(row.vault)):
            made = self._ledger.operation(each.operation)
            if made is not None:
                request = decode(Proposal, decode(Signed, made.proposal).body).operation.request
                if isinstance(request, CreateVault | Reshare):
                    return request.name
        return self._ledger.vault_name(row.vault) or row.vault


def _rank(row: EpochRow) -> tuple[bool, int, int]:
    return (row.state is EpochState.ACTIVE, row.epoch, row.attempt)
