"""What the admin service changes of a node while it runs: implemented by the node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from quorate.ceremony.audit import AuditVerdict
from quorate.ceremony.ports import Peer
from quorate.identifiers import DeviceId, VaultId


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A certificate that was on the node's card up to ``rev``, and until when it is shown to peers that hold one."""

    rev: int
    certificate_pem: str
    until_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """``awaited``: the peers that have not said they hold the newest card. ``authority_pem`` is what clients trust."""

    me: Peer
    earlier: tuple[Earlier, ...]
    awaited: tuple[DeviceId, ...]
    authority_pem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """Dotted names of settings that changed: in effect now, and those that wait for a restart."""

    changed: tuple[str, ...]
    restart: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFile:
    """One backup in the node's folder, by its label. ``live``: its epoch is the one that lives."""

    path: str
    vault: VaultId
    vault_name: str
    epoch: int
    attempt: int
    device: str
    made: str
    live: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """Records and the signed head as lines of an export (``ceremony.audit_export``)."""

    device: DeviceId
    records: tuple[str, ...]
    head: str


class Sealing(Protocol):
    async def seal(self) -> None:
        """End what runs, and forget the node key and all shares. Again changes nothing."""
        ...

    async def unseal(self, passphrase: bytes) -> None:
        """By what is configured, unless there is a passphrase. ``Locked``, and still sealed, if that is not the key."""
        ...


class Upkeep(Protocol):
    """Blocking: called in a worker thread. What was changed is durable, and in effect, when the call returns."""

    @property
    def sealing(self) -> Sealing:
        """Not blocking, and on the event loop."""
        ...

    def certificates(self) -> Certificates: ...

    def rotate(self, *, rev: int, at_once: bool) -> Certificates:
        """New certificates, the earlier one shown for the overlap unless ``at_once``. Nothing is done where our card is
        later than ``rev`` already."""
        ...

    def set_address(self, device: str, address: str) -> Peer:
        """Of this node ("" or its own name or id), which announces it, or of where it reaches a peer."""
        ...

    def reload(self) -> Reloaded:
        """Read quorate.toml again. ``UsageError``, and nothing changed, if anything in it is wrong."""
        ...

    def create_backups(self, vault: str, *, anew: bool) -> Sequence[BackupFile]:
        """Of the live epoch of this vault (id or name), or of each: what is there already, unless ``anew``."""
        ...

    def backups(self) -> Sequence[BackupFile]:
        """What lies in the node's folder."""
        ...

    def audit(self, *, after: int, limit: int) -> AuditPage:
        """Records of our audit chain above the number ``after``, and the head there was before they were read."""
        ...

    def examine_audit(self) -> AuditVerdict:
        """Of the whole chain."""
        ...
