"""From what an operator wants changed to the reshare that is put to the vote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from quorate.ceremony.context import Context
from quorate.ceremony.journal import operation_of
from quorate.ceremony.ports import Peer
from quorate.ceremony.vaults import Vault
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, OperationId
from quorate.operations.kinds import Kind, Member, Reshare
from quorate.protocols.sharing import Sharing, sharing_of

LOOKED_THROUGH = 1000  # operations, the latest


def request_for(
    context: Context,
    vault: Vault,
    *,
    peer_of: Callable[[str], Peer],
    weights: Mapping[str, int],
    removed: Sequence[str],
    threshold: int | None,
    allow_sole_signer: bool,
    after: int,
    memo: str,
) -> Reshare:
    """The present roster with ``weights`` set and ``removed`` left out, names or device ids of peers; nothing of either
    is a refresh. ``UsageError`` for who is not there to be removed, twice in it, or down."""
    members = {
        seat.device: Member(device=seat.device, identity_key=seat.identity_key, weight=seat.weight)
        for seat in vault.sharing.seats
    }
    for wanted in removed:
        device = peer_of(wanted).device
        if device not in members:
            raise UsageError(f"{wanted} is no signer of vault {vault.name}", code="NOT_IN_ROSTER")
        del members[device]
    for wanted, weight in weights.items():
        peer = peer_of(wanted)
        if weight < 1:
            raise UsageError(f"{wanted} has weight {weight}: a weight is at least 1; remove it instead")
        if wanted in removed:
            raise UsageError(f"{wanted} is both set and removed")
        members[peer.device] = Member(device=peer.device, identity_key=peer.identity_key, weight=weight)
    sharing: Sharing = sharing_of(
        members.values(), threshold or vault.sharing.threshold, allow_sole_signer=allow_sole_signer
    )
    require_up(context, sharing.devices)
    return Reshare(
        vault=vault.id,
        epoch=vault.epoch,
        certificate=vault.certificate_hash,
        name=vault.name,
        members=tuple(members[device] for device in sharing.devices),
        threshold=sharing.threshold,
        allow_sole_signer=allow_sole_signer,
        after=after,
        memo=memo,
    )


def require_up(context: Context, members: Sequence[DeviceId]) -> None:
    """Every member of the new roster takes part, so none may be down."""
    down = [device for device in members if device != context.me and not context.mesh.connected(device)]
    if down:
        names = ", ".join(map(context.name_of, down))
        raise UsageError(
            f"{names} is not connected, and every signer of the new roster takes part: start it, or remove it",
            code="MEMBER_DOWN",
        )


def asked_before(context: Context, vault: Vault, client: str, key: str) -> OperationId | None:
    """The reshare that a client asked for under the same key: asked again, it is that one, whatever came of it."""
    for row in context.ledger.operations(limit=LOOKED_THROUGH):
        if row.kind == Kind.RESHARE.value and row.vault == vault.id:
            operation = operation_of(context, row)
            if (operation.client, operation.idempotency_key) == (client, key):
                return row.id
    return None
