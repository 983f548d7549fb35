"""Reshares with nodes that die, return, or are away: one epoch lives in the end, and what is old is erased."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import structlog
from msgspec import structs

from quorate.ceremony.context import Limits
from quorate.ceremony.ports import EpochState, State
from quorate.ceremony.session import Patience
from quorate.errors import StoreError, UsageError
from quorate.identifiers import DeviceId, VaultId
from quorate.native.memory import SecretBytes
from quorate.wire.envelope import unpack
from tests.ceremony.resets import Losing, until
from tests.ceremony.setups import lie
from tests.ceremony.test_reshare_whole import both_curves, four, shares, states
from tests.ceremony.world import CALLER, World
from tests.rules import breaks

__all__ = ["four"]

ERASED, ACTIVE, SIGNED = EpochState.ERASED, EpochState.ACTIVE, EpochState.SIGNED
HASTY = Limits(
    ask=2.0, repeat=0.2, carry_out=2.0, patience=Patience(silence=1.0, unlinked=0.5, deadline=20.0)
)


async def settled(world: World, *names: str, epoch: int = 1) -> None:
    """Each of these has the epoch ready, and of earlier ones no share."""
    for name in names:
        await until(lambda name=name: states(world[name])[-1] == (epoch, ACTIVE))  # type: ignore[misc]
        await world[name].ready("ops")
        await until(lambda name=name: shares(world[name]) == 2)  # type: ignore[misc]


async def test_a_member_killed_before_the_certificate_activates_on_its_return(
    four: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob has signed, hears of nobody else's signature, and dies before it can keep a certificate that it is shown."""
    alice, bob = four["alice"], four["bob"]
    four.cut = lambda _, to, frame: to == bob.device and unpack(frame).envelope.slot.endswith("Endorsement")

    def dying(*_: object) -> None:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(bob.ledger, "activate", dying)
    asking = asyncio.create_task(alice.reshare("ops", {"dave": 1}, threshold=3, seconds=30))
    await until(lambda: (1, SIGNED) in states(bob))
    await bob.stop()
    bob.ledger.close()
    bob.open()
    assert (1, SIGNED) in states(bob)
    four.cut = lambda *_: False
    await bob.start()
    view = await asking
    assert view.state is State.COMPLETED, view
    await settled(four, "alice", "bob", "carol", "dave")
    await both_curves(bob, "bob is back")


async def test_a_signer_removed_while_it_was_down_says_so_and_erases(four: World) -> None:
    carol = four["carol"]
    await carol.stop()
    view = await four["alice"].reshare("ops", {"dave": 1}, removed=("carol",))
    assert view.state is State.COMPLETED, view
    assert carol.ledger.active_epoch(VaultId(view.vault or "")).epoch == 0  # type: ignore[union-attr]
    with structlog.testing.capture_logs() as logs:
        await carol.restart()
        await until(lambda: states(carol) == [(0, ERASED), (1, ACTIVE)])
        await until(lambda: "earlier epochs erased" in {line["event"] for line in logs})
    assert shares(carol) == 0
    assert "this node is no signer of the vault any more" in {line["event"] for line in logs}
    with pytest.raises(UsageError) as refused:
        carol.ceremonies.vaults.get(VaultId(view.vault or ""))
    assert refused.value.code == "NOT_A_SIGNER"


async def test_who_was_away_for_two_epochs_takes_them_one_by_one(four: World) -> None:
    carol = four["carol"]
    await carol.stop()
    assert (await four["alice"].reshare("ops", removed=("carol",))).state is State.COMPLETED
    await settled(four, "alice", "bob")
    assert (await four["alice"].reshare("ops", {"dave": 1})).state is State.COMPLETED
    await carol.restart()
    await until(lambda: states(carol) == [(0, ERASED), (1, ERASED), (2, ACTIVE)])
    assert shares(carol) == 0


async def test_who_left_can_come_back(four: World) -> None:
    assert (await four["alice"].reshare("ops", {"dave": 1}, removed=("carol",))).state is State.COMPLETED
    await until(lambda: states(four["carol"])[-1] == (1, ACTIVE))
    await settled(four, "alice", "bob", "dave")
    view = await four["bob"].reshare("ops", {"carol": 2})
    assert view.state is State.COMPLETED, view
    await settled(four, "alice", "bob", "carol", "dave", epoch=2)
    await both_curves(four["carol"], "carol is back")


