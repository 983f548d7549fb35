"""Who has a say in an operation, and when the votes decide it. docs/spec/ceremony.md, section CE-2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from quorate.identifiers import DeviceId


class Standing(Enum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"  # approval can no longer be reached


@dataclass(frozen=True, slots=True)
class Electorate:
    """Weights as given, and the weight that must approve: the threshold to sign, everybody to create a vault."""

    weights: Mapping[DeviceId, int]
    needed: int

    def approved_weight(self, verdicts: Mapping[DeviceId, str]) -> int:
        return sum(self.weights[device] for device, verdict in verdicts.items() if verdict == "approve")

    def standing(self, verdicts: Mapping[DeviceId, str]) -> Standing:
        approved = self.approved_weight(verdicts)
        if approved >= self.needed:
            return Standing.APPROVED
        silent = sum(weight for device, weight in self.weights.items() if device not in verdicts)
        return Standing.OPEN if approved + silent >= self.needed else Standing.REJECTED

    def choose(
        self,
        willing: Mapping[DeviceId, bool],
        first: DeviceId,
        trouble: Mapping[DeviceId, int],
        together: Mapping[frozenset[DeviceId], int],
    ) -> tuple[DeviceId, ...] | None:
        """Signers that reach ``needed`` and each of whom it takes, sorted; None if the willing are not enough.

        ``willing`` maps each candidate to whether it is connected. Connected ones come first, then ``first`` (this
        node, which needs no network), then those with the least ``trouble``, then those that failed the least
        ``together`` with who is chosen already, then the heavier; a last pass drops whoever turned out not to be
        needed.
        """
        chosen: list[DeviceId] = []

        def rank(device: DeviceId) -> tuple[bool, bool, int, int, int, DeviceId]:
            shared = sum(together.get(frozenset((device, other)), 0) for other in chosen)
            alone = not willing[device], device != first, trouble.get(device, 0)
            return (*alone, shared, -self.weights[device], device)

        while sum(self.weights[device] for device in chosen) < self.needed:
            left = willing.keys() - set(chosen)
            if not left:
                return None
            chosen.append(min(left, key=rank))
        for device in sorted(chosen, key=lambda device: self.weights[device]):
            rest = [c for c in chosen if c != device]
            if sum(self.weights[c] for c in rest) >= self.needed:
                chosen = rest
        return tuple(sorted(chosen))
