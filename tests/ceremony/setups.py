"""The pair set-ups of whole nodes, straight from and into their ledgers; and nodes that lie within a session."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from quorate.ceremony import participant
from quorate.ceremony.ports import SealedSetup, SetupRow, SetupState
from quorate.ceremony.views import OperationView
from quorate.identifiers import VaultId
from quorate.wire.codec import encode
from quorate.wire.machine import Machine
from quorate.wire.mailbox import Draft, Letter
from quorate.wire.simulator import DROP, Cheat, Tamper
from tests.ceremony.world import CALLER, Node
from tests.protocols import pairs


async def reset(
    node: Node, peer: str, *, vault: str = "ops", seconds: float = 12, key: str = "", memo: str = ""
) -> OperationView:
    view = await node.ceremonies.clients.pair_reset(
        CALLER, vault=vault, peer=peer, memo=memo, idempotency_key=key or os.urandom(8).hex(), expires_in_ms=None
    )  # fmt: skip
    return await node.ceremonies.clients.wait(CALLER, view.id, seconds)


def renew(first: Node, second: Node, vault: VaultId) -> bytes:
    """The next generation of the two; what it multiplies with is the same in all tests, its name is not."""
    name, halves = os.urandom(32), pairs.setups().values()
    generation = 1 + max((row.generation for row in rows(first, second, vault)), default=-1)
    for node, peer, half in zip((first, second), (second, first), halves, strict=True):
        row = node.ledger.active_epoch(vault)
        assert row is not None
        mine = replace(half, id=name, peer=peer.device)
        sealed = SealedSetup(id=name, peer=peer.device, generation=generation, secret=mine.seal())
        node.ledger.store_setup(vault, row.epoch, row.attempt, sealed, SetupState.LIVE)
    return name


def rows(node: Node, peer: Node, vault: VaultId) -> list[SetupRow]:
    """Every generation that ``node`` has with ``peer``."""
    row = node.ledger.active_epoch(vault)
    assert row is not None
    return [each for each in node.ledger.setups(vault, row.epoch, row.attempt) if each.peer == peer.device]


def states(node: Node, peer: Node, vault: VaultId) -> list[SetupState]:
    return [row.state for row in rows(node, peer, vault)]


class Liar(Machine[Any]):
    """A node's machine that sends what ``tamper`` makes of its messages."""

    tamper: Tamper

    def copies(self, draft: Draft, recipient: Any, letter: Letter) -> Iterable[bytes]:
        said = self.tamper(self.me, recipient, draft.slot, draft.message)
        for each in said if isinstance(said, list) else [said]:
            if each is draft.message:
                yield letter.frame
            elif each is not DROP:
                yield self.sign([self.write(draft, _body(each, draft))])[0].frame


def _body(content: Cheat, draft: Draft) -> bytes:
    assert not isinstance(content, type(DROP))
    return content if isinstance(content, bytes) else encode(content, private=draft.sealed)  # type: ignore[arg-type]


def lie(patch: pytest.MonkeyPatch, node: Node, tamper: Tamper, *more: Node) -> None:
    """From now on ``node``'s machines say what ``tamper`` makes of their messages (as in the simulator)."""
    liars = {each.device for each in (node, *more)}

    class Lying(Liar):
        pass

    Lying.tamper = staticmethod(tamper)

    def machine(me: Any, *rest: Any) -> Machine[Any]:
        kind: type[Machine[Any]] = Lying if me in liars else Machine
        return kind(me, *rest)

    patch.setattr(participant, "Machine", machine)
