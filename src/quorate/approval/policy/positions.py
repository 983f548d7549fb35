"""Where everything stands in a TOML text: the line of each table and key, those of inline tables too."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping

Place = tuple[str | int, ...]
"""Keys, and numbers of list items from 0: ``("rule", 2, "limits", 0, "total")``."""

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"{3,5}' r"|'''(?:[^']|'(?!''))*'{3,5}" r'|"(?:[^"\\\n]|\\.)*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]+")


def lines_of(text: str) -> Mapping[Place, int]:
    """The line (from 1) of everything in ``text``, which is sound TOML: what ``tomllib`` refuses is not looked at."""
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._ends = [match.start() for match in re.finditer("\n", text)]
        self._found: dict[Place, int] = {}
        self._items: dict[Place, int] = {}  # how many tables an array of tables has so far

    def scan(self) -> Mapping[Place, int]:
        table: Place = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self._found

    def _header(self) -> Place:
        start, several = self._at, self._text.startswith("[[", self._at)
        self._at += 2 if several else 1
        keys = self._keys()
        self._at += 2 if several else 1
        place: Place = ()
        for key in keys[:-1]:
            place = self._last((*place, key))
        place = (*place, keys[-1])
        self._note(place, start)
        if several:
            self._items[place] = self._items.get(place, 0) + 1
            place = self._last(place)
            self._note(place, start)
        return place

    def _last(self, place: Place) -> Place:
        return (*place, self._items[place] - 1) if place in self._items else place

    def _pair(self, table: Place) -> None:
        start = self._at
        place = (*table, *self._keys())
        self._note(place, start)
        self._at += 1  # =
        self._value(place)

    def _keys(self) -> list[str]:
        """A dotted key, and the blanks around it."""
        keys = []
        while True:
            self._skip(_BLANK)
            quoted = self._skip(_STRING)
            keys.append(quoted[1:-1] if quoted else self._skip(_BARE_KEY))
            self._skip(_BLANK)
            if self._text[self._at : self._at + 1] != ".":
                return keys
            self._at += 1

    def _value(self, place: Place) -> None:
        self._skip(_BLANK)
        match self._text[self._at]:
            case "[":
                self._at += 1
                number = 0
                while not self._closes("]"):
                    self._note((*place, number), self._at)
                    self._value((*place, number))
                    number += 1
            case "{":
                self._at += 1
                while not self._closes("}"):
                    self._pair(place)
            case _:
                if not self._skip(_STRING):
                    self._skip(_BARE_VALUE)

    def _closes(self, bracket: str) -> bool:
        """Whether the list or table ends here; passes the comma before the next item."""
        self._skip(_BLANK)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_BLANK)
        if self._text[self._at] != bracket:
            return False
        self._at += 1
        return True

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _note(self, place: Place, at: int) -> None:
        self._found.setdefault(place, bisect_right(self._ends, at - 1) + 1 if at else 1)
