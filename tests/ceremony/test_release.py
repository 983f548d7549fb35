"""A quarantine that is ended on an admin's word, and what even that cannot end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import combinations, product
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec import structs

from quorate.ceremony.ports import State
from quorate.ceremony.reconciling import least_heard
from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.operations.kinds import Member
from quorate.protocols.sharing import Sharing, sharing_of
from tests.ceremony.disks import Safe, lose, restore
from tests.ceremony.resets import until
from tests.ceremony.test_quarantine import pair_reset, why
from tests.ceremony.world import CALLER, World
from tests.rules import breaks

HEAVY = {"alice": 4, "bob": 1, "carol": 1}


@pytest_asyncio.fixture
async def heavy(tmp_path: Path) -> AsyncIterator[World]:
    """Alice outweighs the others, and any two sign."""
    made = World(tmp_path, HEAVY)
    await made.start()
    view = await made["alice"].create_vault("ops", HEAVY, 2, sole=True, seconds=40)
    assert view.state is State.COMPLETED, view
    for name in HEAVY:
        await made[name].ready("ops")
    yield made
    await made.stop()


@breaks("QU-1.7")
async def test_who_is_released_once_is_told_so_when_asked_again(
    heavy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Carol is gone for good; alice alone is heavier than all that could have gone on without her."""
    alice, bob, carol = (heavy[name] for name in HEAVY)
    await pair_reset(bob, alice)
    files = Safe(bob).take()
    await lose(bob)
    await carol.stop()
    honest = alice.ceremonies.reconciler._recollections
    told = [structs.replace(each, attempts=7) for each in honest(bob.device)]
    monkeypatch.setattr(alice.ceremonies.reconciler, "_recollections", lambda _: tuple(told))
    await restore(bob, files)
    release = bob.ceremonies.clients.release_vault
    vault = bob.ceremonies.vaults.find("ops")
    await until(lambda: bob.ceremonies.reconciler.waits_for(vault).keys() == {carol.device})
    with pytest.raises(UsageError) as refused:
        await release(CALLER, "ops", ["alice"])
    assert refused.value.code == "NOT_RECONCILED"
    assert (await release(CALLER, "ops", ["carol"])).state != "quarantined"
    with pytest.raises(UsageError) as refused:
        await release(CALLER, "ops", ["carol"])
    assert refused.value.code == "NOT_RECONCILABLE"
    assert bob.ceremonies.vaults.attempts(vault.id, 1) == 7
    generations = [row.generation for row in bob.ledger.setups(vault.id, vault.epoch, 1)]
    assert generations == [told[0].generation] == [1]
    await until(lambda: bob.device not in alice.ceremonies.reconciler.confined(vault.id))
    view = await bob.ceremonies.clients.pair_reset(
        CALLER, vault="ops", peer="alice", memo="", idempotency_key="after", expires_in_ms=None
    )
    assert (await bob.ceremonies.clients.wait(CALLER, view.id, 12)).state is State.COMPLETED
    assert [row.generation for row in bob.ledger.setups(vault.id, vault.epoch, 1)] == [1, 2]


async def test_when_all_were_restored_an_admin_s_word_ends_it_for_all(heavy: World) -> None:
    """Whoever is first needs it; then there is one that is out of quarantine. What the trial proved is in no backup."""
    alice, bob, carol = (heavy[name] for name in HEAVY)
    nodes = (alice, bob, carol)
    kept = [(node, Safe(node).take()) for node in nodes]
    for node, _ in kept:
        await lose(node)
    for node, files in kept:
        await restore(node, files)
    vault = alice.ceremonies.vaults.find("ops")
    quarantined = {each.device: "is itself in quarantine" for each in (bob, carol)}
    await until(lambda: alice.ceremonies.reconciler.waits_for(vault) == quarantined)
    assert why(alice) is not None
    await alice.ceremonies.clients.release_vault(CALLER, "ops", ["bob", "carol"])
    await until(lambda: why(alice) is None)
    vault = bob.ceremonies.vaults.find("ops")
    await until(lambda: bob.ceremonies.reconciler.waits_for(vault).keys() == {carol.device})
    await bob.ceremonies.clients.release_vault(CALLER, "ops", ["carol"])
    await until(lambda: why(bob) is None and why(carol) is None)
    assert (await bob.reshare("ops", sole=True)).state is State.COMPLETED, (
        "nobody has the acknowledgements of before"
    )
    for node in nodes:
        await node.ready("ops")
    assert (await bob.sign("ops", "all of us are back")).state is State.COMPLETED


def rosters() -> list[Sharing]:
    """Every threshold of every roster of up to five members that weigh up to three."""
    found = []
    for count in range(2, 6):
        for weights in product(range(1, 4), repeat=count):
            if list(weights) == sorted(weights):
                members = [
                    Member(device=chr(97 + i) * 24, identity_key=bytes([i]) * 32, weight=weight)
                    for i, weight in enumerate(weights)
                ]
                found += [
                    sharing_of(members, threshold, allow_sole_signer=True)
                    for threshold in range(2, sum(weights) + 1)
                ]
    return found


def subsets(devices: tuple[DeviceId, ...]) -> list[frozenset[DeviceId]]:
    return [frozenset(each) for size in range(len(devices) + 1) for each in combinations(devices, size)]


def test_no_later_epoch_can_have_been_made_without_an_honest_one_of_those_that_must_be_heard() -> None:
    """By going through all: who was heard, who of them lies, and who could have dealt."""
    looked = released = 0
    for sharing in rosters():
        devices = sharing.devices
        for me in devices:
            for heard in subsets(tuple(each for each in devices if each != me)):
                looked += 1
                if sharing.weight_of(heard) < least_heard(sharing):
                    continue
                released += 1
                for liars in subsets(tuple(heard)):
                    if sharing.weight_of(liars) < sharing.threshold:
                        others = [each for each in devices if each not in heard or each in liars]
                        assert sharing.weight_of(others) < sharing.handover_weight
    assert looked > released > 0
