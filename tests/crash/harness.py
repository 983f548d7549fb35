"""Kill one node of three at a point of an operation, start it again, and see what has become of everything."""

from __future__ import annotations

import asyncio
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from quorate.ceremony.ports import SetupState, State
from quorate.ceremony.views import OperationView
from quorate.cli.cluster import Cluster, Member
from quorate.cli.views import FINAL
from quorate.rpc.client import NodeClient
from quorate.rpc.failures import RemoteError

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
THRESHOLD = 3
PROPOSER = "alice"
RESET_WITH = "bob"
PATIENCE = 45.0  # seconds, for an operation to end after the node is back
QUIET = 0.3  # seconds for stragglers of a finished operation to arrive
COMMAND = (sys.executable, "-m", "tests.crash.daemon")
SETTINGS = """
[approver]
type = "always"
[limits]
silence = 2
unlinked = 1
repeat = 0.3
drain = 1
"""

Request = Callable[[NodeClient, str], Awaitable[OperationView]]


async def keygen(node: NodeClient, key: str) -> OperationView:
    return await node.create_vault(
        name=f"vault {key}", weights=WEIGHTS, threshold=THRESHOLD, idempotency_key=key
    )


async def signing(node: NodeClient, key: str) -> OperationView:
    return await sign(node, "base", "EDDSA", key)


async def multiplying(node: NodeClient, key: str) -> OperationView:
    return await sign(node, "base", "ES256K", key)


async def resetting(node: NodeClient, key: str) -> OperationView:
    return await node.pair_reset(vault="base", peer=RESET_WITH, idempotency_key=key)


async def refreshing(node: NodeClient, key: str) -> OperationView:
    return await node.reshare(vault="base", idempotency_key=key)


async def sign(node: NodeClient, vault: str, algorithm: str, key: str) -> OperationView:
    return await node.sign(
        vault=vault,
        data=[f"message {key}"],
        content_type="text/plain",
        algorithm=algorithm,
        idempotency_key=key,
    )


CEREMONIES: dict[str, Request] = {
    "keygen": keygen,
    "signing": signing,
    "multiplying": multiplying,
    "resetting": resetting,
    "refreshing": refreshing,
}
ANEW = ("pair-reset", "reshare")  # kinds that leave something half done for another of their kind to end


@asynccontextmanager
async def crashing_cluster(root: Path) -> AsyncIterator[Cluster]:
    """Three nodes that can be told to die, and a vault named base."""
    async with Cluster(root, dict.fromkeys(WEIGHTS, SETTINGS), COMMAND) as cluster:
        await cluster.linked()
        node = cluster[PROPOSER].node
        made = await node.create_vault(
            name="base", weights=WEIGHTS, threshold=THRESHOLD, idempotency_key=uuid.uuid4().hex
        )
        made = await node.wait(made.id, PATIENCE)
        assert made.state is State.COMPLETED, made
        yield cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """What one kill came to. ``died_at`` is empty if the node never got that far this time."""

    victim: str
    number: int
    died_at: str
    outcome: OperationView
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        where = self.died_at or "nowhere"
        return (
            f"{self.victim} killed at point {self.number} ({where}): {'; '.join(self.complaints) or 'sound'}"
        )


async def count_points(cluster: Cluster, victim: str, request: Request) -> int:
    """How many points the node passes from the request to a little after its end."""
    await cluster.linked()  # somebody may have been killed just before
    await arm(cluster[victim], 0)
    node = cluster[PROPOSER].node
    view = await node.wait((await request(node, uuid.uuid4().hex)).id, PATIENCE)
    assert view.state is State.COMPLETED, view
    await asyncio.sleep(QUIET)
    return int((cluster[victim].home / "points").read_text())


async def crash_at(cluster: Cluster, victim: str, number: int, request: Request) -> Crash:
    """One operation, with the node killed at its point ``number`` and started again, and every claim checked."""
    member, key = cluster[victim], uuid.uuid4().hex
    await arm(member, number)
    view = await asked(cluster, request, key)
    died = await death_or_end(cluster, member, view)
    complaints = await honest_about_vaults(cluster, besides=victim if died else "")
    if not died:
        try:
            await arm(member, 0)
        except ProcessLookupError:
            died = True  # its point came after the operation's end, while we looked at the vaults
    died_at = ""
    if died:
        running = member.running
        assert running is not None
        await running.process.wait()
        if running.process.returncode != -signal.SIGKILL:
            complaints.append(f"{victim} ended by itself, with {running.process.returncode}")
        marked = member.home / "died-at"
        died_at = marked.read_text() if marked.exists() else "after the end"
        await member.stop()
        await member.start()
    view = await settled(cluster, request, key)
    complaints += judged(view, member)
    complaints += await honest_about_vaults(cluster)
    if view.state is State.COMPLETED and view.kind == "create-vault":
        complaints += await usable_everywhere(cluster, str(view.vault))
    if view.kind in ANEW and view.state is not State.COMPLETED:
        view = await settled(cluster, request, uuid.uuid4().hex)
        complaints += [] if view.state is State.COMPLETED else [f"no {view.kind} afterwards: {view}"]
    if view.kind == "reshare":
        complaints += await level(cluster, "base")
    complaints += await alike(cluster)
    complaints += await signs(cluster, "base")
    return Crash(victim=victim, number=number, died_at=died_at, outcome=view, complaints=complaints)


