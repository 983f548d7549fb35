"""A store at rest gets another lock: every data key is wrapped anew, by the node key of another source.

The values stay as they are sealed, under the data keys they have: whoever has an old copy of the file and what opened
it has these values anyhow.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from quorate.ceremony.identity import Identity
from quorate.errors import Corrupt, StoreError
from quorate.identifiers import DeviceId
from quorate.storage.audit import append, has_chain
from quorate.storage.database import Database
from quorate.storage.keywrap import KeySource
from quorate.storage.locking import Lock, new_lock, node_place, read_lock
from quorate.storage.sealed import Place, Sealer


class SealedValue(NamedTuple):
    place: Place
    sealed: Any
    update: str
    row: tuple[Any, ...]


def rewrap(
    path: Path, key: KeySource, to: KeySource, *, on_commit: Callable[[str], None] | None = None
) -> int:
    """ST-2.6 rewrap: the store opens with ``to`` from now on, and with ``key`` no longer; how many values were wrapped
    anew. After an error nothing was changed, unless it says that only what the old one opens was not wiped. Not for a
    store that is in use."""
    if not path.exists():
        raise StoreError(f"there is no store at {path}: quorate init makes one")
    with contextlib.closing(Database(path, on_commit=on_commit)) as database:
        lock = database.read(read_lock) if database.version() else None
        if lock is None:
            raise StoreError(f"{path} was never finished: quorate init makes the store")
        with contextlib.ExitStack() as wiped:
            old = lock.open(path, key)
            wiped.callback(old.wipe)
            database.migrate()
            identity = database.read(lambda connection: _identity(connection, lock.device, old))
            new_one, new = new_lock(lock.device, to, lock.begun(old))
            wiped.callback(new.wipe)

            def change(connection: sqlite3.Connection) -> int:
                count = _wrap(connection, new_one, old, new)
                if has_chain(connection):  # else it begins when the store is next opened
                    facts = {"before": lock.scheme, "now": to.scheme, "values": count}
                    append(connection, identity, time.time_ns() // 1_000_000, "rewrapped", "", facts)
                return count

            count = database.write("rewrap", change)
        try:
            database.purge()
        except StoreError as error:
            raise StoreError(
                f"ST-2.6 rewrap: {path} opens with the new key from now on, and with the old one no longer: keep the"
                " new one, and change [key]. What the old one opens is not wiped from the disk yet"
                f" ({error.__cause__ or error}): see to that, and rewrap once more"
            ) from error
    return count


def _identity(connection: sqlite3.Connection, device: DeviceId, sealer: Sealer) -> Identity:
    (sealed,) = connection.execute("SELECT identity FROM node").fetchone()
    if not isinstance(sealed, bytes):
        raise Corrupt("node: identity does not read")
    return Identity.of(sealer.open(node_place(device, "identity"), sealed), "")


def _wrap(connection: sqlite3.Connection, lock: Lock, old: Sealer, new: Sealer) -> int:
    values = list(sealed_values(connection, lock.device))
    for value in values:
        if not isinstance(value.sealed, bytes):
            raise Corrupt(f"{value.place} does not read")
        connection.execute(value.update, (old.rewrap(value.place, value.sealed, new), *value.row))
    connection.execute(
        "UPDATE node SET key_scheme = ?, key_parameters = ?, key_check = ?",
        (lock.scheme, lock.parameters, lock.check),
    )
    return len(values)


def sealed_values(connection: sqlite3.Connection, device: DeviceId) -> Iterator[SealedValue]:
    """Everything sealed but the check value, which is the lock's own."""
    ask = connection.execute
    identity, tls_key = ask("SELECT identity, tls_key FROM node").fetchone()
    yield SealedValue(node_place(device, "identity"), identity, "UPDATE node SET identity = ?", ())
    yield SealedValue(node_place(device, "tls-key"), tls_key, "UPDATE node SET tls_key = ?", ())
    for rev, sealed in ask("SELECT rev, tls_key FROM retiring_certificates"):
        place = Place(device=device, kind="retired-tls-key", epoch=rev)
        yield SealedValue(place, sealed, "UPDATE retiring_certificates SET tls_key = ? WHERE rev = ?", (rev,))
    for (sealed,) in ask("SELECT key FROM client_authority"):
        yield SealedValue(
            node_place(device, "client-authority"), sealed, "UPDATE client_authority SET key = ?", ()
        )
    for (sealed,) in ask("SELECT sealed FROM policy_in_force"):
        place = Place(device=device, kind="policy")
        yield SealedValue(place, sealed, "UPDATE policy_in_force SET sealed = ?", ())
    for *row, indices, sealed, record_hash in ask(
        "SELECT vault, epoch, attempt, curve, indices, sealed, record_hash FROM shares NATURAL JOIN epochs"
    ):
        vault, epoch, attempt, curve = row
        place = Place(
            device=device, kind="share", vault=vault, epoch=epoch, attempt=attempt, curve=curve,
            indices=tuple(json.loads(indices)), record_hash=record_hash,
        )  # fmt: skip
        where = "vault = ? AND epoch = ? AND attempt = ? AND curve = ?"
        yield SealedValue(place, sealed, f"UPDATE shares SET sealed = ? WHERE {where}", tuple(row))  # noqa: S608
    for vault, epoch, attempt, peer, generation, setup, sealed, record_hash in ask(
        "SELECT vault, epoch, attempt, peer, generation, id, sealed, record_hash"
        " FROM setups JOIN epochs USING (vault, epoch, attempt) WHERE setups.state <> 'DEAD'"
    ):
        place = Place(
            device=device, kind="setup", vault=vault, epoch=epoch, attempt=attempt, record_hash=record_hash,
            peer=peer, generation=generation, setup=setup,
        )  # fmt: skip
        yield SealedValue(place, sealed, "UPDATE setups SET sealed = ? WHERE id = ?", (setup,))
