"""How a store is locked: whose it is, where its node key comes from, and whether a key is the right one."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from quorate.errors import Corrupt, Locked
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.storage.keywrap import KeySource
from quorate.storage.sealed import NodeSecret, Place, Sealer

_CHECK = b"quorate/v1/store-check"
_CHAINED = b"quorate/v1/store-check, with an audit chain"


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

    def chained(self, sealer: Sealer) -> bool:
        """AU-1.4 begins: whether a chain was begun in this store. It is sealed, so who takes the chain away cannot
        take this away as well."""
        with sealer.open(node_place(self.device, "check"), self.check) as said:
            return said == _CHAINED


def new_lock(device: DeviceId, key: KeySource, *, chained: bool = True) -> tuple[Lock, Sealer]:
    """For a key that was enrolled and, by then, has opened once."""
    parameters = key.enrol(device)
    sealer = Sealer(key.unlock(device, parameters))
    return Lock(device, key.scheme, parameters, sealed_check(device, sealer, chained=chained)), sealer


def sealed_check(device: DeviceId, sealer: Sealer, *, chained: bool) -> bytes:
    return sealer.seal(node_place(device, "check"), SecretBytes.of(_CHAINED if chained else _CHECK))


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