async def test_a_leaver_that_is_lost_after_dealing_is_waited_for_until_the_operator_goes_on(
    four: World,
) -> None:
    """Carol deals, signs and is gone before the trial. The new epoch lives, but is not ready."""
    for node in four.nodes.values():
        node.limits = HASTY
        await node.restart()
    carol, alice = four["carol"], four["alice"]
    for name in ("alice", "bob", "carol"):
        await four[name].ready("ops")
    # without bob, it takes carol's weight to hand over
    four["bob"].approver.gate = asyncio.Event()
    asking = asyncio.create_task(
        alice.reshare("ops", {"dave": 2}, removed=("carol", "bob"), threshold=3, seconds=20)
    )
    await until(lambda: states(carol)[-1] in ((1, SIGNED), (1, ACTIVE)))
    await carol.stop()
    view = await asking
    assert view.state is State.FAILED, view
    assert "waits for the acknowledgement of carol" in view.detail
    assert (await alice.ceremonies.clients.vault(CALLER, "ops")).state == "active"
    assert shares(alice) == 4  # both epochs
    refused = None
    try:
        await alice.sign("ops", "not yet")
    except UsageError as error:
        refused = error.code
    assert refused == "VAULT_NOT_READY"
    for name in ("alice", "alice", "dave"):  # the second time changes nothing
        shown = await four[name].ceremonies.clients.erase_earlier(CALLER, "ops")
        assert shown.state == "ready"
        assert shares(four[name]) == 2
    await both_curves(alice, "without carol")
    row = alice.ledger.operation(view.id)
    assert row is not None
    assert row.state is State.COMPLETED


@breaks("CE-7.10", "ST-4.8")
async def test_the_first_epoch_has_nothing_before_it_to_erase(four: World) -> None:
    with pytest.raises(UsageError, match=r"CE-7\.10"):
        await four["alice"].ceremonies.clients.erase_earlier(CALLER, "ops")


async def test_a_trial_that_is_lost_is_run_again(four: World) -> None:
    alice, bob = four["alice"], four["bob"]
    four.cut = Losing(bob, "Acknowledgement")
    asking = asyncio.create_task(alice.reshare("ops", seconds=30))
    await until(lambda: four.cut.lost > 0)  # type: ignore[attr-defined]
    four.cut = lambda *_: False
    view = await asking
    assert view.state is State.COMPLETED, view
    await settled(four, "alice", "bob", "carol")


async def test_a_dealer_that_falls_silent_is_replaced_by_another(four: World) -> None:
    """Weight 3 of 4 hands over: alice with bob or with carol. Both leave."""
    silent: list[object] = []

    def cut(sender: object, _: object, frame: bytes) -> bool:
        leaver = sender in (four["bob"].device, four["carol"].device)
        if not silent and leaver and unpack(frame).envelope.slot.endswith("Opening"):
            silent.append(sender)
        return sender in silent

    four.cut = cut
    view = await four["alice"].reshare("ops", {"dave": 2}, removed=("bob", "carol"), threshold=3, seconds=40)
    assert view.state is State.COMPLETED, view
    assert view.attempt > 1
    record = four["dave"].ceremonies.vaults.get(VaultId(view.vault or "")).record
    assert silent[0] not in {dealer.device for dealer in record.dealers}


async def test_a_dealer_of_bad_shares_is_replaced_by_another_and_who_was_dealt_them_still_joins(
    four: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its objection names the two. One of them is the new member, without whom there is no reshare."""
    dave, spoilers = four["dave"].device, list[DeviceId]()

    def spoil(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if recipient != dave or not slot.endswith("/Shares"):
            return message
        if not spoilers:
            spoilers.append(sender)
        return structs.replace(message, values=SecretBytes(32)) if sender in spoilers else message

    lie(monkeypatch, four["bob"], spoil, four["carol"])
    view = await four["alice"].reshare("ops", {"dave": 2}, removed=("bob", "carol"), threshold=3, seconds=40)
    assert view.state is State.COMPLETED, view
    record = four["dave"].ceremonies.vaults.get(VaultId(view.vault or "")).record
    assert spoilers[0] not in {dealer.device for dealer in record.dealers}


async def test_a_restart_of_the_proposer_loses_nothing(four: World) -> None:
    alice = four["alice"]
    four["dave"].approver.gate = asyncio.Event()
    view = await alice.ceremonies.clients.reshare(
        CALLER, vault="ops", weights={"dave": 1}, removed=(), threshold=None, allow_sole_signer=False, memo="",
        idempotency_key="once", expires_in_ms=None,
    )  # fmt: skip
    await alice.restart()
    four["dave"].approver.gate.set()
    again = await alice.ceremonies.clients.reshare(
        CALLER, vault="ops", weights={"dave": 1}, removed=(), threshold=None, allow_sole_signer=False, memo="",
        idempotency_key="once", expires_in_ms=None,
    )  # fmt: skip
    assert again.id == view.id
    ended = await alice.ceremonies.clients.wait(CALLER, view.id, 30)
    assert ended.state is State.COMPLETED, ended
    await settled(four, "alice", "bob", "carol", "dave")
