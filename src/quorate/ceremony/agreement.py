"""What the parties of one attempt agree on, and the ceremony id that hashes all of it.

docs/spec/ceremony.md, section CE-3. Every party derives the id from its own records and from the joins it was
shown; two parties with different ideas of roster, weights, threshold, epoch or joins are in two different sessions.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from quorate.ceremony.ports import Entropy
from quorate.ceremony.statements import Join, Signer, state
from quorate.ceremony.versions import Versions, common
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, SessionId, VaultId
from quorate.native.keys import exchange_public
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.oneshot import OneShot
from quorate.primitives.transcript import Field, digest
from quorate.protocols.quorum import Seat, Sharing


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """``vault`` and ``previous`` are empty where the ceremony makes the vault; ``epoch`` is the one used or made.

    ``sharing`` is the roster with weights, indices and threshold from this node's own record (or, before there is one,
    from the approved operation); ``joins`` the decoded join of every party. Where an epoch is made from another,
    ``former`` is that one's roster and ``dealers`` are those of it that deal.
    """

    stage: str
    operation: bytes
    vault: VaultId | None
    previous: bytes
    epoch: int
    attempt: int
    sharing: Sharing
    joins: Mapping[DeviceId, Join]
    former: Sharing | None = None
    dealers: tuple[DeviceId, ...] = ()

    @property
    def parties(self) -> tuple[DeviceId, ...]:
        return tuple(sorted(self.joins))

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Those of the parties in the roster used or made."""
        return _seats(self.sharing, self.joins)

    @property
    def identity_keys(self) -> Mapping[DeviceId, bytes]:
        """Of every party, as the rosters have them."""
        former = self.former.seats if self.former is not None else ()
        seats = (*former, *self.sharing.seats)
        return {seat.device: seat.identity_key for seat in seats if seat.device in self.joins}

    def _former(self) -> Field:
        if self.former is None:
            return []
        rule: Field = [self.former.threshold, self.former.terms]
        return [_roster(self.former.seats), rule, list(self.dealers)]

    @property
    def version(self) -> int:
        """CE-10.2 common: the highest version of the protocol that all parties say they speak, each in its own signed
        join. ``UsageError`` if there is none."""
        version = common(join.versions for join in self.joins.values())
        if version is None:
            spoken = ", ".join(f"{device}: {join.versions}" for device, join in sorted(self.joins.items()))
            raise UsageError(
                f"CE-10.2 common: the parties have no version of the protocol in common ({spoken})",
                code="PROTOCOL_MISMATCH",
            )
        return version

    @property
    def ceremony_id(self) -> SessionId:
        return SessionId(
            digest(
                Domain.CEREMONY,
                self.version,
                self.stage,
                self.operation,
                self.vault or "",
                self.previous,
                self.epoch,
                self.attempt,
                _roster(self.seats),
                [self.sharing.threshold, self.sharing.terms],
                self._former(),
                [
                    [
                        device,
                        join.digest,
                        join.attempt,
                        join.boot,
                        join.nonce,
                        join.session_key,
                        join.oldest,
                        join.newest,
                    ]
                    for device, join in sorted(self.joins.items())
                ],
            )
        )


def _seats(sharing: Sharing, among: Container[DeviceId]) -> tuple[Seat, ...]:
    return tuple(seat for seat in sharing.seats if seat.device in among)


def _roster(seats: Sequence[Seat]) -> Field:
    return [[seat.device, seat.identity_key, seat.weight, list(seat.indices)] for seat in seats]


class OwnJoin:
    """Our side of a join: the signed statement, and the session key that exists nowhere else. Used once."""

    __slots__ = ("_private", "made_at", "signed", "statement")

    def __init__(
        self, *, digest: bytes, attempt: int, boot: bytes, signer: Signer, entropy: Entropy, now: float,
        versions: Versions,
    ) -> None:  # fmt: skip
        private = entropy.secret(32)
        self._private = OneShot(private, name="a session key")
        self.made_at = now
        self.statement = Join(
            digest=digest,
            attempt=attempt,
            boot=boot,
            nonce=entropy.public(32),
            session_key=exchange_public(private),
            oldest=versions.oldest,
            newest=versions.newest,
        )
        self.signed = state(signer, self.statement)

    def take(self) -> SecretBytes:
        """The private session key; ``ConsumedError`` the second time."""
        return self._private.take()


def in_order(devices: Sequence[DeviceId]) -> bool:
    """Sorted and without repeats: the one order a list of parties may have."""
    return all(a < b for a, b in pairwise(devices))
