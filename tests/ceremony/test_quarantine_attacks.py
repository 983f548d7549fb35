"""Peers that want a node in quarantine for ever, or out of it, or never to begin a session, and do not get it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quorate.ceremony.audit_heads import PeerHeads
from quorate.ceremony.confinement import Why
from quorate.ceremony.policies import Policies
from quorate.ceremony.ports import State
from quorate.ceremony.reconciling import Reconciler
from quorate.errors import UsageError
from tests.ceremony.disks import Safe, lose, restore, set_back, snapshot
from tests.ceremony.governed import OPEN, governed, propose, version
from tests.ceremony.resets import until
from tests.ceremony.test_quarantine import WEIGHTS, heard, three, why
from tests.ceremony.test_reshare_attacks import kept_to_itself
from tests.ceremony.test_reshare_rules import show
from tests.ceremony.test_reshare_whole import four
from tests.ceremony.test_witnessing import grow, keep_a_copy
from tests.ceremony.world import CALLER, World
from tests.rules import breaks

__all__ = ["four", "three"]


async def never(_: Reconciler) -> None:
    return


@breaks("AU-3.6")
async def test_who_keeps_old_heads_back_puts_a_node_in_quarantine_once(three: World) -> None:
    """Alice has years of bob's heads, all of them lost with his disk."""
    alice, bob = three["alice"], three["bob"]
    kept = await snapshot(bob)
    heads = []
    for _ in range(3):
        grow(bob)
        heads.append(bob.ledger.audit_head())
    await alice.ceremonies.witnesses.exchange(bob.device)
    await set_back(bob, kept)
    await until(lambda: bool(bob.ledger.lost_heads()) and why(bob) is None)
    for head in heads:
        alice.ceremonies.witnesses._held[bob.device] = PeerHeads(confirmed=head, highest=head)
        await alice.ceremonies.witnesses.exchange(bob.device)
        assert why(bob) is None


@breaks("CE-7.7")
async def test_a_sibling_of_the_live_epoch_that_was_kept_back_is_no_sign_of_an_old_store(four: World) -> None:
    """Bob signed it, and the backups that he came back from know nothing of it."""
    certificate = await kept_to_itself(four)
    four.cut = lambda *_: False
    alice, bob, dave = four["alice"], four["bob"], four["dave"]
    await dave.stop()
    view = await alice.reshare("ops", seconds=40)
    assert view.state is State.COMPLETED, view
    await bob.ready("ops")
    files = Safe(bob).take()
    await lose(bob)
    await restore(bob, files)
    await until(lambda: why(bob) is None)
    show(four, "bob", certificate)
    assert why(bob) is None


@breaks("QU-1.4")
async def test_a_peer_that_will_not_say_what_it_remembers_is_waited_for_once(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bob, carol = three["bob"], three["carol"]
    monkeypatch.setattr(Reconciler, "keep_asking", never)
    await bob.restart()
    asked = 0

    async def hang_up(*_: Any) -> bytes:
        nonlocal asked
        asked += 1
        raise UsageError("no", code="UNREACHABLE")

    monkeypatch.setattr(carol.ceremonies.reconciler, "answer", hang_up)
    for _ in range(3):
        await bob.ceremonies.reconciler.recall([carol.device])
    assert asked == 1


@breaks("QU-1.4")
async def test_a_disk_that_was_set_back_to_within_one_start_takes_part_in_nothing(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its number the start is a later one; what bob's chain lacks alone tells."""
    alice, bob, carol = (three[name] for name in WEIGHTS)
    await heard(bob, alice)
    kept = keep_a_copy(bob)
    bob.ledger.stopped()  # any record
    await alice.ceremonies.witnesses.exchange(bob.device)
    await carol.stop()
    monkeypatch.setattr(Reconciler, "keep_asking", never)
    await set_back(bob, kept)
    view = await alice.sign("ops", "before anything else", seconds=3)
    assert view.state is not State.COMPLETED
    assert why(bob) is Why.SET_BACK


@breaks("QU-1.3")
async def test_no_vault_is_free_before_the_one_that_governs(world: World) -> None:
    """Alice shares a small vault with bob and keeps the new policy back; carol, who would tell, is cut off."""
    alice, bob, carol = (world[name] for name in WEIGHTS)
    await governed(world)
    assert (await alice.create_vault("small", {"alice": 1, "bob": 1}, 2)).state is State.COMPLETED
    for node in (alice, bob):
        await node.ready("small")
    files = Safe(bob).take()
    view = await alice.ceremonies.clients.wait(CALLER, (await propose(alice, OPEN.encode())).id, 12)
    assert view.state is State.COMPLETED, view
    await until(lambda: version(bob) == 1)
    await lose(bob)
    await carol.stop()
    alice.policies.__class__ = Silent
    await restore(bob, files)
    waits = bob.ceremonies.reconciler.waits_for
    await until(lambda: not waits(bob.ceremonies.vaults.find("small")))
    await asyncio.sleep(1.5)
    assert len(bob.ledger.quarantine()) == 2
    with pytest.raises(UsageError, match=r"QU-1\.6"):
        await bob.ceremonies.clients.release_vault(CALLER, "small", [])
    await carol.start()
    await until(lambda: not bob.ledger.quarantine())
    assert version(bob) == 1


class Silent(Policies):
    """Says nothing of what is in force."""

    @property
    def head(self) -> None:
        return None
