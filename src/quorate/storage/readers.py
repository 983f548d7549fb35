"""Connections that only read, one for each thread that reads at this moment: nobody who reads waits for another."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator


class Readers:
    """``connect`` opens one more. Without a lock: taking from and adding to the end of a list are one step each."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextlib.contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
        try:
            yield connection
        finally:
            self._idle.append(connection)
            if self._closed:
                self.close()

    def close(self) -> None:
        """Those that are in use are closed by who uses them."""
        self._closed = True
        while self._idle:
            with contextlib.suppress(IndexError):  # another has closed the last one
                self._idle.pop().close()
