"""What the client services call, as an interface: ``client_desk`` implements it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from quorate.ceremony.chronicle import History
from quorate.ceremony.ports import Verdict
from quorate.ceremony.rulebook import PolicyRow, PolicyView
from quorate.ceremony.views import AskedView, Caller, NodeStatus, OperationView, VaultView
from quorate.protocols.policy import SignedPolicy


class NodeApi(Protocol):
    """What the client services call. Every call is authenticated before it gets here."""

    async def create_vault(
        self,
        caller: Caller,
        *,
        name: str,
        weights: Mapping[str, int],
        threshold: int,
        allow_sole_signer: bool,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        """``weights`` maps a peer's name or device id to its weight."""
        ...

    async def sign(
        self,
        caller: Caller,
        *,
        vault: str,
        data: Sequence[str],
        batch: bool,
        content_type: str,
        algorithm: str,
        derivation_path: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        """``vault`` is a name or an id; a name held by two vaults is refused."""
        ...

    async def sign_transaction(
        self,
        caller: Caller,
        *,
        vault: str,
        purpose: str,
        data: str,
        content_type: str,
        derivation_path: str,
        asset: str,
        amount: str,
        address: str,
        to_vault: str,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        """``purpose`` is one of ``kinds.TRANSACTIONS``; ``asset`` to ``to_vault`` are what is claimed, as in
        ``kinds.Claim``."""
        ...

    async def pair_reset(
        self,
        caller: Caller,
        *,
        vault: str,
        peer: str,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        """The next set-up between this node and ``peer``, a name or a device id."""
        ...

    async def reshare(
        self,
        caller: Caller,
        *,
        vault: str,
        weights: Mapping[str, int],
        removed: Sequence[str],
        threshold: int | None,
        allow_sole_signer: bool,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        """The present roster with ``weights`` set and ``removed`` left out, by name or device id, and another
        threshold unless None. With no change at all: the same roster gets new shares."""
        ...

    async def change_policy(
        self,
        caller: Caller,
        *,
        policy: bytes,
        vault: str,
        version: int | None,
        memo: str,
        idempotency_key: str,
        expires_in_ms: int | None,
    ) -> OperationView:
        """``policy`` is the file, byte by byte. ``vault``: empty, or the name or id of the one that governs this node.
        ``version``: None for the next."""
        ...

    async def policy(self, caller: Caller) -> PolicyView: ...

    async def policies(self, caller: Caller) -> Sequence[PolicyRow]:
        """The signed policies that were ever in force here, oldest first."""
        ...

    async def install_policy(self, caller: Caller, *, signed: SignedPolicy, digest: bytes) -> PolicyView:
        """Put a policy in force that the governing vault signed, and that did not get here by itself. ``digest`` is
        what is said to be signed."""
        ...

    async def history(self, caller: Caller, vault: str) -> History:
        """The certificates of a vault's epochs, as far as this node knows them."""
        ...

    async def erase_earlier(self, caller: Caller, vault: str) -> VaultView:
        """Go on without the acknowledgements that are missing, and erase the epochs before the present one."""
        ...

    async def release_vault(self, caller: Caller, vault: str, without: Sequence[str]) -> VaultView:
        """End a quarantine without the word of these members, names or device ids (rule QU-1.6)."""
        ...

    async def operation(self, caller: Caller, operation: str) -> OperationView: ...

    async def wait(self, caller: Caller, operation: str, timeout: float) -> OperationView:
        """The operation once it is in a final state, or as it is when the time is up."""
        ...

    async def operations(
        self, caller: Caller, *, limit: int, after: str = ""
    ) -> tuple[Sequence[OperationView], str]:
        """A page, newest first and without signatures, and what the next one comes after; empty at the end."""
        ...

    def watch(self, caller: Caller, *, operation: str = "", vault: str = "") -> AsyncIterator[OperationView]:
        """One operation as it is and after every change, until it ends; or, until the caller goes, every operation
        of a vault, or of all, that changes. Several changes that come at once may be shown as one."""
        ...

    async def cancel(self, caller: Caller, operation: str) -> OperationView:
        """End an operation that this node proposed; one that was cancelled before stays so."""
        ...

    async def asked(self, caller: Caller, operation: str) -> AskedView:
        """Exactly what this node's approver was asked; ``UsageError`` NOT_ASKED if it was not."""
        ...

    async def receipt(self, caller: Caller, operation: str) -> str:
        """The receipt of a signature that was made, as JSON; ``UsageError`` NO_RECEIPT if this node has none."""
        ...

    async def pending(
        self, caller: Caller, *, limit: int, after: str = ""
    ) -> tuple[Sequence[OperationView], str]:
        """A page of what waits for a person here, longest first, and what the next one comes after."""
        ...

    async def decide(
        self, caller: Caller, *, operation: str, digest: bytes, verdict: Verdict, reason: str
    ) -> OperationView:
        """A person's decision on a pending operation, once it is durable. The same decision again changes nothing."""
        ...

    async def vaults(self, caller: Caller) -> Sequence[VaultView]: ...

    async def vault(self, caller: Caller, vault: str) -> VaultView: ...

    async def status(self) -> NodeStatus: ...
