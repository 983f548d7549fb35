"""Policies as they cross between the ceremony, the store and the approvers: interfaces and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from quorate.identifiers import DeviceId, OperationId, VaultId
from quorate.operations.request_json import PolicyFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A policy that the governing vault signed, with what proves it: ``certificate`` is the hash that was live then.
    ``signers``: whose signature it is, as far as this node saw; that proves nothing."""

    version: int
    vault: VaultId
    policy: bytes
    certificate: bytes
    signature: bytes
    signers: tuple[DeviceId, ...]
    at_ms: int


class PolicyShelf(Protocol):
    """Where a node keeps them. As ``ports.Ledger`` has it: durable when a call returns, each one transaction."""

    def add_policy(self, row: PolicyRow) -> bool:
        """In force from now on. False, and nothing changed, unless its version is above every one before."""
        ...

    def policy(self) -> PolicyRow | None:
        """The one in force; ``Corrupt`` if it is not the one that was put in force last."""
        ...

    def policies(self) -> Sequence[PolicyRow]:
        """Every one that was ever in force here, oldest first."""
        ...

    def release_policy(
        self, operation: OperationId, attempt: int, digest: bytes, *, version: int, policy: bytes
    ) -> bool:
        """As ``Ledger.release``, of a share of the signature of the policy of this version and digest; ``UsageError``
        where one was given for another policy of this version."""
        ...

    def policy_shares(self) -> Mapping[int, bytes]:
        """By version, the digest of the policy that this node gave a share of the signature of."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPolicy:
    """``section`` is the approver's in the configuration. ``source``: ``signed``, ``bootstrap``, ``file``, or ``none``.
    ``refused``: why nothing is approved by it at this moment."""

    section: str
    source: str
    policy: bytes = b""
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyView:
    """What decides at this node. ``signed`` is in force if there is one; ``latest`` is the highest version known to be
    signed. ``vault`` governs, and signs with ``public_key`` (Ed25519); both are empty where none does."""

    served: tuple[ServedPolicy, ...]
    signed: PolicyRow | None = None
    latest: int = 0
    vault: str = ""
    public_key: bytes = b""


class Rulebook(Protocol):
    """What reads policies."""

    def read(self, policy: bytes) -> PolicyFacts:
        """What is in it, and what differs from what this node decides by now. ``UsageError`` BAD_POLICY tells every
        mistake with its line, and whom it asks that this node cannot ask."""
        ...

    def served(self) -> Sequence[ServedPolicy]:
        """What each approver that decides by a policy decides by now."""
        ...
