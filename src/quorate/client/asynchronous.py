"""A node, for programs that run in asyncio."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

from quorate.ceremony.ports import State
from quorate.ceremony.views import AskedView, OperationView, SignatureView, VaultView
from quorate.client.errors import NotSigned, Throttled, Unavailable, typed
from quorate.errors import UsageError
from quorate.rpc.client import NodeClient
from quorate.rpc.credentials import Credentials
from quorate.rpc.failures import RemoteError

PATIENCE = 30.0  # seconds
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two attempts
AT_ONCE = 16  # requests on their way, of many
TEXT, HEX = "text/plain", "application/octet-stream+hex"

T = TypeVar("T")
Message = str | bytes


class AsyncNode:
    """One connection to one node, as one client of it. A context manager, or ``close`` it.

    While the node cannot be reached, or says to come again later, a call is made again for ``patience`` seconds in all,
    with the same idempotency key. ``UsageError`` and ``RemoteError`` are what calls fail with (``client.errors``).
    """

    def __init__(self, node: NodeClient, *, patience: float = PATIENCE) -> None:
        """Use ``connect`` or ``local``."""
        self._node, self._patience = node, patience

    @classmethod
    def connect(cls, credentials: Credentials | Path | str, *, patience: float = PATIENCE) -> Self:
        """The node of a credentials file of ``quorate client add``. Nothing is sent yet."""
        if not isinstance(credentials, Credentials):
            credentials = Credentials.load(Path(credentials))
        return cls(NodeClient.remote(credentials), patience=patience)

    @classmethod
    def local(cls, home: Path | str, *, patience: float = PATIENCE) -> Self:
        """The node whose home this is, over its Unix socket, as its owner."""
        return cls(NodeClient.local(Path(home)), patience=patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._node.close()

    async def create_vault(
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
        key = _key(idempotency_key)
        return await self._persist(
            lambda: self._node.create_vault(
                name=name,
                weights=weights,
                threshold=threshold,
                memo=memo,
                allow_sole_signer=allow_sole_signer,
                expires_in_ms=_ms(expires_in),
                idempotency_key=key,
            )
        )

    async def sign(
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
        """Ask for one signature, which is then voted on. Text is signed as its UTF-8, bytes as they are; with a
        ``content_type`` of ``docs/spec/approval.md`` the text is what that says. ``path``: of a derived key."""
        return await self._sign(
            vault, [message], False, algorithm, content_type, path, expires_in, _key(idempotency_key)
        )

    async def sign_batch(
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
        return await self._sign(
            vault, messages, True, algorithm, content_type, path, expires_in, _key(idempotency_key)
        )

    async def sign_each(
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
        messages. Their keys are ``idempotency_key`` with ``/0``, ``/1``, ... at its end. What cannot be asked for
        raises the first such failure; the others have been asked for: ask again with the same key."""
        key, few = _key(idempotency_key), asyncio.Semaphore(AT_ONCE)
        _payload(messages, content_type)  # all are of one form, or nothing is asked for

        async def ask(number: int, message: Message) -> OperationView:
            async with few:
                return await self._sign(
                    vault, [message], False, algorithm, content_type, path, expires_in, f"{key}/{number}"
                )

        asked = await asyncio.gather(*map(ask, range(len(messages)), messages), return_exceptions=True)
        for each in asked:
            if isinstance(each, BaseException):
                raise each
        return tuple(each for each in asked if isinstance(each, OperationView))

    async def sign_transaction(
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
        key = _key(idempotency_key)
        return await self._persist(
            lambda: self._node.sign_transaction(
                vault=vault,
                purpose=purpose,
                data=transaction.hex(),
                content_type=HEX,
                derivation_path=path,
                asset=asset,
                amount="" if amount is None else str(amount),
                address=address,
                to_vault=to_vault,
                memo=memo,
                idempotency_key=key,
                expires_in_ms=_ms(expires_in),
            )
        )

    async def _sign(
        self,
        vault: str,
        messages: Sequence[Message],
        batch: bool,
        algorithm: str,
        content_type: str | None,
        path: str,
        expires_in: float | None,
        key: str,
    ) -> OperationView:
        form, data = _payload(messages, content_type)
        return await self._persist(
            lambda: self._node.sign(
                vault=vault,
                data=data,
                batch=batch,
                content_type=form,
                algorithm=algorithm,
                derivation_path=path,
                expires_in_ms=_ms(expires_in),
                idempotency_key=key,
            )
        )

    async def signed(self, operation: str, *, timeout: float = 60.0) -> tuple[SignatureView, ...]:
        """The signatures, once they are made, in the order asked for. ``NotSigned`` if they are not within
        ``timeout`` seconds, or never will be."""
        view = await self.wait(operation, timeout=timeout)
        if view.state is not State.COMPLETED:
            raise NotSigned(view)
        return await self._persist(lambda: self._node.signatures(operation))

    async def wait(self, operation: str, *, timeout: float = 60.0) -> OperationView:
        """The operation once it is in a final state, or as it is after ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout
        return await self._persist(lambda: self._node.wait(operation, max(ends - loop.time(), 0.0)))

    async def operation(self, operation: str) -> OperationView:
        return await self._persist(lambda: self._node.operation(operation))

    async def operations(self, *, limit: int = 100) -> tuple[OperationView, ...]:
        """The newest, newest first, without their signatures."""
        return await self._persist(lambda: self._node.operations(limit=limit))

    async def watch(self, *, operation: str = "", vault: str = "") -> AsyncIterator[OperationView]:
        """One operation as it is and after every change, until it ends; or, for as long as asked, those of a vault
        that change, or all. Goes on after the node was away, and then shows what is, not all that was."""
        shown: OperationView | None = None
        attempts = self._attempts()
        while True:
            try:
                async for view in self._node.watch(
                    operation=operation, vault=vault, every=not operation and not vault
                ):
                    attempts = self._attempts()
                    if view != shown:
                        yield view
                    shown = view
                return
            except RemoteError as error:
                await attempts(error)

    async def cancel(self, operation: str) -> OperationView:
        """End an operation that the node proposed and this client asked for. Again changes nothing."""
        return await self._persist(lambda: self._node.cancel(operation))

    async def asked(self, operation: str) -> AskedView:
        """Exactly what the node's approver was asked."""
        return await self._persist(lambda: self._node.asked(operation))

    async def receipt(self, operation: str) -> str:
        """What was signed, who approved it by which rule, and the proof: JSON, for ``verify_receipt``. Of the node
        that was asked to sign."""
        return await self._persist(lambda: self._node.receipt(operation))

    async def pending(self, *, limit: int = 100) -> tuple[OperationView, ...]:
        """What waits for a person at the node, longest first. For approvers."""
        return await self._persist(lambda: self._node.pending(limit=limit))

    async def decide(self, operation: str, verdict: str, *, digest: bytes, reason: str = "") -> OperationView:
        """``verdict``: approve, reject or abstain; ``digest``: of the request that was looked at (``asked``)."""
        return await self._persist(
            lambda: self._node.decide(operation, digest=digest, verdict=verdict, reason=reason)
        )

    async def vault(self, vault: str) -> VaultView:
        return await self._persist(lambda: self._node.vault(vault))

    async def vaults(self) -> tuple[VaultView, ...]:
        return await self._persist(self._node.vaults)

    async def _persist(self, call: Callable[[], Awaitable[T]]) -> T:
        attempts = self._attempts()
        while True:
            try:
                return await call()
            except RemoteError as error:
                await attempts(error)

    def _attempts(self) -> Callable[[RemoteError], Awaitable[None]]:
        """What to do about each failure from now on: pause, or, when that is no use, raise it."""
        loop = asyncio.get_running_loop()
        ends, pause = loop.time() + self._patience, FIRST_PAUSE

        async def next_attempt(error: RemoteError) -> None:
            nonlocal pause
            failure = typed(error)
            # Not all at the same moment: whoever lost the node lost it together.
            delay = max(failure.retry_after or 0.0, pause * random.SystemRandom().uniform(0.5, 1.0))
            if not isinstance(failure, Unavailable | Throttled) or loop.time() + delay > ends:
                raise failure from error
            pause = min(2 * pause, LONGEST_PAUSE)
            await asyncio.sleep(delay)

        return next_attempt


def _key(given: str | None) -> str:
    return uuid.uuid4().hex if given is None else given


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


def _payload(messages: Sequence[Message], content_type: str | None) -> tuple[str, list[str]]:
    """The content type and the text that carry the messages."""
    texts = [each for each in messages if isinstance(each, str)]
    if len(texts) == len(messages):
        return content_type or TEXT, texts
    if texts or content_type is not None:
        raise UsageError("messages are all text or all bytes, and a content type is of text")
    return HEX, [each.hex() for each in messages if isinstance(each, bytes)]
