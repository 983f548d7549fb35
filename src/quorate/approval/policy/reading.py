"""Reads TOML tables key by key and notes every mistake with its place, instead of ending at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, TypeVar

from quorate.approval.policy.positions import Place

T = TypeVar("T")
GUESSES = 50  # what is meant is guessed for so many mistakes: each takes a while


@dataclass(frozen=True, slots=True)
class Flaw:
    place: Place
    why: str


@dataclass(slots=True)
class Table:
    """One table of a file. ``close`` tells of the keys nobody asked for."""

    data: dict[str, Any]
    place: Place
    flaws: list[Flaw]
    _asked: set[str] = field(default_factory=set)

    def flaw(self, why: str, *below: str | int) -> None:
        self.flaws.append(Flaw((*self.place, *below), why))

    def has(self, key: str) -> bool:
        self._asked.add(key)
        return key in self.data

    def text(self, key: str) -> str | None:
        """Text that is not empty; None where it is missing or wrong."""
        value = self.data.get(key) if self.has(key) else None
        if key in self.data and not (isinstance(value, str) and value):
            self.flaw(f"{key} takes text in quotes, and not an empty one", key)
            return None
        return value

    def whole(self, key: str, least: int, most: int) -> int | None:
        value = self.data.get(key) if self.has(key) else None
        if value is None:
            return None
        if type(value) is not int or not least <= value <= most:
            self.flaw(f"{key} takes a whole number from {least} to {most}", key)
            return None
        return value

    def flag(self, key: str) -> bool:
        value = self.data.get(key, False) if self.has(key) else False
        if not isinstance(value, bool):
            self.flaw(f"{key} is true or false", key)
            return False
        return value

    def texts(self, key: str, *, empty: bool = False) -> list[str] | None:
        """A list of texts, at least one; ``empty``: one may be the empty text."""
        if not self.has(key):
            return None
        value = self.data[key]
        if not isinstance(value, list) or not all(
            isinstance(each, str) and (each or empty) for each in value
        ):
            self.flaw(f"{key} takes a list of texts in quotes", key)
            return None
        if not value:
            self.flaw(
                f"{key} is an empty list, which nothing can be in; leave the key out to ask for nothing", key
            )
            return None
        return value

    def table(self, key: str) -> Table:
        """The table under ``key``, an empty one where it is missing or wrong."""
        value = self.data.get(key, {}) if self.has(key) else {}
        if not isinstance(value, dict):
            self.flaw(f"{key} takes a table", key)
            value = {}
        return Table(value, (*self.place, key), self.flaws)

    def tables(self, key: str) -> list[Table]:
        value = self.data.get(key, []) if self.has(key) else []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            self.flaw(f"{key} takes a list of tables", key)
            return []
        return [Table(each, (*self.place, key, number), self.flaws) for number, each in enumerate(value)]

    def entries(self) -> Iterator[tuple[str, Any]]:
        """Everything in it: for tables whose keys are names."""
        self._asked.update(self.data)
        yield from self.data.items()

    def read(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Text that ``parse`` understands; its ``ValueError`` is the reason."""
        text = self.text(key)
        return None if text is None else self.tried(lambda: parse(text), key)

    def tried(self, make: Callable[[], T], *below: str | int) -> T | None:
        try:
            return make()
        except ValueError as error:
            self.flaw(str(error), *below)
            return None

    def close(self) -> None:
        for key in self.data.keys() - self._asked:
            near = get_close_matches(key, self._asked, n=1) if len(self.flaws) < GUESSES else []
            self.flaw(f"there is no key {key} here" + (f"; {near[0]} is meant?" if near else ""), key)
