"""Who has a say in an operation, and when the votes decide it. docs/spec/ceremony.md, section CE-2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from quorate.errors import UsageError
from quorate.identifiers import DeviceId


class Standing(Enum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"  # approval can no longer be reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who takes part in an attempt, sorted. ``dealers`` are those of them whose weight counts, where the others take
    part whatever their weight; empty where every party's counts."""

    parties: tuple[DeviceId, ...]
    dealers: tuple[DeviceId, ...] = ()


@dataclass(frozen=True, slots=True)
class Electorate:
    """Weights as given, and the weight that must approve: the threshold to sign, everybody to create a vault. And, of
    a change of roster, ``everyone`` who must approve and take part whatever their weight, which may be none."""

    weights: Mapping[DeviceId, int]
    needed: int
    everyone: frozenset[DeviceId] = frozenset()

    def approved_weight(self, verdicts: Mapping[DeviceId, str]) -> int:
        return sum(self.weights[device] for device, verdict in verdicts.items() if verdict == "approve")

    def standing(self, verdicts: Mapping[DeviceId, str]) -> Standing:
        approved = self.approved_weight(verdicts)
        said = {verdicts.get(device) for device in self.everyone}
        if approved >= self.needed and said <= {"approve"}:
            return Standing.APPROVED
        silent = sum(weight for device, weight in self.weights.items() if device not in verdicts)
        reachable = approved + silent >= self.needed and said <= {"approve", None}
        return Standing.OPEN if reachable else Standing.REJECTED

    def check(self, parties: frozenset[DeviceId], dealers: tuple[DeviceId, ...]) -> None:
        """Rule CE-3.5: ``UsageError`` unless these are parties that an attempt may have."""
        if strangers := (parties | set(dealers)) - self.weights.keys():
            raise UsageError(
                f"CE-3.5 weight: {', '.join(sorted(strangers))} not in the roster", code="NOT_IN_ROSTER"
            )
        if bool(dealers) != bool(self.everyone) or (dealers and parties != self.everyone.union(dealers)):
            raise UsageError(
                "CE-3.5 weight: the parties are not the dealers and the new roster", code="WRONG_PARTIES"
            )
        if sum(self.weights[device] for device in set(dealers) or parties) < self.needed:
            raise UsageError(
                f"CE-3.5 weight: the parties' weight is below {self.needed}", code="NOT_ENOUGH_WEIGHT"
            )

    def choose(
        self,
        willing: Mapping[DeviceId, bool],
        first: DeviceId,
        trouble: Mapping[DeviceId, int],
        together: Mapping[frozenset[DeviceId], int],
        *,
        idle: frozenset[DeviceId] = frozenset(),
    ) -> Cast | None:
        """Signers that reach ``needed`` and each of whom it takes; None if the willing are not enough. Where there is
        ``everyone`` these are the dealers, and who was named is no dealer if others can be, we ourselves as well.

        Who is ``idle`` is none of these, but takes part where it is one of ``everyone``. ``willing`` maps each
        candidate to whether it is connected. Connected ones come first, then ``first`` (this node, which needs no
        network), then those with the least ``trouble``, then those that failed the least ``together`` with who is
        chosen already, then the heavier; a last pass drops whoever turned out not to be needed.
        """
        chosen: list[DeviceId] = []

        def rank(device: DeviceId) -> tuple[bool, int, int, int, int, DeviceId]:
            shared = sum(together.get(frozenset((device, other)), 0) for other in chosen)
            named, extra = trouble.get(device, 0), device not in self.everyone
            alone = (named, extra) if self.everyone else (device != first, named)
            return (not willing[device], *alone, shared, -self.weights[device], device)

        if not self.everyone <= willing.keys():
            return None
        while sum(self.weights[device] for device in chosen) < self.needed:
            left = {device for device in willing if self.weights[device]} - set(chosen) - idle
            if not left:
                return None
            chosen.append(min(left, key=rank))
        for device in sorted(chosen, key=lambda device: self.weights[device]):
            rest = [c for c in chosen if c != device]
            if sum(self.weights[c] for c in rest) >= self.needed:
                chosen = rest
        if not self.everyone:
            return Cast(parties=tuple(sorted(chosen)))
        return Cast(parties=tuple(sorted(self.everyone.union(chosen))), dealers=tuple(sorted(chosen)))
