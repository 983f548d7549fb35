"""Versions of the protocol between nodes: which ones a node speaks, and which one some of them have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Versions(NamedTuple):
    """All from the oldest to the newest."""

    oldest: int
    newest: int

    def __str__(self) -> str:
        return str(self.newest) if self.oldest == self.newest else f"{self.oldest} to {self.newest}"

    def speak(self, version: int) -> bool:
        return self.oldest <= version <= self.newest


SPOKEN = Versions(3, 3)  # what this release speaks; docs/spec/ceremony.md, CE-10


def common(spoken: Iterable[Versions]) -> int | None:
    """The highest version that all of these speak; None if there is none."""
    each = tuple(spoken)
    version = min(versions.newest for versions in each)
    return version if all(versions.speak(version) for versions in each) else None
