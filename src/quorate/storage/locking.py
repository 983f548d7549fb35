"""How a store is locked: whose it is, where its node key comes from, and whether a key is the right one."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from quorate.errors import Corrupt, Locked
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.storage.keywrap import KeySource
from quorate.storage.sealed import NodeSecret, Place, Sealer

_CHECK = "quorate/v1/store-check"


class Begun(StrEnum):
    """What a store that once had it never has no more. The check says so, sealed: who takes the rows away cannot take
    this away as well, without an old copy."""

    CHAIN = "an audit chain"  # AU-1.4 begins
    POLICY = "a signed policy"  # ST-7.2 in force


class Lock(NamedTuple):
    device: DeviceId
    scheme: str
    parameters: str
    check: bytes  # sealed

    def open(self, path: Path, key: KeySource) -> Sealer:
        """ST-2.1 key: ``Locked`` unless it is the right one."""
        if self.scheme != key.scheme:
            raise Locked(f"ST-2.1 key: {path} opens with {self.scheme}; {key.scheme} was given")
        sealer = Sealer(key.unlock(self.device, self.parameters))
        try:
            sealer.open(node_place(self.device, "check"), self.check)
        except Corrupt:
            sealer.wipe()
            raise Locked(
                f"ST-2.1 key: {path} does not open with this {self.scheme}: not the one it was locked with"
            ) from None
        return sealer

    def begun(self, sealer: Sealer) -> frozenset[Begun]:
        with sealer.open(node_place(self.device, "check"), self.check) as said:
            for count in range(len(Begun) + 1):
                for begun in combinations(Begun, count):
                    if said == _told(begun):
                        return frozenset(begun)
        raise Corrupt("node: what the check of the key says does not read")


def new_lock(
    device: DeviceId, key: KeySource, begun: Collection[Begun] = (Begun.CHAIN,)
) -> tuple[Lock, Sealer]:
    """For a key that was enrolled and, by then, has opened once."""
    parameters = key.enrol(device)
    sealer = Sealer(key.unlock(device, parameters))
    return Lock(device, key.scheme, parameters, sealed_check(device, sealer, begun)), sealer


def sealed_check(device: DeviceId, sealer: Sealer, begun: Collection[Begun]) -> bytes:
    return sealer.seal(node_place(device, "check"), SecretBytes.of(_told(begun)))


def _told(begun: Collection[Begun]) -> bytes:
    return (f"{_CHECK}, with {' and '.join(sorted(begun))}" if begun else _CHECK).encode()


def note_begun(connection: sqlite3.Connection, sealer: Sealer, what: Begun) -> None:
    """Within the transaction that begins it."""
    lock = required_lock(connection)
    check = sealed_check(lock.device, sealer, {*lock.begun(sealer), what})
    connection.execute("UPDATE node SET key_check = ?", (check,))


def required_lock(connection: sqlite3.Connection) -> Lock:
    lock = read_lock(connection)
    if lock is None:
        raise Corrupt("node: the row that says how the store is locked is missing")
    return lock


def read_lock(connection: sqlite3.Connection) -> Lock | None:
    """None before the store is made."""
    row = connection.execute("SELECT device, key_scheme, key_parameters, key_check FROM node").fetchone()
    if row is None:
        return None
    device, scheme, parameters, check = row
    if not (isinstance(check, bytes) and all(isinstance(text, str) for text in (device, scheme, parameters))):
        raise Corrupt("node: the row that says how the store is locked does not read")
    return Lock(DeviceId(device), scheme, parameters, check)


def node_place(device: DeviceId, kind: NodeSecret) -> Place:
    return Place(device=device, kind=kind)
