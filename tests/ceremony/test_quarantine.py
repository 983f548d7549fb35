"""A node that comes back out of a backup, or whose disk was set back, signs nothing until its peers have shown what
they hold; and with a share of an epoch that ended, never."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from msgspec import structs

from quorate.ceremony.confinement import Why
from quorate.ceremony.ports import Method, SetupState, State
from quorate.ceremony.reconciling import Reconciler
from quorate.ceremony.statements import Inquiry, hear
from quorate.ceremony.views import OperationView
from quorate.errors import Quarantined, UsageError
from quorate.identifiers import DeviceId, Epoch, VaultId
from tests.ceremony.disks import Safe, lose, restore, set_back, snapshot
from tests.ceremony.resets import until
from tests.ceremony.test_reshare_whole import shares
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks

WEIGHTS = {"alice": 1, "bob": 1, "carol": 1}


@pytest_asyncio.fixture
async def three(tmp_path: Path) -> AsyncIterator[World]:
    """Two of alice, bob and carol sign."""
    made = World(tmp_path, WEIGHTS)
    await made.start()
    view = await made["alice"].create_vault("ops", WEIGHTS, 2, seconds=40)
    assert view.state is State.COMPLETED, view
    for name in WEIGHTS:
        await made[name].ready("ops")
    yield made
    await made.stop()


def why(node: Node) -> Why | None:
    """Why the one vault is in quarantine here."""
    confined = list(node.ledger.quarantine().values())
    return confined[0].cause if confined else None


async def heard(node: Node, *peers: Node) -> None:
    """Until these have kept its present start."""
    boot = node.ceremonies._context.boot.id

    def kept() -> bool:
        starts = [peer.ledger.start_of(node.device) for peer in peers]
        return all(start is not None and start.boot == boot for start in starts)

    await until(kept)


def states_of(node: Node, view: OperationView) -> set[SetupState]:
    """Of the pair set-ups in epoch 0."""
    return {row.state for row in node.ledger.setups(VaultId(view.vault or ""), Epoch(0), 1)}


async def pair_reset(node: Node, peer: Node) -> None:
    view = await node.ceremonies.clients.pair_reset(
        CALLER, vault="ops", peer=peer.name, memo="", idempotency_key=f"{node.name} {peer.name}",
        expires_in_ms=None,
    )  # fmt: skip
    view = await node.ceremonies.clients.wait(CALLER, view.id, 12)
    assert view.state is State.COMPLETED, view


@breaks("QU-1.1")
async def test_a_restored_node_signs_nothing_before_every_other_signer_has_shown_its_certificate(
    three: World,
) -> None:
    alice, bob, carol = (three[name] for name in WEIGHTS)
    files = Safe(bob).take()
    await lose(bob)
    await carol.stop()
    await restore(bob, files)
    bob.approver.asked.clear()
    shown = await bob.ceremonies.clients.vault(CALLER, "ops")
    assert (shown.state, shown.name) == ("quarantined", "ops")
    with pytest.raises(Quarantined):
        await bob.sign("ops", "from bob")
    asked = await alice.sign("ops", "with bob", seconds=2)
    assert asked.state is State.VOTING
    assert not bob.approver.asked
    assert why(bob) is Why.RESTORED
    await carol.restart()
    await until(lambda: why(bob) is None)
    await bob.ready("ops")
    view = await alice.ceremonies.clients.wait(CALLER, asked.id, 12)
    assert view.state is State.COMPLETED, view
    await carol.stop()
    view = await bob.sign("ops", "bob is back")
    assert view.state is State.COMPLETED, view
    assert states_of(bob, view) == {SetupState.DEAD}, "what the others hold of before"
    await pair_reset(bob, alice)
    view = await bob.sign("ops", "with a new set-up", algorithm="ES256K")
    assert view.state is State.COMPLETED, view


@breaks("QU-1.2")
async def test_a_share_of_an_epoch_that_ended_is_erased_and_a_refresh_brings_another(three: World) -> None:
    """Bob's backup is of epoch 0; it has signed epoch 1 since, which the others show."""
    alice, bob, carol = (three[name] for name in WEIGHTS)
    files = Safe(bob).take()
    view = await alice.reshare("ops")
    assert view.state is State.COMPLETED, view
    await lose(bob)
    await restore(bob, files)
    await until(lambda: why(bob) is Why.SHARE_LOST)
    vault = VaultId(view.vault or "")
    assert shares(bob) == 0
    for asked in (bob.sign("ops", "no"), bob.ceremonies.clients.release_vault(CALLER, "ops", ["carol"])):
        with pytest.raises((Quarantined, UsageError)) as refused:
            await asked
        assert getattr(refused.value, "code", refused.value.reason) in ("QUARANTINED", "NOT_RECONCILABLE")
    view = await alice.reshare("ops")
    assert view.state is State.COMPLETED, view
    assert why(bob) is None
    assert (await bob.ready("ops")).epoch == 2
    assert bob.ledger.active_epoch(vault).epoch == 2  # type: ignore[union-attr]
    await carol.stop()
    for algorithm in ("EDDSA", "ES256K"):
        view = await bob.sign("ops", "with a share of epoch 2", algorithm=algorithm)
        assert view.state is State.COMPLETED, view


