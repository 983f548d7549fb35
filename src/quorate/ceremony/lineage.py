"""Which epoch lives: certificates and acknowledgements taken over from others, and what follows from them.

docs/spec/ceremony.md, sections CE-5 and CE-7. What is shown proves itself or changes nothing, whoever shows it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

import structlog

from quorate.ceremony import results
from quorate.ceremony.confinement import Why
from quorate.ceremony.context import Context
from quorate.ceremony.ports import EpochRow, EpochState
from quorate.ceremony.statements import MAX_ATTEMPTS, Holding, Holdings, state
from quorate.ceremony.vaults import Vault
from quorate.errors import EncodingError, StaleEpoch, Unwritable, UsageError
from quorate.identifiers import DeviceId, Epoch, OperationId, VaultId
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import Certificate, EpochRecord, acknowledgement
from quorate.protocols.history import follows
from quorate.protocols.trial import Trial, TrialSignatures, tried
from quorate.wire.codec import decode, encode

log = structlog.get_logger()

SHOWN = 2 << 20  # bytes of records and certificates in one answer


# --- showing


def holdings(context: Context, operation: OperationId) -> bytes:
    """Every sharing this operation has made here, with certificates and acknowledgements, as a signed statement."""
    return _shown(context, (vault.row for vault in context.vaults.made_by(operation)))


def chain(context: Context, vault: VaultId, epoch: int) -> bytes:
    """The certified sharings of a vault from one epoch on, and those of the next epoch that we signed, oldest first, as
    many as an answer holds."""
    rows = context.ledger.epochs(vault)
    return _shown(
        context, (row for row in rows if row.epoch >= epoch and row.state is not EpochState.PENDING)
    )


def audience(context: Context, vault: VaultId) -> frozenset[DeviceId]:
    """Whose business a vault is or was: the members and dealers of every epoch that we know of."""
    records = (decode(EpochRecord, row.record) for row in context.ledger.epochs(vault))
    return frozenset(device for record in records for device in record.signers)


def require_audience(context: Context, vault: VaultId, sender: DeviceId) -> None:
    """A vault is the business of those that are or were its signers (rule CE-5.4)."""
    if sender not in audience(context, vault):
        raise UsageError(f"CE-5.4 discretion: {sender} has no part in this vault", code="NOT_IN_ROSTER")


def _shown(context: Context, rows: Iterable[EpochRow]) -> bytes:
    items: list[Holding] = []
    size = 0
    for row in rows:
        size += len(row.record) + len(row.certificate)
        if items and (size > SHOWN or len(items) == MAX_ATTEMPTS):
            break
        held = tuple(sorted(row.acknowledgements.items()))
        items.append(
            Holding(record=row.record, certificate=row.certificate, acknowledgements=held, trial=row.trial)
        )
    return state(context.identity, Holdings(items=tuple(items)))


# --- taking over


def absorb(context: Context, shown: Holdings, operation: OperationId | None = None) -> None:
    """Take over what proves itself of another node's holdings. ``operation``: the one they were asked for. Blocking."""
    for item in shown.items:
        if item.certificate:
            believe_certificate(context, item.certificate, operation)
        record = decode(EpochRecord, item.record)
        vault = context.vaults.held(VaultId(record.vault), record.hash)
        if vault is None or not vault.active:
            continue
        if item.trial and not vault.row.trial:
            _note_trial(context, vault, item.trial)
        for device, signature in item.acknowledgements:
            note_acknowledgement(context, vault, DeviceId(device), signature)
        settle(context, vault.id)


def believe_certificate(context: Context, shown: bytes, operation: OperationId | None = None) -> None:
    """CE-5.2 certificates: activate a sharing whose record we signed, or the one that replaced ours without us, if
    everybody signed that must. ``UsageError`` for what is no such certificate; a fork names who made it."""
    try:
        certificate = decode(Certificate, shown)
    except EncodingError as error:
        raise UsageError(f"CE-5.2 certificates: {error}", code="BAD_CERTIFICATE") from None
    record, rows = certificate.record, context.ledger.epochs(VaultId(certificate.record.vault))
    place = (record.epoch, record.attempt)
    held = next((row for row in rows if (row.epoch, row.attempt) == place), None)
    if held is not None and held.record_hash == record.hash and held.state is not EpochState.SIGNED:
        return
    live = next((row for row in rows if row.state is EpochState.ACTIVE), None)
    ours = held is not None and held.record_hash == record.hash
    if not ours and (live is None or record.epoch < live.epoch):
        return  # nothing of ours can follow from it
    if not certificate.verify():
        raise UsageError("CE-5.2 certificates: a signature is missing or wrong", code="BAD_CERTIFICATE")
    _require_known(record, rows)
    _require_no_fork(context, certificate, rows)
    if ours:
        _activate(context, record, shown)
    else:
        _adopt(context, certificate, rows, operation)


