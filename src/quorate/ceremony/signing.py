"""What a session to sign runs: the protocol of the algorithm's curve, with this node's say before a share leaves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from quorate.ceremony.agreement import Agreement
from quorate.ceremony.context import Context
from quorate.ceremony.session import Patience
from quorate.curves import Randomness
from quorate.errors import Bug, Denied, ProtocolAbort
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations import payload
from quorate.operations.digests import signing_digest
from quorate.operations.kinds import BatchSign, Operation, Sign
from quorate.protocols.ecdsa.batch import sign_batch
from quorate.protocols.ecdsa.sign import MAX_MESSAGES
from quorate.protocols.eddsa import frost
from quorate.wire.net import Net

T = TypeVar("T")

MULTIPLICATION = 0.05  # seconds: ten times what one message takes with one peer on a busy machine


def needs_setups(operation: Operation, stage: str) -> bool:
    """Whether sessions of a stage multiply, and so work under the pair set-ups of their parties."""
    request = operation.request
    if isinstance(request, Sign | BatchSign):
        return request.signing.algorithm.curve is Curve.SECP256K1
    return stage == "trial"


def patience(context: Context, operation: Operation, parties: Collection[DeviceId]) -> Patience:
    """How long a session may take: one that multiplies for a batch has as much longer as that is work, and a party that
    says nothing may be at work on one chunk."""
    usual, request = context.limits.patience, operation.request
    if not isinstance(request, Sign | BatchSign) or not needs_setups(operation, "sign"):
        return usual
    message, count = MULTIPLICATION * (len(parties) - 1), len(request.signing.data)
    return replace(
        usual,
        silence=usual.silence + message * min(count, MAX_MESSAGES),
        deadline=usual.deadline + message * count,
    )


async def sign(
    context: Context,
    net: Net,
    operation: Operation,
    agreement: Agreement,
    setups: Mapping[DeviceId, bytes],
    rng: Randomness,
) -> tuple[bytes, ...]:
    """The signatures in the form that nodes keep, one for each message. ``setups`` names the pair set-ups journalled
    for this session."""
    request = operation.request
    if not isinstance(request, Sign | BatchSign):
        raise Bug(f"{operation.kind} signs nothing")
    signing = request.signing
    curve = signing.algorithm.curve
    vault = context.vaults.require_live(VaultId(request.vault), request.epoch, request.certificate)
    quorum = context.vaults.quorum(vault, curve, agreement.parties)
    key = vault.key(signing)
    tweak = key.tweak if key.depth else None
    messages, release = payload.messages(signing), _release(context, operation, agreement)
    if curve is Curve.ED25519:
        return await frost.sign(net, quorum, messages, tweak, rng, release)
    digests = [signing_digest(signing.algorithm, message) for message in messages]
    read = context.pairs.reader(vault, setups)
    signed = await ending_setups(context, setups, sign_batch(net, quorum, digests, tweak, read, rng, release))
    return tuple(signature.compact + bytes([signature.recovery_id]) for signature in signed)


async def ending_setups(
    context: Context, setups: Mapping[DeviceId, bytes], protocol: Coroutine[Any, None, T]
) -> T:
    """Run ``protocol``; where a peer cheats in a way that tells it something of our set-up with it, the set-up is over,
    on disk too, before this node says anything more (rule CE-6.3)."""
    try:
        return await protocol
    except ProtocolAbort as failure:
        if failure.cheat:
            context.pairs.end([setups[culprit] for culprit in failure.culprits], str(failure))
        raise


def _release(context: Context, operation: Operation, agreement: Agreement) -> Callable[[], None]:
    def release() -> None:
        """Right before a share leaves: still wanted, still approved, and journalled (rules CE-4)."""
        if operation.expires_ms <= context.clock.now_ms():
            raise Denied("the operation expired before the share left", approver="", rule="CE-4.1 expiry")
        if not context.ledger.release(operation.id, agreement.attempt, operation.digest):
            raise Denied("no approval of this attempt is journalled", approver="", rule="CE-4.2 approval")

    return release