async def arm(member: Member, number: int) -> None:
    armed = member.home / "armed"
    armed.unlink(missing_ok=True)
    (member.home / "died-at").unlink(missing_ok=True)
    (member.home / "failpoint").write_text(str(number))
    assert member.running is not None
    member.running.process.send_signal(signal.SIGUSR1)
    async with asyncio.timeout(PATIENCE):
        while not armed.exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.005)


async def asked(cluster: Cluster, request: Request, key: str) -> OperationView | None:
    """The operation, unless the node that was asked is no longer there to answer."""
    try:
        return await request(cluster[PROPOSER].node, key)
    except RemoteError:
        return None


async def death_or_end(cluster: Cluster, member: Member, view: OperationView | None) -> bool:
    """Wait until the node is dead, or the operation has ended without its death; whether it died."""
    ends = monotonic() + PATIENCE
    over_since: float | None = None
    while monotonic() < ends:
        if member.running is None or not member.running.alive:
            return True
        if view is not None and over_since is None:
            try:
                view = await cluster[PROPOSER].node.wait(view.id, 0.05)
            except RemoteError:
                continue
            over_since = monotonic() if view.state in FINAL else None
        if over_since is not None and monotonic() - over_since > QUIET:
            return False
        await asyncio.sleep(0.01)
    return False


async def settled(cluster: Cluster, request: Request, key: str) -> OperationView:
    """The operation in its final state. Asking again with the same key is the same operation."""
    ends = monotonic() + PATIENCE
    while True:
        try:
            view = await request(cluster[PROPOSER].node, key)
            view = await cluster[PROPOSER].node.wait(view.id, max(ends - monotonic(), 0.1))
        except RemoteError:
            if monotonic() > ends:
                raise
            await asyncio.sleep(0.1)
            continue
        return view


def judged(view: OperationView, member: Member) -> list[str]:
    """Completed, or failed for a reason that names the silent peer."""
    if view.state is State.COMPLETED:
        return []
    if view.state is State.FAILED and (member.device in view.culprits or member.name in view.detail):
        return []
    return [f"the operation is {view.state}: {view.reason} {view.detail}, culprits {view.culprits}"]


async def honest_about_vaults(cluster: Cluster, besides: str = "") -> list[str]:
    """A vault that any node shows as ready is active, and the same, on every node that runs, or at a later epoch."""
    views = {}
    for name, member in cluster.members.items():
        if name != besides and member.running is not None and member.running.alive:
            try:
                views[name] = {vault.id: vault for vault in await member.node.vaults()}
            except RemoteError:
                continue  # it died while it was asked
    complaints = []
    for name, vaults in views.items():
        for vault in vaults.values():
            if vault.state != "ready":
                continue
            for other, held in views.items():
                its = held.get(vault.id)
                if its is not None and its.state != "pending" and its.epoch > vault.epoch:
                    continue
                if its is None or its.state == "pending" or its.certificate_hash != vault.certificate_hash:
                    complaints.append(f"{vault.id} is ready at {name} and {its and its.state} at {other}")
    return complaints


async def usable_everywhere(cluster: Cluster, vault: str) -> list[str]:
    """The new vault becomes ready on every node, and signs."""
    ends = monotonic() + PATIENCE
    for name, member in cluster.members.items():
        while (await state_at(member, vault)) != "ready":
            if monotonic() > ends:
                return [f"the vault is {await state_at(member, vault)} at {name} after {PATIENCE:.0f} s"]
            await asyncio.sleep(0.05)
    return await signs(cluster, vault)


async def level(cluster: Cluster, vault: str) -> list[str]:
    """One epoch becomes ready on every node."""
    ends = monotonic() + PATIENCE
    while True:
        views = [await member.node.vault(vault) for member in cluster.members.values()]
        if len({view.certificate_hash for view in views}) == 1 and {view.state for view in views} == {
            "ready"
        }:
            return []
        if monotonic() > ends:
            return [f"{vault} is " + ", ".join(f"{view.state} at epoch {view.epoch}" for view in views)]
        await asyncio.sleep(0.05)


async def state_at(member: Member, vault: str) -> str:
    try:
        return (await member.node.vault(vault)).state
    except RemoteError as error:
        return error.code


async def alike(cluster: Cluster) -> list[str]:
    """The pair that is reset has one and the same set-up in use on either side."""
    ends = monotonic() + PATIENCE
    while True:
        held = {}
        for name, other in ((PROPOSER, RESET_WITH), (RESET_WITH, PROPOSER)):
            vault = await cluster[name].node.vault("base")
            held[name] = next((row.generation, row.state) for row in vault.setups if row.name == other)
        if len({*held.values()}) == 1 and held[PROPOSER][1] is SetupState.LIVE:
            return []
        if monotonic() > ends:
            return [f"pair set-ups are {held}"]
        await asyncio.sleep(0.05)


async def signs(cluster: Cluster, vault: str) -> list[str]:
    node, complaints = cluster[PROPOSER].node, []
    for algorithm in ("EDDSA", "ES256K"):
        view = await node.wait((await sign(node, vault, algorithm, uuid.uuid4().hex)).id, PATIENCE)
        if view.state is not State.COMPLETED:
            told = f"{view.state} {view.reason} {view.detail}"
            complaints.append(f"afterwards {vault} does not sign by {algorithm}: {told}")
    return complaints
