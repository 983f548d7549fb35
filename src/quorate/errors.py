"""Every way this program fails, in one tree.

    QuorateError
      UsageError          the caller is wrong; nothing was sent
        NoSetup           no live pair set-up with a peer
      Denied              an approver or a policy said no: who, which rule, why
      Aborted             a session ended without output
        ProtocolAbort     rule, culprits, evidence (signed envelopes)
          Contested       culprits are two, of whom one lies
        Stalled           waiting_on: who did not speak in time
        Diverged          echoed views differ; no single culprit
        Cancelled         this node ended the session: deadline, shutdown, another node's abort
      PeerError           a peer could not be reached or refused a request: who, why
      StoreError
        Unwritable        the store takes no changes at this moment; what was asked for was not done
          DiskFull
          ReadOnly
          StoreStuck      a commit does not end
        Locked            the key that opens the store is wrong or absent
        StaleEpoch        another epoch of this vault is live
        Corrupt           a row does not open or does not fit
        Quarantined       a restored store has not been reconciled
      ConsumedError       a one-shot secret was asked for twice
    EncodingError         bytes that are not the one encoding of a value (a ValueError; the wire blames its sender)
    Bug                   our invariant broke; never a peer's doing; crash loudly

Each class carries a ``reason``: a stable upper-case code that crosses gRPC and is documented with its remedy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from quorate.identifiers import DeviceId


class QuorateError(Exception):
    reason: ClassVar[str] = "FAILED"


class UsageError(QuorateError):
    """The caller is wrong. ``reason`` may be narrowed per instance with ``code``."""

    reason = "INVALID_REQUEST"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or self.reason


class NoSetup(UsageError):
    """No live pair set-up with a peer, without which the two do not sign ECDSA together."""

    reason = "NO_LIVE_SETUP"


class Denied(QuorateError):
    reason = "DENIED"

    def __init__(self, message: str, *, approver: str, rule: str) -> None:
        super().__init__(message)
        self.approver, self.rule = approver, rule


class Aborted(QuorateError):
    """A session ended without output. It is never resumed."""

    reason = "ABORTED"

    @property
    def culprits(self) -> frozenset[DeviceId]:
        return frozenset()


class ProtocolAbort(Aborted):
    """A check failed. ``rule`` is its id in docs/spec; ``culprits`` is empty where nobody can be blamed. ``cheat``:
    the check may have told the culprit something of our pair set-up with it, which must never be used again."""

    reason = "PROTOCOL_ABORT"

    def __init__(
        self, rule: str, *culprits: DeviceId, evidence: Iterable[bytes] = (), cheat: bool = False
    ) -> None:
        blamed = ", ".join(sorted(culprits)) or "nobody to blame"
        super().__init__(f"{rule} ({blamed})")
        self.rule = rule
        self.cheat = cheat
        self._culprits = frozenset(culprits)
        self.evidence = tuple(evidence)

    @property
    def culprits(self) -> frozenset[DeviceId]:
        return self._culprits


class Contested(ProtocolAbort):
    """Two say what cannot both be so, and nobody else can tell who lies: at least one of the two ``culprits``. So
    neither is held to be a cheat for it; the two are kept apart."""

    def __init__(self, rule: str, one: DeviceId, other: DeviceId) -> None:
        super().__init__(rule, one, other)


class Stalled(Aborted):
    reason = "STALLED"

    def __init__(self, waiting_on: Iterable[DeviceId], slot: str) -> None:
        self.waiting_on = frozenset(waiting_on)
        self.slot = slot
        super().__init__(f"no message from {', '.join(sorted(self.waiting_on)) or 'nobody'} for {slot}")


class Diverged(Aborted):
    """Echoed views of one round differ. Names the equivocator once two of its signed envelopes met, else nobody."""

    reason = "DIVERGED"
    rule: ClassVar[str] = "W-5.2 view"

    def __init__(self, slot: str, culprits: Iterable[DeviceId] = (), evidence: Iterable[bytes] = ()) -> None:
        self.slot = slot
        self._culprits = frozenset(culprits)
        self.evidence = tuple(evidence)
        super().__init__(f"views of {slot} differ ({', '.join(sorted(self._culprits)) or 'nobody to blame'})")

    @property
    def culprits(self) -> frozenset[DeviceId]:
        return self._culprits


class Cancelled(Aborted):
    reason = "CANCELLED"


class PeerError(QuorateError):
    """A peer could not be reached, or refused. ``code`` is the stable reason: UNREACHABLE, or what the peer said."""

    reason = "PEER_ERROR"

    def __init__(self, peer: DeviceId, message: str, *, code: str = "UNREACHABLE") -> None:
        super().__init__(f"{peer}: {message}")
        self.peer, self.code = peer, code


class StoreError(QuorateError):
    reason = "STORE_ERROR"


class Unwritable(StoreError):
    """The store takes no changes at this moment; what was there stays, and can be read."""


class DiskFull(Unwritable):
    reason = "DISK_FULL"


class ReadOnly(Unwritable):
    reason = "READ_ONLY"


class StoreStuck(Unwritable):
    """The disk neither takes a commit nor refuses it."""

    reason = "STORE_STUCK"


class Sealed(Unwritable):
    """The operator sealed this node: its node key and shares are in no memory until it is unsealed."""

    reason = "SEALED"


class Locked(StoreError):
    reason = "STORE_LOCKED"


class StaleEpoch(StoreError):
    reason = "STALE_EPOCH"


class Corrupt(StoreError):
    reason = "STORE_CORRUPT"


class Quarantined(StoreError):
    reason = "QUARANTINED"


class ConsumedError(QuorateError):
    reason = "CONSUMED"


class EncodingError(ValueError):
    """Bytes that are not the one canonical encoding of a value of this type."""


class Bug(AssertionError):
    """Our own invariant broke."""


def require(holds: bool, rule: str, *culprits: DeviceId, cheat: bool = False) -> None:
    """End the session under ``rule`` (an id of docs/spec) unless the check holds, blaming ``culprits``. ``cheat``:
    and the pair set-up with each of them."""
    if not holds:
        raise ProtocolAbort(rule, *culprits, cheat=cheat)


def suspected(failure: QuorateError) -> frozenset[DeviceId]:
    """Who an attempt failed for: the blamed, the silent, the unreachable; empty where nobody can be named."""
    match failure:
        case Stalled():
            return failure.waiting_on
        case Aborted():
            return failure.culprits
        case PeerError():
            return frozenset({failure.peer})
        case _:
            return frozenset()
