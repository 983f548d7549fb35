"""A node, for programs whose threads wait."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from quorate.ceremony.views import AskedView, OperationView, SignatureView, VaultView
from quorate.client.asynchronous import PATIENCE, AsyncNode, Message
from quorate.errors import UsageError
from quorate.rpc.credentials import Credentials

T = TypeVar("T")


class _Background:
    """The one event loop of this process for all its ``Node``s: gRPC wants no second one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="quorate-client", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(work(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # where it is the wait that ended, by Ctrl-C, and not the work
            raise


_background = _Background()


class Node:
    """``AsyncNode`` with calls that wait for their answer; for any number of threads. Not inside asyncio, whose loop
    it would hold up, and not in a process that uses gRPC's own asyncio."""

    def __init__(self, make: Callable[[], AsyncNode]) -> None:
        """Use ``connect`` or ``local``."""

        async def begin() -> AsyncNode:
            return make()

        self._node = self._run(begin)

    @classmethod
    def connect(cls, credentials: Credentials | Path | str, *, patience: float = PATIENCE) -> Self:
        """The node of a credentials file of ``quorate client add``. Nothing is sent yet."""
        return cls(lambda: AsyncNode.connect(credentials, patience=patience))

    @classmethod
    def local(cls, home: Path | str, *, patience: float = PATIENCE) -> Self:
        """The node whose home this is, over its Unix socket, as its owner."""
        return cls(lambda: AsyncNode.local(home, patience=patience))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._run(lambda: self._node.close())

    def create_vault(
        self,
        name: str,
        weights: Mapping[str, int],
        threshold: int,
        *,
        memo: str = "",
        allow_sole_signer: bool = False,
        expires_in: float | None = None,
        idempotency_key: str | None = None,
    ) -> OperationView:
        """Propose a vault. ``weights``: a peer's name or device id to its weight; ``expires_in``: seconds."""
        return self._run(
            lambda: self._node.create_vault(
                name,
                weights,
                threshold,
                memo=memo,
                allow_sole_signer=allow_sole_signer,
                expires_in=expires_in,
                idempotency_key=idempotency_key,
            )
        )

    def sign(
        self,
        vault: str,
        message: Message,
        *,
        algorithm: str = "EDDSA",
        content_type: str | None = None,
        path: str = "",
        expires_in: float | None = None,
        idempotency_key: str | None = None,
    ) -> OperationView:
        """Ask for one signature, which is then voted on. Text is signed as its UTF-8, bytes as they are."""
        return self._run(
            lambda: self._node.sign(
                vault,
                message,
                algorithm=algorithm,
                content_type=content_type,
                path=path,
                expires_in=expires_in,
                idempotency_key=idempotency_key,
            )
        )

    def sign_batch(
        self,
        vault: str,
        messages: Sequence[Message],
        *,
        algorithm: str = "EDDSA",
        content_type: str | None = None,
        path: str = "",
        expires_in: float | None = None,
        idempotency_key: str | None = None,
    ) -> OperationView:
        """Ask for signatures of many messages, all text or all bytes, approved and made together or not at all."""
        return self._run(
            lambda: self._node.sign_batch(
                vault,
                messages,
                algorithm=algorithm,
                content_type=content_type,
                path=path,
                expires_in=expires_in,
                idempotency_key=idempotency_key,
            )
        )

    def sign_each(
        self,
        vault: str,
        messages: Sequence[Message],
        *,
        algorithm: str = "EDDSA",
        content_type: str | None = None,
        path: str = "",
        expires_in: float | None = None,
        idempotency_key: str | None = None,
    ) -> tuple[OperationView, ...]:
        """As ``sign_batch``, but each message is approved or refused by itself: an operation each, in the order of the
        messages. Their keys are ``idempotency_key`` with ``/0``, ``/1``, ... at its end."""
        return self._run(
            lambda: self._node.sign_each(
                vault,
                messages,
                algorithm=algorithm,
                content_type=content_type,
                path=path,
                expires_in=expires_in,
                idempotency_key=idempotency_key,
            )
        )

    def sign_transaction(
        self,
        vault: str,
        transaction: bytes,
        *,
        purpose: str,
        asset: str = "",
        amount: int | None = None,
        address: str = "",
        to_vault: str = "",
        memo: str = "",
        path: str = "",
        expires_in: float | None = None,
        idempotency_key: str | None = None,
    ) -> OperationView:
        """Ask for a transaction to be signed: its unsigned serialisation. ``purpose``: ``transfer-out``,
        ``transfer-between``, ``contract-call``, ``mint``, ``burn``, ``allow-address``, ...; ``asset``, ``amount`` in
        base units, ``address`` and ``to_vault`` are claims: the nodes refuse it if it does something else. ``signed``
        has how it is sent, as ``transaction`` of its one item."""
        return self._run(
            lambda: self._node.sign_transaction(
                vault,
                transaction,
                purpose=purpose,
                asset=asset,
                amount=amount,
                address=address,
                to_vault=to_vault,
                memo=memo,
                path=path,
                expires_in=expires_in,
                idempotency_key=idempotency_key,
            )
        )

    def signed(self, operation: str, *, timeout: float = 60.0) -> tuple[SignatureView, ...]:
        """The signatures, once they are made. ``NotSigned`` if they are not within ``timeout`` seconds, or never will
        be."""
        return self._run(lambda: self._node.signed(operation, timeout=timeout))

    def wait(self, operation: str, *, timeout: float = 60.0) -> OperationView:
        """The operation once it is in a final state, or as it is after ``timeout`` seconds."""
        return self._run(lambda: self._node.wait(operation, timeout=timeout))

    def operation(self, operation: str) -> OperationView:
        return self._run(lambda: self._node.operation(operation))

    def operations(self, *, limit: int = 100) -> tuple[OperationView, ...]:
        """The newest, newest first, without their signatures."""
        return self._run(lambda: self._node.operations(limit=limit))

    def watch(self, *, operation: str = "", vault: str = "") -> Iterator[OperationView]:
        """One operation as it is and after every change, until it ends; or those of a vault that change, or all."""
        views = self._node.watch(operation=operation, vault=vault)

        async def following() -> tuple[OperationView, ...]:
            async for view in views:
                return (view,)
            return ()

        async def end() -> None:
            await views.aclose()  # type: ignore[attr-defined] # is a generator

        try:
            while view := self._run(following):
                yield view[0]
        finally:
            self._run(end)

    def cancel(self, operation: str) -> OperationView:
        """End an operation that the node proposed and this client asked for. Again changes nothing."""
        return self._run(lambda: self._node.cancel(operation))

    def asked(self, operation: str) -> AskedView:
        """Exactly what the node's approver was asked."""
        return self._run(lambda: self._node.asked(operation))

    def receipt(self, operation: str) -> str:
        """What was signed, who approved it by which rule, and the proof: JSON, for ``verify_receipt``. Of the node
        that was asked to sign."""
        return self._run(lambda: self._node.receipt(operation))

    def pending(self, *, limit: int = 100) -> tuple[OperationView, ...]:
        """What waits for a person at the node, longest first. For approvers."""
        return self._run(lambda: self._node.pending(limit=limit))

    def decide(self, operation: str, verdict: str, *, digest: bytes, reason: str = "") -> OperationView:
        """``verdict``: approve, reject or abstain; ``digest``: of the request that was looked at (``asked``)."""
        return self._run(lambda: self._node.decide(operation, verdict, digest=digest, reason=reason))

    def vault(self, vault: str) -> VaultView:
        return self._run(lambda: self._node.vault(vault))

    def vaults(self) -> tuple[VaultView, ...]:
        return self._run(lambda: self._node.vaults())

    def _run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return _background.run(work)
        raise UsageError("a Node waits, which would hold up this event loop: use AsyncNode")
