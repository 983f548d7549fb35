"""What a node checks about an operation before it asks its approver: its own records against the proposer's words.

docs/spec/ceremony.md, section CE-1. The proposer is trusted for nothing; a refusal here leaves no trace but its reason.
"""

from __future__ import annotations

from quorate.ceremony import resets
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Electorate
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, VaultId
from quorate.operations import payload
from quorate.operations.kinds import BatchSign, CreateVault, Operation, PairReset, Sign, device_id
from quorate.protocols.quorum import Sharing, sharing_of


def admit(context: Context, operation: Operation) -> None:
    """``UsageError`` with the rule's reason code unless this node may put the operation to its approver."""
    _check_times(context, operation)
    match operation.request:
        case CreateVault():
            _check_new_roster(context, operation, operation.request)
        case Sign() | BatchSign():
            _check_signing(context, operation, operation.request)
        case PairReset():
            resets.check(context, operation, operation.request)


def sharing(context: Context, operation: Operation) -> Sharing:
    """The roster, weights and threshold an operation is about, from this node's own records."""
    request = operation.request
    if isinstance(request, CreateVault):
        return sharing_of(request.members, request.threshold, allow_sole_signer=request.allow_sole_signer)
    return context.vaults.require_live(VaultId(request.vault), request.epoch, request.certificate).sharing


def electorate(context: Context, operation: Operation) -> Electorate:
    """Who votes and what it takes: everybody to create a vault, the threshold to sign, a pair to reset its set-up."""
    shared, request = sharing(context, operation), operation.request
    weights = {seat.device: seat.weight for seat in shared.seats}
    if isinstance(request, PairReset):
        weights = {DeviceId(device): weights[DeviceId(device)] for device in request.pair}
    signing = isinstance(request, Sign | BatchSign)
    return Electorate(weights, shared.threshold if signing else sum(weights.values()))


def roster(context: Context, operation: Operation) -> frozenset[DeviceId]:
    """Everybody an operation concerns, whether or not its epoch is still live."""
    request = operation.request
    if isinstance(request, CreateVault):
        return frozenset(DeviceId(member.device) for member in request.members)
    if isinstance(request, PairReset):
        return frozenset(map(DeviceId, request.pair))
    return frozenset(context.vaults.get(VaultId(request.vault)).sharing.devices)


def _check_times(context: Context, operation: Operation) -> None:
    now = context.clock.now_ms()
    if operation.created_ms > now + context.limits.clock_tolerance_ms:
        ahead = (operation.created_ms - now) // 1000
        raise UsageError(
            f"CE-1.2 times: created {ahead} s in the future: check the clocks", code="CLOCK_AHEAD"
        )
    if operation.expires_ms <= now:
        raise UsageError("CE-1.2 times: the operation has expired", code="EXPIRED")
    if not 0 < operation.expires_ms - operation.created_ms <= context.limits.longest_expiry_ms:
        raise UsageError(
            "CE-1.2 times: the operation would live longer than this node allows", code="EXPIRY_TOO_LONG"
        )


def _check_new_roster(context: Context, operation: Operation, request: CreateVault) -> None:
    for member in request.members:
        if device_id(member.identity_key) != member.device:
            raise UsageError(
                f"CE-1.4 roster: {member.device} is not the id of the key beside it", code="WRONG_IDENTITY"
            )
        if context.peer(DeviceId(member.device)).identity_key != member.identity_key:
            raise UsageError(
                f"CE-1.4 roster: {member.device} has another identity key on its card", code="WRONG_IDENTITY"
            )
    roster = {member.device for member in request.members}
    for device, who in ((context.me, "this node"), (operation.proposer, "the proposer")):
        if device not in roster:
            raise UsageError(
                f"CE-1.5 membership: {who} ({device}) is not in the roster", code="NOT_IN_ROSTER"
            )
    sharing_of(request.members, request.threshold, allow_sole_signer=request.allow_sole_signer)


def _check_signing(context: Context, operation: Operation, request: Sign | BatchSign) -> None:
    vault = context.vaults.require_live(VaultId(request.vault), request.epoch, request.certificate)
    if not vault.ready:
        waiting = ", ".join(context.name_of(device) for device in vault.missing_acknowledgements)
        raise UsageError(
            f"CE-1.6 epoch: vault {vault.name} awaits the acknowledgement of {waiting}",
            code="VAULT_NOT_READY",
        )
    if operation.proposer not in vault.sharing.devices:
        raise UsageError(
            f"CE-1.5 membership: the proposer ({operation.proposer}) is not in the roster",
            code="NOT_IN_ROSTER",
        )
    try:
        payload.messages(request.signing)
        vault.key(request.signing)
    except UsageError as error:
        raise UsageError(f"CE-1.7 payload: {error}", code=error.code) from None