@breaks("QU-1.3")
async def test_who_was_restored_and_is_no_signer_any_more_awaits_those_that_are(three: World) -> None:
    """Peers hear that something was in quarantine, and that it is over, which has them begin its audit chain anew."""
    alice, bob, carol = (three[name] for name in WEIGHTS)
    files = Safe(bob).take()
    view = await alice.reshare("ops", removed=("bob",))
    assert view.state is State.COMPLETED, view
    await lose(bob)
    await carol.stop()
    told: dict[DeviceId, list[bool]] = {alice.device: [], carol.device: []}

    def listen(me: DeviceId, peer: DeviceId, method: Method, body: bytes) -> None:
        if me == bob.device and method is Method.INQUIRE:
            told[peer].append(hear(Inquiry, body, alice.ceremonies._context.key_of)[1].settled)

    three.intercept = listen
    await restore(bob, files)
    await until(lambda: shares(bob) == 0)
    await until(lambda: len(told[alice.device]) > 2)
    assert why(bob) is Why.RESTORED
    assert not bob.ceremonies.reconciler.confinements()  # nothing that its operator could do about it
    await carol.restart()
    await until(lambda: why(bob) is None)
    await until(lambda: all(heard[-1:] == [True] for heard in told.values()))
    assert [heard[0] for heard in told.values()] == [False, False]
    view = await alice.reshare("ops", weights={"bob": 1})
    assert view.state is State.COMPLETED, view
    assert (await bob.ready("ops")).epoch == 2


