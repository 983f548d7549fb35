"""Resets of pair set-ups: which generation is next, whose word counts, and when one is done.

docs/spec/ceremony.md, rules CE-1.9, CE-1.10, CE-3.9 and CE-5.5.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from quorate.ceremony.context import Context
from quorate.ceremony.journal import operation_of
from quorate.ceremony.lifecycle import sources
from quorate.ceremony.ports import SetupRow, SetupState, State, Verdict
from quorate.ceremony.vaults import Vault
from quorate.errors import EncodingError, StaleEpoch, UsageError
from quorate.identifiers import DeviceId, OperationId, VaultId
from quorate.operations.kinds import Kind, Operation, PairReset
from quorate.wire.codec import Bytes32, Count, Identifier, Message, decode, encode

LEAP = 1000  # generations; only resets that failed are known to one of the two alone
LOOKED_THROUGH = 1000  # operations, the latest, where one is looked for by what it asks


class Reset(Message):
    """What a reset came to: the set-up that the pair uses from then on."""

    vault: Identifier
    epoch: Count
    pair: tuple[Identifier, Identifier]
    generation: Count
    setup: Bytes32


def live(context: Context, request: PairReset) -> Vault:
    """The vault, if the epoch that the reset is for is the one that lives here."""
    return context.vaults.require_live(VaultId(request.vault), request.epoch, request.certificate)


def held(context: Context, vault: Vault, peer: DeviceId) -> tuple[SetupRow, ...]:
    """Every set-up with a peer in the live epoch, by rising generation."""
    rows = context.ledger.setups(vault.id, vault.epoch, vault.row.attempt)
    return tuple(sorted((row for row in rows if row.peer == peer), key=lambda row: row.generation))


def newest(context: Context, vault: Vault) -> tuple[SetupRow, ...]:
    """The one of the highest generation with each other member; none of a member there never was one with."""
    mine = (held(context, vault, peer) for peer in vault.sharing.devices if peer != context.me)
    return tuple(rows[-1] for rows in mine if rows)


def next_generation(context: Context, vault: Vault, peer: DeviceId) -> int:
    """Above every one that either may have used: what is pending here may be LIVE there."""
    return max((row.generation for row in held(context, vault, peer)), default=0) + 1


def other(context: Context, request: PairReset) -> DeviceId:
    """Of the pair, the one that we are not."""
    return DeviceId(next(device for device in request.pair if device != context.me))


def check(context: Context, operation: Operation, request: PairReset) -> None:
    """``UsageError`` or ``StaleEpoch`` unless this node may put the reset to its approver. The vault need not be ready:
    a trial multiplies under the set-ups too."""
    vault = live(context, request)
    for device in (*request.pair, operation.proposer, context.me):
        if device not in vault.sharing.devices or device not in request.pair:
            raise UsageError(
                f"CE-1.9 pair: {device} is not one of two members of the vault that reset their set-up, "
                f"{' and '.join(request.pair)}",
                code="NOT_IN_ROSTER",
            )
    check_generation(context, vault, request)


def check_generation(context: Context, vault: Vault, request: PairReset) -> None:
    rows = held(context, vault, other(context, request))
    if request.generation > max((row.generation for row in rows), default=0) + LEAP:
        raise UsageError(
            f"CE-1.10 generation: set-up {request.generation} is asked for, more than {LEAP} above any that is"
            " known here; numbers end, and so would resets"
        )
    used = [row for row in rows if row.state is not SetupState.PENDING]
    if used and used[-1].generation >= request.generation:
        raise UsageError(
            f"CE-1.10 generation: set-up {request.generation} is asked for, and {used[-1].generation} was in use "
            "here: ask again",
            code="STALE_GENERATION",
        )


def asked_before(
    context: Context, vault: Vault, pair: tuple[DeviceId, DeviceId], client: str, key: str
) -> OperationId | None:
    """The reset that a client asked for under the same key: asked again, it is that one, not the one after it."""
    for row in context.ledger.operations(limit=LOOKED_THROUGH):
        if row.kind == Kind.PAIR_RESET.value and row.vault == vault.id:
            operation = operation_of(context, row)
            request = operation.request
            same = (operation.client, operation.idempotency_key) == (client, key)
            if same and isinstance(request, PairReset) and request.pair == pair:
                return row.id
    return None


def is_live(context: Context, vault: Vault, request: PairReset, setup: bytes) -> bool:
    return any(
        (row.id, row.generation, row.state) == (setup, request.generation, SetupState.LIVE)
        for row in held(context, vault, other(context, request))
    )


def settle(context: Context, operation: Operation, request: PairReset) -> None:
    """Complete a reset whose generation is LIVE here: by the attempt that just ended, by one whose end a crash kept
    from the journal, or by a reset that the other proposed at the same time. Blocking."""
    try:
        _require_approval(context, operation)
        vault = live(context, request)
    except (StaleEpoch, UsageError):
        return
    for row in held(context, vault, other(context, request)):
        if row.state is SetupState.LIVE and row.generation == request.generation:
            _complete(context, operation, request, row.id)


def believe(
    context: Context, operation: Operation, request: PairReset, sender: DeviceId, shown: bytes
) -> None:
    """That the other of the pair has a set-up LIVE: it stands in the result that it signed (rule CE-5.5). Blocking."""
    if sender != other(context, request):
        raise UsageError(f"CE-5.5 reset: {sender} has no say in this reset", code="NOT_IN_ROSTER")
    try:
        result = decode(Reset, shown)
    except EncodingError as error:
        raise UsageError(f"CE-5.5 reset: {error}", code="MALFORMED") from None
    if result != _result(request, result.setup):
        raise UsageError("CE-5.5 reset: the outcome is of another reset", code="WRONG_OUTCOME")
    _require_approval(context, operation)
    vault = live(context, request)
    known = {row.id: row.generation for row in held(context, vault, sender)}
    if known.get(result.setup) == request.generation and context.me == request.pair[0]:
        context.ledger.enliven_setup(vault.id, vault.epoch, sender, result.setup)
    if not is_live(context, vault, request, result.setup):
        raise UsageError(
            "CE-5.5 reset: the set-up that the outcome names is not one this node waits for",
            code="WRONG_OUTCOME",
        )
    _complete(context, operation, request, result.setup)


def left_pending(context: Context) -> frozenset[SetupRow]:
    """What resets left that nobody has said to be LIVE at the other. Blocking."""
    return frozenset(
        row
        for vault in context.vaults.all()
        if vault.active
        for row in context.ledger.setups(vault.id, vault.epoch, vault.row.attempt)
        if row.state is SetupState.PENDING
    )


def behind(context: Context, left: Collection[SetupRow]) -> Sequence[tuple[OperationId, DeviceId]]:
    """The resets that left them, and who can say how they ended. Blocking: reads many operations."""
    places = {(row.vault, row.epoch, row.peer, row.generation) for row in left}
    found = []
    for row in context.ledger.operations(limit=LOOKED_THROUGH) if places else ():
        if row.kind == Kind.PAIR_RESET.value and row.state is not State.COMPLETED:
            request = operation_of(context, row).request
            if isinstance(request, PairReset):
                peer = other(context, request)
                if (request.vault, request.epoch, peer, request.generation) in places:
                    found.append((row.id, peer))
    return tuple(found)


def _require_approval(context: Context, operation: Operation) -> None:
    made = context.ledger.decision(operation.id)
    if made is None or made.digest != operation.digest or made.decision.verdict is not Verdict.APPROVE:
        raise UsageError("CE-5.5 reset: this node's approver has not approved", code="NOT_APPROVED")


def _complete(context: Context, operation: Operation, request: PairReset, setup: bytes) -> None:
    context.ledger.move_operation(
        operation.id, sources(State.COMPLETED), State.COMPLETED, result=encode(_result(request, setup))
    )


def _result(request: PairReset, setup: bytes) -> Reset:
    return Reset(
        vault=request.vault,
        epoch=request.epoch,
        pair=request.pair,
        generation=request.generation,
        setup=setup,
    )
