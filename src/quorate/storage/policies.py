"""The policies that the governing vault signed, as this node keeps them: added to, and never changed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from quorate.ceremony.rulebook import PolicyRow
from quorate.errors import Corrupt, UsageError
from quorate.identifiers import DeviceId, VaultId
from quorate.native.memory import SecretBytes
from quorate.storage.audit import AuditBook
from quorate.storage.locking import Begun, note_begun
from quorate.storage.sealed import Place, Sealer

_ABOUT = "policies"
_COLUMNS = "version, vault, policy, certificate, signature, signers, at_ms"
_NEWEST = f"SELECT {_COLUMNS} FROM policies ORDER BY version DESC LIMIT 1"  # noqa: S608 - the columns are ours


class PolicyShelf(AuditBook):
    """The part of the ledger that knows which policy is in force."""

    _sealer: Sealer
    _governed: bool  # there is a signed policy, or there was one

    def add_policy(self, row: PolicyRow) -> bool:
        """ST-7.1 rising: in force from now on; False, and nothing changed, unless its version is above every one
        before. ``UsageError`` for another vault's."""

        def change(connection: sqlite3.Connection) -> bool:
            held = self._checked(connection)
            if held is not None and held.vault != row.vault:
                raise UsageError(
                    f"ST-7.1 rising: this node's policies are signed by vault {held.vault}, not {row.vault}",
                    code="POLICY_WRONG_VAULT",
                )
            if held is not None and row.version <= held.version:
                return False
            connection.execute(
                f"INSERT INTO policies ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
                (
                    row.version, row.vault, row.policy, row.certificate, row.signature, json.dumps(row.signers),
                    row.at_ms,
                ),
            )  # fmt: skip
            if held is None:
                note_begun(connection, self._sealer, Begun.POLICY)
            sealed = self._sealer.seal(self._in_force(), SecretBytes.of(_mark(row)))
            connection.execute("INSERT OR REPLACE INTO policy_in_force (id, sealed) VALUES (1, ?)", (sealed,))
            self._tell(
                connection,
                "policy",
                version=row.version,
                vault=row.vault,
                policy=sha256(row.policy).hexdigest(),
            )
            return True

        added = self._database.write("add_policy", change, about=_ABOUT)
        self._governed = self._governed or added
        return added

    def policy(self) -> PolicyRow | None:
        """ST-7.2 in force: the newest; ``Corrupt`` unless it is the one that was put in force last."""
        return self._database.glance(_ABOUT, "policy", self._checked)

    def policies(self) -> Sequence[PolicyRow]:
        """Every one that was ever in force here, oldest first."""
        query = f"SELECT {_COLUMNS} FROM policies ORDER BY version"  # noqa: S608
        rows = self._database.read(lambda connection: connection.execute(query).fetchall())
        return [_policy(row) for row in rows]

    def policy_shares(self) -> Mapping[int, bytes]:
        """By version, the digest of the policy that this node gave a share of the signature of."""
        query = "SELECT version, digest FROM policy_shares"
        return dict(self._database.read(lambda connection: connection.execute(query).fetchall()))

    def _checked(self, connection: sqlite3.Connection) -> PolicyRow | None:
        found = connection.execute(_NEWEST).fetchone()
        sealed = connection.execute("SELECT sealed FROM policy_in_force").fetchone()
        if not (found or sealed or self._governed):
            return None
        row = None if found is None else _policy(found)
        if row is None or sealed is None or not isinstance(sealed[0], bytes):
            raise Corrupt("ST-7.2 in force: policies: the policy in force is missing: restore the store")
        with self._sealer.open(self._in_force(), sealed[0]) as mark:
            if mark != _mark(row):
                raise Corrupt(
                    f"ST-7.2 in force: policies: version {row.version} is not the one that was put in force last:"
                    " rows were changed or taken away"
                )
        return row

    def _in_force(self) -> Place:
        return Place(device=self._device, kind="policy")


def has_policy(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM policies").fetchone() is not None


def share_policy(connection: sqlite3.Connection, version: int, digest: bytes) -> None:
    """ST-7.3 one share: within the transaction that releases it. ``UsageError`` if this node gave one for another
    policy of this version, or one of this version or above is in force."""
    given = connection.execute("SELECT digest FROM policy_shares WHERE version = ?", (version,)).fetchone()
    if given is not None and given[0] != digest:
        raise UsageError(
            f"ST-7.3 one share: this node gave its share for another policy of version {version}: propose a higher one",
            code="POLICY_VERSION_SPENT",
        )
    if connection.execute("SELECT 1 FROM policies WHERE version >= ?", (version,)).fetchone() is not None:
        raise UsageError(
            f"ST-7.3 one share: version {version} or a later one is in force", code="POLICY_SUPERSEDED"
        )
    connection.execute(
        "INSERT OR IGNORE INTO policy_shares (version, digest) VALUES (?, ?)", (version, digest)
    )


def _mark(row: PolicyRow) -> bytes:
    return row.version.to_bytes(8, "big") + sha256(row.policy).digest()


def _policy(row: Sequence[Any]) -> PolicyRow:
    version, vault, policy, certificate, signature, signers, at_ms = row
    try:
        if not all(isinstance(each, bytes) for each in (policy, certificate, signature)):
            raise TypeError("not bytes")
        return PolicyRow(
            version=int(version), vault=VaultId(str(vault)), policy=policy, certificate=certificate,
            signature=signature, signers=tuple(map(DeviceId, json.loads(signers))), at_ms=int(at_ms),
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise Corrupt(f"policies: version {version} does not read: {error}") from None