@breaks("QU-1.6")
async def test_peers_under_the_threshold_that_claim_an_old_epoch_lives_release_nobody(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alice says that epoch 0 lives, and carol, who knows better, is cut off; bob's operator believes it gone."""
    alice, bob, carol = (three[name] for name in WEIGHTS)
    files = Safe(bob).take()
    told = alice.ceremonies.reconciler._recollections(bob.device)
    assert (await alice.reshare("ops")).state is State.COMPLETED
    monkeypatch.setattr(alice.ceremonies.reconciler, "_recollections", lambda _: told)
    monkeypatch.setattr(alice.ceremonies._catchup, "tell_holdings", lambda _: b"")
    await lose(bob)
    await carol.stop()
    await restore(bob, files)
    waits = bob.ceremonies.reconciler.waits_for
    await until(lambda: set(waits(bob.ceremonies.vaults.find("ops"))) == {carol.device})
    assert why(bob) is Why.RESTORED
    for named, code in (([], "NOT_RECONCILED"), (["carol"], "NOT_ENOUGH_WEIGHT")):
        with pytest.raises(UsageError) as refused:
            await bob.ceremonies.clients.release_vault(CALLER, "ops", named)
        assert refused.value.code == code
    await carol.start()
    await until(lambda: why(bob) is Why.SHARE_LOST)
    assert shares(bob) == 0


@breaks("QU-1.3", "QU-1.8")
async def test_a_peer_that_shows_another_certificate_or_an_old_answer_is_named_and_releases_nobody(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = three["alice"], three["bob"]
    files = Safe(bob).take()
    await lose(bob)
    honest, said = alice.ceremonies.reconciler._recollections, alice.ceremonies.reconciler.answer
    forged = [structs.replace(each, certificate=bytes(32)) for each in honest(bob.device)]
    monkeypatch.setattr(alice.ceremonies.reconciler, "_recollections", lambda _: tuple(forged))
    await restore(bob, files)
    vault = bob.ceremonies.vaults.find("ops")
    waits = bob.ceremonies.reconciler.waits_for
    await until(lambda: waits(vault) == {alice.device: "shows another certificate for epoch 0"})
    replies: list[bytes] = []

    async def replay(*told: Any) -> bytes:
        replies.append(await said(*told))
        return replies[0]

    monkeypatch.setattr(alice.ceremonies.reconciler, "_recollections", honest)
    monkeypatch.setattr(alice.ceremonies.reconciler, "answer", replay)
    bob.world.down.add(bob.device)  # what was answered before counts no more
    await until(lambda: not bob.ceremonies.reconciler._answers[vault.id])
    replies.append(b"")
    await alice.ceremonies.reconciler.recall([])
    bob.world.down.discard(bob.device)
    await until(lambda: len(replies) > 2)
    assert waits(vault).keys() == {alice.device}
    assert why(bob) is Why.RESTORED
    monkeypatch.setattr(alice.ceremonies.reconciler, "answer", said)
    await until(lambda: why(bob) is None)


@breaks("QU-1.5")
async def test_a_disk_that_was_set_back_is_noticed_by_both_sides_and_signs_nothing_until_reconciled(
    three: World,
) -> None:
    alice, bob, carol = (three[name] for name in WEIGHTS)
    kept = await snapshot(bob)
    await bob.restart()
    await heard(bob, alice)
    counter = bob.ceremonies._context.boot.counter
    await carol.stop()
    both = {
        "QU-1.5 set back: the store of a peer is an old copy",
        "QU-1.5 set back: this node's store is an old copy",
    }
    with structlog.testing.capture_logs() as logs:
        await set_back(bob, kept)
        await until(lambda: why(bob) is Why.SET_BACK)
        await until(lambda: both <= {line["event"] for line in logs})
    assert bob.device in alice.ceremonies.reconciler.set_back
    with pytest.raises(Quarantined):
        await bob.sign("ops", "no")
    await carol.restart()
    await until(lambda: why(bob) is None)
    assert bob.ceremonies._context.boot.counter > counter
    await until(lambda: not alice.ceremonies.reconciler.set_back)
    await bob.ready("ops")
    view = await bob.sign("ops", "level again")
    assert view.state is State.COMPLETED, view
    assert states_of(bob, view) == {SetupState.DEAD}
    await pair_reset(bob, alice)
    await carol.stop()
    view = await bob.sign("ops", "in new pads", algorithm="ES256K")
    assert view.state is State.COMPLETED, view


@breaks("QU-1.4")
async def test_a_node_asks_what_its_peers_remember_before_its_first_session(
    three: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob's disk is set back, and it gets no time of its own to ask."""
    alice, bob, carol = (three[name] for name in WEIGHTS)
    kept = await snapshot(bob)
    await bob.restart()
    await heard(bob, alice)
    await carol.stop()

    async def never(_: Reconciler) -> None:
        return

    monkeypatch.setattr(Reconciler, "keep_asking", never)
    await set_back(bob, kept)
    view = await alice.sign("ops", "before anything else", seconds=3)
    assert view.state is not State.COMPLETED
    assert why(bob) is Why.SET_BACK