def _activate(context: Context, record: EpochRecord, shown: bytes) -> None:
    try:
        context.ledger.activate(VaultId(record.vault), Epoch(record.epoch), record.attempt, shown)
    except StaleEpoch:
        return  # a later one lives: siblings are no forks
    log.info("epoch is live", vault=record.vault, epoch=record.epoch, attempt=record.attempt)
    context.vaults.forget_earlier(VaultId(record.vault), record.epoch)


def _adopt(
    context: Context, certificate: Certificate, rows: Sequence[EpochRow], operation: OperationId | None
) -> None:
    """The certificate of an epoch that we have no share of: it ends ours if it follows it (rule CE-7.6)."""
    record, vault = certificate.record, VaultId(certificate.record.vault)
    before = next((row for row in rows if row.record_hash == record.previous and row.certificate), None)
    live = next(row for row in rows if row.state is EpochState.ACTIVE)
    if before is None:
        beside = record.epoch == live.epoch and record.previous == decode(EpochRecord, live.record).previous
        if record.epoch <= live.epoch + 1 and not beside:
            raise _fork(context, certificate, frozenset(), "it does not follow the epoch that is held here")
        raise UsageError(
            f"CE-7.6 chain: epoch {record.epoch} of vault {vault} is shown, and what lies before it is not known here",
            code="BAD_CERTIFICATE",
        )
    follows(record, decode(EpochRecord, before.record))
    if (record.epoch, record.attempt) < (live.epoch, live.attempt):
        return  # a sibling that is behind: of those no backup tells, and no disk that was set back lacks only them
    ours = context.me in record.signers
    if ours and context.quarantine.of(vault) is None:
        why = f"this node signed epoch {record.epoch} of vault {vault}, attempt {record.attempt}, and does not hold it"
        log.critical("CE-7.7 ours: the store was set back", vault=vault, epoch=record.epoch, why=why)
        context.quarantine.enter(Why.SET_BACK, f"CE-7.7 ours: {why}")
    row = EpochRow(
        vault=vault, epoch=Epoch(record.epoch), attempt=record.attempt, record_hash=record.hash,
        record=encode(record), state=EpochState.ACTIVE, operation=_maker(context, vault, operation),
        certificate=encode(certificate),
    )  # fmt: skip
    try:
        context.ledger.adopt(row)
    except StaleEpoch:
        return  # a sibling that is behind
    if ours and context.me in record.sharing.devices:
        why = f"epoch {record.epoch} lives, and this node's share of it is lost"
        context.quarantine.enter(Why.SHARE_LOST, why, vault)
        return
    log.warning(
        "this node is no signer of the vault any more", vault=vault, epoch=record.epoch,
        dealers=[dealer.device for dealer in record.dealers],
    )  # fmt: skip
    context.vaults.forget_earlier(vault, record.epoch)


def _maker(context: Context, vault: VaultId, operation: OperationId | None) -> OperationId:
    """The operation that a sharing was shown for, if it is one that could have made it."""
    row = None if operation is None else context.ledger.operation(operation)
    return row.id if row is not None and row.vault == vault else OperationId("")


def _require_no_fork(context: Context, certificate: Certificate, rows: Sequence[EpochRow]) -> None:
    """CE-7.8 fork: of one vault, epoch and attempt there is one record; who signed two is named, loudly."""
    record = certificate.record
    for row in rows:
        if (row.epoch, row.attempt) != (record.epoch, record.attempt) or row.record_hash == record.hash:
            continue
        if not row.certificate:
            continue  # ours came to nothing: we signed it, and not everybody did
        both = frozenset(device for device, _ in _signers_in((row,)) & record.signers.items())
        raise _fork(context, certificate, both, "they signed another record of the same attempt")


def _require_known(record: EpochRecord, rows: Sequence[EpochRow]) -> None:
    """A certificate that none of ours signed is no fork but noise: anybody makes one, of keys of their own."""
    if not _signers_in(rows) & record.signers.items():
        raise UsageError(
            f"CE-7.8 fork: nobody known here signed epoch {record.epoch} of vault {record.vault}",
            code="BAD_CERTIFICATE",
        )


