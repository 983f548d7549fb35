"""Lies about reshares, and the rule that each breaks: in proposals, in certificates, in what is left of an epoch."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import structlog

from quorate.ceremony import lineage
from quorate.ceremony.confinement import Why
from quorate.ceremony.ports import ApprovalRequest, Decision, EpochState, Method, State
from quorate.ceremony.reconciling import Reconciler
from quorate.ceremony.statements import Begin, Holding, Holdings, Proposal
from quorate.cli.history import signers_of_both
from quorate.errors import Quarantined, StaleEpoch, UsageError
from quorate.identifiers import Curve, SessionId, VaultId
from quorate.protocols.certificate import Certificate, endorsement
from quorate.wire.codec import decode, encode
from tests.ceremony.resets import until
from tests.ceremony.test_cheats import Cheat
from tests.ceremony.test_reshare_whole import four, shares, states
from tests.ceremony.world import CALLER, Says, World
from tests.rules import breaks

__all__ = ["four"]

put = msgspec.structs.replace


def in_request(proposal: Proposal, **fields: Any) -> Proposal:
    operation = proposal.operation
    return put(proposal, operation=put(operation, request=put(operation.request, **fields)))


def certificate_of(world: World, name: str, epoch: int = 0) -> Certificate:
    row = next(row for row in world[name].ledger.epochs() if row.epoch == epoch and row.certificate)
    return decode(Certificate, row.certificate)


def signed_by_all(world: World, record: Any) -> Certificate:
    """What only those devices together can make."""
    signatures = tuple(
        world.of(device).ledger.identity.sign(endorsement(record.hash, device)) for device in record.signers
    )
    return Certificate(record=record, signatures=signatures)


TO_A_MEMBER: dict[str, tuple[Callable[[Proposal], Proposal], str]] = {
    "of another epoch": (lambda p: in_request(p, epoch=1), "STALE_EPOCH"),
    "of another certificate": (lambda p: in_request(p, certificate=bytes(32)), "BAD_CERTIFICATE"),
    "of another name": (lambda p: in_request(p, name="pos"), "WRONG_NAME"),
    "after too many attempts": (lambda p: in_request(p, after=1001), "ATTEMPT_NOT_RISING"),
    "with a threshold out of reach": (lambda p: in_request(p, threshold=99), "INVALID_REQUEST"),
}


@breaks("CE-7.1", "CE-7.3", "CE-7.4")
@pytest.mark.parametrize("lie", TO_A_MEMBER)
async def test_a_reshare_that_is_not_sound_never_reaches_a_member_s_approver(four: World, lie: str) -> None:
    change, code = TO_A_MEMBER[lie]
    asked = len(four["bob"].approver.asked)
    cheat = Cheat(four, Method.PROPOSE, Proposal, change, times=99)
    view = await four["alice"].reshare("ops", {"bob": 2})
    assert cheat.code == code
    assert (view.state, view.reason) == (State.FAILED, "REFUSED")
    assert len(four["bob"].approver.asked) == asked


def unsigned(proposal: Proposal) -> Proposal:
    shown = decode(Certificate, proposal.certificate)
    return put(proposal, certificate=encode(put(shown, signatures=shown.signatures[::-1])))


def other_weights(proposal: Proposal) -> Proposal:
    """A record of the same vault in which everybody counts twice as much."""
    shown = decode(Certificate, proposal.certificate)
    roster = tuple(put(place, weight=2 * place.weight) for place in shown.record.roster)
    record = put(shown.record, roster=roster, threshold=2 * shown.record.threshold)
    return put(proposal, certificate=encode(put(shown, record=record)))


TO_WHO_JOINS: dict[str, Callable[[Proposal], Proposal]] = {
    "with no certificate": lambda p: put(p, certificate=b""),
    "with what is none": lambda p: put(p, certificate=b"junk"),
    "with one that not everybody signed": unsigned,
    "with another one": other_weights,
}


@breaks("CE-7.2")
@pytest.mark.parametrize("lie", TO_WHO_JOINS)
async def test_who_joins_believes_only_the_certificate_that_is_voted_on(four: World, lie: str) -> None:
    change = TO_WHO_JOINS[lie]
    four.nodes["bob"], four.nodes["dave"] = four["dave"], four["bob"]  # cheats are told to "bob"
    cheat = Cheat(four, Method.PROPOSE, Proposal, change, times=99)
    view = await four["alice"].reshare(
        "ops", {"dave": 1} if four["bob"].name == "bob" else {four["bob"].name: 1}
    )
    assert cheat.code == "BAD_CERTIFICATE"
    assert (view.state, view.reason) == (State.FAILED, "REFUSED")
    assert not four["bob"].approver.asked


async def test_the_approver_of_who_joins_reads_keys_chain_codes_and_the_certificate(four: World) -> None:
    before = await four["alice"].ready("ops")
    assert (await four["alice"].reshare("ops", {"dave": 1})).state is State.COMPLETED
    (asked,) = four["dave"].approver.asked
    assert asked.route == "reshare"
    assert asked.body["previousCertificate"] == before.certificate_hash.hex()
    curves = {each["algorithm"]: each for each in asked.body["details"]["vault"]["curves"]}
    assert curves["EDDSA"]["publicKey"] == before.public_keys[Curve.ED25519].hex()
    assert curves["ECDSA"]["xpub"] == before.xpubs[Curve.SECP256K1]
    assert [each["__typename"] for each in asked.body["diff"]] == ["ReshareDiffDeviceAdded"]
    assert "previousCertificate" not in four["bob"].approver.asked[-1].body


@breaks("CE-7.5")
async def test_a_reshare_takes_every_new_member_and_more_than_half_of_the_old_weight(four: World) -> None:
    four["dave"].approver = Says(verdict=four["dave"].approver.verdict.__class__.REJECT)
    await four["dave"].restart()
    view = await four["alice"].reshare("ops", {"dave": 1})
    assert (view.state, view.reason) == (State.REJECTED, "NOT_APPROVED")
    # threshold 3 of 4, more than half is 3: without alice's 2 there is no handing over
    four["alice"].approver.verdict = four["alice"].approver.verdict.__class__.ABSTAIN
    view = await four["bob"].reshare("ops", removed=("alice",), threshold=2)
    assert (view.state, view.reason) == (State.REJECTED, "NOT_APPROVED")
    assert all(states(four[name]) == [(0, EpochState.ACTIVE)] for name in ("alice", "bob", "carol"))


async def test_a_member_that_is_down_holds_it_up_and_is_named(four: World) -> None:
    await four["dave"].stop()
    with pytest.raises(UsageError, match="dave") as refused:
        await four["alice"].reshare("ops", {"dave": 1})
    assert refused.value.code == "MEMBER_DOWN"
    assert not [row for row in four["alice"].ledger.operations() if row.kind == "reshare"]
    await four["dave"].start()


BEGINS: dict[str, Callable[[World, Begin], Begin]] = {
    "nobody deals": lambda _, begin: put(begin, dealers=()),
    "too few deal": lambda w, begin: put(begin, dealers=(w["alice"].device,)),
    "one that is too light deals twice": lambda w, begin: put(begin, dealers=(w["alice"].device,) * 2),
    "a stranger deals": lambda w, begin: put(begin, dealers=tuple(sorted((*begin.dealers, "a" * 24)))),
    "who joins deals": lambda w, begin: put(begin, dealers=(w["dave"].device,)),
}


@breaks("CE-3.5")
@pytest.mark.parametrize("lie", BEGINS)
async def test_dealers_are_old_members_with_the_weight_to_hand_over(four: World, lie: str) -> None:
    def change(begin: Begin) -> Begin:
        return BEGINS[lie](four, begin) if begin.stage == "reshare" else begin

    cheat = Cheat(four, Method.BEGIN, Begin, change)
    view = await four["alice"].reshare("ops", {"dave": 1}, seconds=30)
    assert cheat.code in ("WRONG_PARTIES", "NOT_ENOUGH_WEIGHT", "NOT_IN_ROSTER")
    assert view.state is State.COMPLETED  # the next attempt was told to everybody alike
    assert view.attempt > 1


# --- votes and sessions of an old epoch


class Waits(Says):
    """Lets reshares pass, and signatures when the gate opens."""

    async def decide(self, request: ApprovalRequest) -> Decision:
        if request.route == "transaction" and self.gate is not None:
            await self.gate.wait()
        return Decision(verdict=self.verdict, approver=self.name, rule="told", explanation="as told")


async def test_votes_of_an_old_epoch_are_worth_nothing_after_a_reshare(four: World) -> None:
    gate = asyncio.Event()
    for name in ("bob", "carol"):
        four[name].approver = Waits(gate=gate)
        await four[name].restart()
    signing = await four["alice"].sign("ops", "old", seconds=0.2)
    assert signing.state is State.VOTING
    assert (await four["alice"].reshare("ops")).state is State.COMPLETED
    gate.set()
    ended = await four["alice"].ceremonies.clients.wait(None, signing.id, 10)  # type: ignore[arg-type]
    assert (ended.state, ended.reason, ended.signature_may_exist) == (State.FAILED, "STALE_EPOCH", False)
    for node in four.nodes.values():
        row = node.ledger.operation(signing.id)
        assert row is None or (row.result, row.released) == (b"", False)


@breaks("CE-7.11")
async def test_nothing_is_begun_or_released_under_an_epoch_that_lives_no_more(four: World) -> None:
    alice = four["alice"]
    view = await alice.sign("ops", "now")
    row = alice.ledger.operation(view.id)
    assert row is not None
    old = certificate_of(four, "alice")
    other = dataclasses.replace(row, id="o" * 24, state=State.VOTING, attempt=0, result=b"", released=False)  # type: ignore[arg-type]
    alice.ledger.add_operation(other)
    decided = alice.ledger.decision(row.id)
    assert decided is not None
    alice.ledger.record_decision(dataclasses.replace(decided, operation=other.id))
    assert alice.ledger.begin_attempt(other.id, 1, SessionId(os.urandom(32)), sharing=old.hash)
    halted: list[str] = []
    vaults = alice.ceremonies.vaults
    with vaults.working(halted.append, VaultId(old.record.vault), 0):
        assert (await alice.reshare("ops")).state is State.COMPLETED
    assert halted
    with pytest.raises(StaleEpoch):
        alice.ledger.release(other.id, 1, other.digest)
    with pytest.raises(StaleEpoch):
        alice.ledger.begin_attempt(other.id, 2, SessionId(os.urandom(32)), sharing=old.hash)


@breaks("CE-7.12")
async def test_nothing_begins_under_an_epoch_that_is_about_to_end(four: World) -> None:
    alice = four["alice"]
    four.cut = lambda sender, *_: sender == four["bob"].device
    with structlog.testing.capture_logs() as logs:
        asking = asyncio.create_task(alice.reshare("ops", seconds=40))
        busy = alice.ceremonies._participant
        await until(lambda: any(not task.done() for _, task in busy._turns.values()))
        signing = asyncio.create_task(alice.sign("ops", "meanwhile", seconds=40))
        await until(lambda: any("CE-7.12" in str(line.get("why", "")) for line in logs))
    four.cut = lambda *_: False
    assert (await asking).state is State.COMPLETED
    ended = await signing
    assert ended.state is State.COMPLETED or ended.reason == "STALE_EPOCH"


# --- certificates


async def reshared(four: World) -> Certificate:
    """Bob and carol are out; alice and dave are in."""
    view = await four["alice"].reshare("ops", {"dave": 2}, removed=("bob", "carol"), threshold=3)
    assert view.state is State.COMPLETED, view
    return certificate_of(four, "alice", 1)


def show(world: World, name: str, *certificates: Certificate) -> None:
    context = world[name].ceremonies._context
    shown = tuple(
        Holding(record=encode(each.record), certificate=encode(each), acknowledgements=(), trial=b"")
        for each in certificates
    )
    lineage.absorb(context, Holdings(items=shown))


@breaks("CE-7.8")
async def test_a_fork_is_refused_loudly_and_names_who_signed_both(four: World) -> None:
    good = await reshared(four)
    forged = signed_by_all(four, put(good.record, transcript=bytes(32)))
    with structlog.testing.capture_logs() as logs, pytest.raises(UsageError, match=r"CE-7\.8") as refused:
        show(four, "alice", forged)
    assert refused.value.code == "FORK"
    (line,) = [line for line in logs if line["log_level"] == "critical"]
    assert set(line["culprits"]) == set(good.record.signers)
    astray = signed_by_all(four, put(good.record, epoch=2, previous=bytes(32)))
    with pytest.raises(UsageError, match=r"CE-7\.8"):
        show(four, "alice", astray)
    assert certificate_of(four, "alice", 1).hash == good.hash
    with pytest.raises(UsageError, match=r"CE-7\.8"):
        show(four, "alice", forged)
    history = await four["alice"].ceremonies.clients.history(CALLER, "ops")
    assert [decode(Certificate, each).hash for each in history.certificates][1:] == [good.hash]
    assert {decode(Certificate, each).hash for each in history.forks} == {forged.hash, astray.hash}
    certificates = [decode(Certificate, each) for each in history.certificates]
    assert signers_of_both(forged, certificates) == sorted(good.record.signers)
    assert signers_of_both(astray, certificates) == []


@breaks("CE-7.6")
async def test_a_certificate_that_hangs_in_the_air_ends_nobody_s_epoch(four: World) -> None:
    ahead = await reshared(four)
    later = signed_by_all(four, put(ahead.record, epoch=3, previous=bytes(32)))
    with pytest.raises(UsageError, match=r"CE-7\.6"):
        show(four, "bob", later)
    assert states(four["bob"])[-1][0] <= 1


@breaks("CE-7.7")
async def test_a_certificate_with_our_own_signature_and_no_share_means_an_old_store(
    four: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody remembers bob's starts here."""
    bob = four["bob"]
    await bob.stop()
    bob.ledger.close()
    kept = bob.path.read_bytes()
    bob.open()
    await bob.start()
    assert (await four["alice"].reshare("ops", {"dave": 1})).state is State.COMPLETED
    await bob.stop()
    bob.ledger.close()
    for leftover in bob.path.parent.glob("store.db-*"):
        leftover.unlink()
    bob.path.write_bytes(kept)
    bob.open()

    async def never(_: Reconciler) -> None:
        return

    monkeypatch.setattr(Reconciler, "keep_asking", never)
    with structlog.testing.capture_logs() as logs:
        await bob.start()
        await until(lambda: states(bob) == [(0, EpochState.ERASED), (1, EpochState.ACTIVE)])
        await until(lambda: shares(bob) == 0)
    said = {line["event"] for line in logs if line["log_level"] == "critical"}
    assert "CE-7.7 ours: the store was set back" in said
    assert [each.cause for each in bob.ledger.quarantine().values()] == [Why.SHARE_LOST]
    with pytest.raises(Quarantined):
        await bob.sign("ops", "with an old share")


@breaks("CE-7.9")
async def test_trial_signatures_that_do_not_verify_let_nobody_go(four: World) -> None:
    good = await reshared(four)
    await until(lambda: states(four["bob"])[-1] == (1, EpochState.ACTIVE))
    context = four["bob"].ceremonies._context
    row = next(row for row in context.ledger.epochs() if row.epoch == 1)
    vault = context.vaults.held(row.vault, good.hash)
    assert vault is not None
    trial = next(r for r in four["alice"].ledger.epochs() if r.epoch == 1).trial
    assert trial
    for wrong in (b"", b"junk", trial[:-1] + bytes([trial[-1] ^ 1])):
        with pytest.raises(UsageError, match=r"CE-7\.9"):
            lineage._note_trial(context, vault, wrong)
    lineage._note_trial(context, vault, trial)
