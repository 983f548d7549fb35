"""The node a command talks to, and waiting for what it was asked to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from quorate.ceremony.ports import Peer
from quorate.ceremony.views import OperationView, VaultView
from quorate.cli.command import Call
from quorate.cli.output import escape
from quorate.cli.views import FINAL, coloured
from quorate.identifiers import DeviceId
from quorate.rpc.client import NodeClient
from quorate.rpc.credentials import Credentials, credentials_of
from quorate.rpc.failures import UNREACHABLE, RemoteError
from quorate.storage import Client, Grant

if TYPE_CHECKING:
    from quorate.node.registry import Registry

GLANCE = 1.0  # seconds between looks at an operation while its progress is shown
POLL = 0.05


@asynccontextmanager
async def connect(call: Call) -> AsyncIterator[NodeClient]:
    """The node of ``--credentials``, else the one in ``--home`` over its Unix socket."""
    client = (
        NodeClient.remote(Credentials.load(call.credentials))
        if call.credentials
        else NodeClient.local(call.home)
    )
    async with client:
        yield client


async def runs(call: Call) -> bool:
    """Whether the node of this home runs. One asked with credentials is taken to: if it does not answer, that is the
    failure."""
    try:
        async with connect(call) as node:
            await node.status()
    except RemoteError as error:
        if call.credentials is not None or error.code != UNREACHABLE:
            raise
        return False
    return True


class Registrar(Protocol):
    """``node.registry.Registry``, wherever the node is and whether it runs or not."""

    async def peers(self) -> Sequence[Peer]: ...

    async def add_peer(self, card: str) -> Peer: ...

    async def remove_peer(self, device: str) -> Peer: ...

    async def clients(self) -> Sequence[Client]: ...

    async def add_client(
        self, client: str, grants: Sequence[Grant], *, certificate_pem: str
    ) -> Credentials: ...

    async def rotate_client(self, client: str, *, overlap_ms: int, certificate_pem: str) -> Credentials: ...

    async def revoke_client(self, client: str) -> None: ...

    async def links(self) -> Mapping[DeviceId, bool]:
        """Which peers are connected; empty for a node that does not run."""
        ...


@asynccontextmanager
async def registry(call: Call) -> AsyncIterator[Registrar]:
    """The registry of the node that is asked, or, if the one in ``--home`` does not run, of its store."""
    if await runs(call):
        async with connect(call) as node:
            yield RunningNode(node)
        return
    from quorate.node import founding  # only here: most commands ask a node and need none of it

    with founding.at_rest(call.home) as book:
        yield RestingNode(book)


class RunningNode:
    def __init__(self, node: NodeClient) -> None:
        self._node = node
        self.peers = node.peers
        self.add_peer = node.add_peer
        self.remove_peer = node.remove_peer
        self.clients = node.clients
        self.add_client = node.add_client
        self.rotate_client = node.rotate_client
        self.revoke_client = node.revoke_client

    async def links(self) -> Mapping[DeviceId, bool]:
        return (await self._node.status()).peers


class RestingNode:
    def __init__(self, book: Registry) -> None:
        self._book = book

    async def peers(self) -> Sequence[Peer]:
        return self._book.peers()

    async def add_peer(self, card: str) -> Peer:
        return self._book.add_peer(card)

    async def remove_peer(self, device: str) -> Peer:
        return self._book.remove_peer(DeviceId(device))

    async def clients(self) -> Sequence[Client]:
        return self._book.clients()

    async def add_client(self, client: str, grants: Sequence[Grant], *, certificate_pem: str) -> Credentials:
        access = self._book.add_client(client, grants, certificate_pem=certificate_pem)
        return credentials_of(client, access, certificate_pem)

    async def rotate_client(self, client: str, *, overlap_ms: int, certificate_pem: str) -> Credentials:
        access = self._book.rotate_client(client, overlap_ms=overlap_ms, certificate_pem=certificate_pem)
        return credentials_of(client, access, certificate_pem)

    async def revoke_client(self, client: str) -> None:
        self._book.revoke_client(client)

    async def links(self) -> Mapping[DeviceId, bool]:
        return {}


async def finish(
    client: NodeClient,
    view: OperationView,
    *,
    timeout: float | None,
    tell: Callable[[str], None],
) -> OperationView:
    """The operation in a final state, or as it is when ``timeout`` seconds are over. ``tell`` hears the progress."""
    ends = None if timeout is None else monotonic() + timeout
    while view.state not in FINAL:
        tell(progress_of(view))
        left = GLANCE if ends is None else min(GLANCE, ends - monotonic())
        if left <= 0:
            break
        view = await client.wait(view.id, left)
    return view


async def vault_ready(client: NodeClient, vault: str, *, patience: float) -> VaultView:
    """The vault once every signer has acknowledged its trial signature, or as it is after ``patience`` seconds."""
    ends = monotonic() + patience
    while True:
        view = await client.vault(vault)
        if view.state == "ready" or monotonic() > ends:
            return view
        await asyncio.sleep(POLL)


def progress_of(view: OperationView) -> str:
    waiting = [vote.name for vote in view.votes if not vote.verdict]
    state = coloured(str(view.state))
    if waiting and (view.approved_weight < view.threshold or (view.kind == "reshare" and not view.phase)):
        return f"{view.kind} {state}: waiting for {escape(', '.join(waiting))}"
    if view.phase:
        return f"{view.kind} {state}, attempt {view.attempt}: waiting for {escape(view.phase)}"
    return f"{view.kind} {state}: approved {view.approved_weight} of {view.threshold} needed"