def _signers_in(rows: Iterable[EpochRow]) -> frozenset[tuple[DeviceId, bytes]]:
    """Devices with the identity keys that they signed these records under."""
    return frozenset(each for row in rows for each in decode(EpochRecord, row.record).signers.items())


def _fork(context: Context, certificate: Certificate, culprits: frozenset[DeviceId], why: str) -> UsageError:
    """The certificate is evidence, and kept: its signers could not have made it by mistake."""
    record = certificate.record
    names = ", ".join(context.name_of(device) for device in sorted(culprits)) or "nobody to name"
    log.critical(
        "CE-7.8 fork: a certificate is refused", vault=record.vault, epoch=record.epoch, attempt=record.attempt,
        certificate=record.hash.hex(), culprits=sorted(culprits), why=why,
    )  # fmt: skip
    with contextlib.suppress(Unwritable):  # it is in the log, too
        context.ledger.record_fork(VaultId(record.vault), record.hash, encode(certificate))
    return UsageError(
        f"CE-7.8 fork: another epoch {record.epoch} of vault {record.vault} is shown ({names}): {why}",
        code="FORK",
    )


# --- trial and acknowledgements


def keep_trial(context: Context, vault: Vault, result: Trial) -> None:
    """What a trial session of ours came to. Blocking."""
    _note_trial(context, vault, encode(TrialSignatures.of(result)))
    for device, signature in result.acknowledgements.items():
        note_acknowledgement(context, vault, device, signature)
    settle(context, vault.id)


def _note_trial(context: Context, vault: Vault, shown: bytes) -> None:
    """CE-7.9 farewell: trial signatures count if they verify; then who leaves acknowledges, too."""
    if not tried(vault.record, shown):
        raise UsageError("CE-7.9 farewell: a trial signature does not verify", code="BAD_SIGNATURE")
    key = (vault.id, vault.epoch, vault.row.attempt)
    context.ledger.record_trial(*key, shown)
    if context.me in vault.record.signers and context.me not in vault.sharing.devices:
        mine = context.identity.sign(acknowledgement(vault.record, context.me))
        context.ledger.record_acknowledgement(*key, context.me, mine)


def note_acknowledgement(context: Context, vault: Vault, device: DeviceId, signature: bytes) -> None:
    """Keep a signer's acknowledgement if it is one."""
    key = vault.record.signers.get(device)
    if key is None or device in vault.row.acknowledgements:
        return
    if verify_ed25519(key, acknowledgement(vault.record, device), signature):
        context.ledger.record_acknowledgement(vault.id, vault.epoch, vault.row.attempt, device, signature)


def settle(context: Context, identifier: VaultId) -> None:
    """Once all have acknowledged: erase what came before, and complete the operation that made the epoch. Blocking."""
    vault = context.vaults.newest_vault(identifier)
    if vault is None or not vault.ready:
        return
    if vault.epoch:
        erased = context.ledger.erase_before(vault.id, vault.epoch, vault.row.attempt)
        if erased:
            context.vaults.forget_earlier(vault.id, vault.epoch)
            log.warning(
                "earlier epochs erased",
                vault=vault.id,
                epoch=vault.epoch,
                sharings=erased,
                waived=vault.row.waived,
            )
    made = results.Made(vault=vault.id, epoch=vault.epoch, certificate=vault.certificate_hash)
    if context.ledger.operation(vault.operation) is not None:
        results.complete(context, vault.operation, encode(made))


def waive(context: Context, vault: Vault) -> None:
    """CE-7.10 override: go on without the acknowledgements that are missing, where those that are there have the weight
    to sign; what came before is erased. Blocking."""
    there = [device for device in vault.sharing.devices if device in vault.row.acknowledgements]
    if not vault.sharing.reaches(there):
        raise UsageError(
            f"CE-7.10 override: weight {vault.sharing.weight_of(there)} has acknowledged epoch {vault.epoch},"
            f" and {vault.sharing.threshold} could sign: nothing is erased",
            code="NOT_ENOUGH_WEIGHT",
        )
    context.ledger.waive(vault.id, vault.epoch, vault.row.attempt)
    missing = [context.name_of(device) for device in vault.missing_acknowledgements]
    log.warning("acknowledgements waived by the operator", vault=vault.id, epoch=vault.epoch, missing=missing)
    settle(context, vault.id)
