"""What was read lately, kept until something about it is written. Nobody else writes: one process holds the store."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

ROOM = 512  # subjects: a dozen kilobytes each


class Recent:
    """Values by subject and part; the subject not used longest goes first. Values are shared: nobody changes them."""

    def __init__(self) -> None:
        self._held: OrderedDict[Hashable, dict[str, Any]] = OrderedDict()
        self._forgotten = 0
        self._lock = threading.Lock()

    def get(
        self,
        about: Hashable,
        part: str,
        load: Callable[[], T],
        *,
        worth: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """The value kept, or the one ``load`` reads. It is kept if ``worth`` it, and unless something was forgotten
        meanwhile: what was read could be from before that write."""
        with self._lock:
            parts = self._held.get(about)
            if parts is not None and part in parts:
                self._held.move_to_end(about)
                kept: T = parts[part]
                return kept
            before = self._forgotten
        value = load()
        with self._lock:
            if before == self._forgotten and worth(value):
                self._held.setdefault(about, {})[part] = value
                while len(self._held) > ROOM:
                    self._held.popitem(last=False)
        return value

    def forget(self, about: Hashable) -> None:
        """To be called after each write, before its caller hears of it."""
        with self._lock:
            self._forgotten += 1
            self._held.pop(about, None)
