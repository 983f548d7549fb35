"""Whole nodes in one process that die at a point: of each, what it has in memory goes, and what it has not synced.

A *point* is the moment before or after a durable write, or that at which a request, an answer or an envelope leaves or
comes in. It has a name that says whose it is, what it is, and the how manyth of its kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from quorate.ceremony.context import Limits
from quorate.ceremony.ports import EpochState, Mesh, Method
from quorate.ceremony.session import Patience
from quorate.ceremony.versions import SPOKEN
from quorate.errors import PeerError, QuorateError, StoreError
from quorate.identifiers import DeviceId
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import EpochRecord, acknowledgement
from quorate.storage.keywrap.keyfile import KeyFile
from quorate.storage.ledger import SqliteLedger
from quorate.wire.codec import decode
from quorate.wire.envelope import session_of, unpack
from tests.ceremony.world import Node, Says, SteadyClock, World, code_of
from tests.crash.disk import STORE, Disk, write_private
from tests.exchanges import BY_THE_CLOCK

PATIENT = Limits(repeat=60.0, patience=Patience(silence=20.0, unlinked=5.0, deadline=60.0))
"""Of an instrumented run: nothing is said twice."""

HASTY = Limits(
    ask=2.0, repeat=0.2, carry_out=30.0, patience=Patience(silence=2.5, unlinked=0.2, deadline=20.0)
)
DOWNTIME = 0.4  # seconds from a death to the next start: the others have noticed
CHECK = 0.1  # seconds between looks at a store that took no changes: in the product a second, by its monitor
OF_NO_OPERATION = (
    "boot", "migrate", "check", "keep_time", "stopped", "note_start", "raise_boots", "keep_heads",
)  # fmt: skip


class Dead(StoreError):
    """What is left of a node that is no more gets this from its store."""


class MortalWorld(World):
    """The nodes of a folder made by ``World``. ``on_point`` hears of every point of a node that lives, in any thread,
    and may end it."""

    def __init__(self, folder: Path, template: Path, disk: Disk, limits: Limits) -> None:
        self.folder, self.disk, self.limits = folder, disk, limits
        self.nodes: dict[str, Node] = {}
        self.down: set[DeviceId] = set()
        self.loop = asyncio.get_running_loop()
        self.on_point: Callable[[MortalNode, str], None] | None = None
        self.passed: Counter[str] = Counter()
        self.complaints: list[str] = []
        self.speakers: dict[tuple[DeviceId, bytes], int] = {}
        self.signed: dict[tuple[DeviceId, str, int, int], bytes] = {}
        self.slow: dict[str, float] = {}  # seconds that what a node says and hears is under way
        self._lock = threading.RLock()
        for path in sorted(template.iterdir()):
            self.nodes[path.name] = MortalNode(self, path.name, path)

    def __getitem__(self, name: str) -> MortalNode:
        node = self.nodes[name]
        assert isinstance(node, MortalNode)
        return node

    def mortal(self, device: DeviceId) -> MortalNode:
        return self[self.of(device).name]

    def named(self, text: str) -> str:
        """With names for device ids, so that a point has one name in all worlds."""
        for node in self.nodes.values():
            text = text.replace(node.device, node.name)
        return text

    def complain(self, text: str) -> None:
        if text not in self.complaints:
            self.complaints.append(text)

    def delay(self, sender: MortalNode, receiver: MortalNode) -> float:
        return max(self.slow.get(sender.name, 0.0), self.slow.get(receiver.name, 0.0))

    def point(self, node: MortalNode, kind: str) -> None:
        """``node`` passes a point; names of peers in ``kind`` are theirs."""
        with self._lock:
            if self.on_point is None or node.dead:
                return
            self.passed[f"{node.name} {kind}"] += 1
            self.on_point(node, f"{node.name} {kind} {self.passed[f'{node.name} {kind}']}")

    def require_one_life(self, device: DeviceId, frame: bytes) -> None:
        """No session is resumed: of each, all that a device says is said in one life. And what it signs it has on disk,
        once for each attempt at an epoch."""
        node = self.mortal(device)
        session = session_of(frame)
        if self.speakers.setdefault((device, session), node.life) != node.life:
            self.complain(f"{node.name} goes on with session {session.hex()[:8]} after its death")
        if unpack(frame).envelope.slot.endswith("Endorsement"):
            last = [row for row in node.ledger.epochs() if row.state is not EpochState.PENDING][-1:]
            if not last:
                self.complain(f"{node.name} signs an epoch that it does not keep as signed")
            for row in last:
                key = (device, row.vault, row.epoch, row.attempt)
                if self.signed.setdefault(key, row.record_hash) != row.record_hash:
                    self.complain(f"{node.name} signs two records for {key[1:]}")


class MortalNode(Node):
    """A node whose store is a copy of a folder's. Each life has a store file of its own, made from what the disk held
    when the last one ended."""

    world: MortalWorld

    def __init__(self, world: MortalWorld, name: str, template: Path) -> None:
        self.world, self.name = world, name
        self.clock, self.approver = SteadyClock(), Says()
        self.limits, self.versions = world.limits, SPOKEN
        self.life = 0
        self.dead = False
        self.died = asyncio.Event()
        self.home = world.folder / name
        self.home.mkdir(mode=0o700)
        shutil.copyfile(template / "key", self.home / "key")
        (self.home / "key").chmod(0o600)
        self.key = KeyFile(self.home / "key")
        first = self.home / "0"
        first.mkdir(mode=0o700)
        write_private(first / STORE, (template / STORE).read_bytes())
        world.disk.keep(first)
        self.open()
        self.card, self.device = self.ledger.me.card, self.ledger.me.device

    @property
    def path(self) -> Path:  # type: ignore[override]
        return self.home / str(self.life) / STORE

    def open(self) -> None:
        life = self.life
        self.ledger = SqliteLedger.open(
            self.path, self.key, on_commit=lambda name: self._on_commit(life, name)
        )
        self.pool = ThreadPoolExecutor(2)

    def _on_commit(self, life: int, name: str) -> None:
        """Raises ``Dead``: a transaction that is not committed yet never will be, and who asked for it is gone."""
        if not self.alive(life):
            raise Dead(f"{self.name} is dead")
        when, write = name.split(":")
        if write in OF_NO_OPERATION:
            return
        if (when, write) == ("before", "erase_before"):
            self._require_acknowledged()
        self.world.point(self, f"write {write} {when}")
        if not self.alive(life):
            raise Dead(f"{self.name} is dead")

    def alive(self, life: int) -> bool:
        return life == self.life and not self.dead

    def _require_acknowledged(self) -> None:
        """Nothing is erased before everybody who signed the epoch after it has acknowledged that.

        Who just wrote an acknowledgement may not have come to forget what was read before: the disk itself counts.
        """
        self.ledger._database._recent.forget("epochs")
        live = [row for row in self.ledger.epochs() if row.state is EpochState.ACTIVE]
        for row in live:
            record = decode(EpochRecord, row.record)
            if row.epoch == 0 or row.waived:
                continue
            for device, key in record.signers.items():
                shown = row.acknowledgements.get(device, bytes(64))
                if not verify_ed25519(key, acknowledgement(record, device), shown):
                    self.world.complain(f"{self.name} erases without the acknowledgement of {device}")

    # --- how it ends, and goes on

    def die(self, *, torn: random.Random | None = None, powered: bool = False) -> None:
        """From any thread: nothing of this life is heard or written any more. The disk of the next one is made at once:
        what was synced, or all that was written where the machine stays ``powered``."""
        self.isolate()
        self.dead = True
        here, there = self.path.parent, self.home / str(self.life + 1)
        if powered:
            self.world.disk.after_exit(here, there)
        else:
            self.world.disk.after_power_cut(here, there, torn=torn)
        self.world.loop.call_soon_threadsafe(self.died.set)

    def isolate(self) -> None:
        self.world.down.add(self.device)

    def connect(self) -> None:
        if not self.dead:
            self.world.down.discard(self.device)

    async def start(self) -> None:
        await super().start()
        self._upkeep = asyncio.create_task(self._keep_checking(self.life))

    async def stop(self) -> None:
        self._upkeep.cancel()
        await super().stop()

    async def _keep_checking(self, life: int) -> None:
        """A store that took no changes is tried again (``node/monitor.py``)."""
        while self.alive(life):
            await asyncio.sleep(CHECK)
            if self.ledger.fault is not None:
                with contextlib.suppress(StoreError):
                    await asyncio.to_thread(self.ledger.check)

    async def rise(self) -> None:
        """The next life, from what the disk held. Of the last one only garbage is left."""
        assert self.dead
        over, ledger, pool = self.ceremonies, self.ledger, self.pool
        await over.stop()
        pool.shutdown(wait=False)
        ledger.close()
        self.life += 1
        self.open()
        self.dead, self.died = False, asyncio.Event()
        await self.start()

    def line(self) -> Mesh:
        return MortalLine(self.world, self)


class MortalLine:
    """One life's mesh."""

    def __init__(self, world: MortalWorld, node: MortalNode) -> None:
        self._world, self._node, self._life = world, node, node.life
        self._due: dict[DeviceId, float] = {}  # envelopes never overtake each other

    def _there(self, peer: DeviceId) -> bool:
        return self._node.alive(self._life) and not {peer, self._node.device} & self._world.down

    def _require(self, peer: DeviceId) -> None:
        if not self._there(peer):
            raise PeerError(peer, "down")

    async def request(self, peer: DeviceId, method: Method, body: bytes, *, timeout: float) -> bytes:
        world, me = self._world, self._node
        target = world.mortal(peer)
        await asyncio.sleep(0)
        self._require(peer)
        if method in BY_THE_CLOCK:
            return await target.ceremonies.on_request(me.device, method, body)
        world.point(me, f"request {method} to {target.name} leaves")
        await asyncio.sleep(world.delay(me, target))
        self._require(peer)
        world.point(target, f"request {method} of {me.name} comes")
        self._require(peer)
        life = target.life
        answer, refusal = b"", None
        try:
            async with asyncio.timeout(timeout):
                answer = await self._outlived(target, target.ceremonies.on_request(me.device, method, body))
        except TimeoutError:
            raise PeerError(peer, "no answer in time") from None
        except QuorateError as error:
            refusal = error
        if target.life != life:
            raise PeerError(peer, "down")
        self._require(peer)
        world.point(target, f"answer {method} to {me.name} leaves")
        self._require(peer)
        world.point(me, f"answer {method} of {target.name} comes")
        self._require(peer)
        if refusal is not None:
            raise PeerError(peer, str(refusal), code=code_of(refusal)) from None
        return answer

    async def _outlived(self, target: MortalNode, answering: Coroutine[Any, Any, bytes]) -> bytes:
        """What a peer answers, unless it dies over it."""
        work, death = asyncio.ensure_future(answering), asyncio.ensure_future(target.died.wait())
        try:
            await asyncio.wait((work, death), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise PeerError(target.device, "down")
            return work.result()
        finally:
            work.cancel()
            death.cancel()

    def post(self, peer: DeviceId, frame: bytes) -> None:
        world, me = self._world, self._node
        if not self._there(peer):
            return
        target, slot = world.mortal(peer), world.named(unpack(frame).envelope.slot)
        world.require_one_life(me.device, frame)
        world.point(me, f"envelope {slot} to {target.name} leaves")
        if self._there(peer):
            due = max(world.loop.time() + world.delay(me, target), self._due.get(peer, 0.0) + 1e-6)
            self._due[peer] = due
            world.loop.call_at(due, self._arrive, target, slot, frame)

    def _arrive(self, target: MortalNode, slot: str, frame: bytes) -> None:
        if not self._there(target.device):
            return
        self._world.point(target, f"envelope {slot} of {self._node.name} comes")
        if self._there(target.device):
            target.ceremonies.on_envelope(self._node.device, frame)

    def connected(self, peer: DeviceId) -> bool:
        return self._there(peer)
