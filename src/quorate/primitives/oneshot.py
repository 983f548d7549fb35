"""A value that can be had once: nonces and presignatures, whose second use would give the key away."""

from __future__ import annotations

from typing import Generic, TypeVar

from quorate.errors import ConsumedError

T = TypeVar("T")


class OneShot(Generic[T]):
    """Holds a value until ``take``. An error after that burns it: nothing puts a value back. Not for sharing
    between threads."""

    __slots__ = ("_held", "_name")

    def __init__(self, value: T, *, name: str) -> None:
        self._held: list[T] = [value]
        self._name = name

    @property
    def spent(self) -> bool:
        return not self._held

    def take(self) -> T:
        """The value, the first time; ``ConsumedError`` ever after."""
        if not self._held:
            raise ConsumedError(f"{self._name} was used already")
        return self._held.pop()

    def burn(self) -> None:
        """Let go of the value unused."""
        self._held.clear()

    def __repr__(self) -> str:
        return f"<OneShot {self._name}: {'spent' if self.spent else 'held'}>"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a one-shot value is neither copied nor stored")
