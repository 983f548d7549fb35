"""Peers that lie outside sessions: each rule of docs/spec/ceremony.md, broken by one statement.

The cheat changes one statement on its way to bob, signed as its sender would sign it. Bob must refuse by the rule's
reason, journal nothing of it, and honest nodes must still get their way afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quorate.ceremony.ports import Method, State, Verdict
from quorate.ceremony.statements import (
    Ballot,
    Begin,
    Join,
    JoinCall,
    Outcome,
    Proposal,
    Query,
    Signed,
    Statement,
    Vote,
    state,
)
from quorate.errors import QuorateError, UsageError
from quorate.identifiers import DeviceId
from quorate.operations.kinds import CreateVault, Sign
from quorate.wire.codec import decode, encode
from tests.ceremony.world import World, code_of
from tests.rules import breaks

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
DAY = 24 * 3600 * 1000


def read(kind: type[Any], body: bytes) -> Any:
    return decode(kind, decode(Signed, body).body)


class Cheat:
    """Changes the first statement of one method to bob; what bob said to it is ``code``."""

    def __init__(
        self,
        world: World,
        method: Method,
        kind: type[Statement],
        change: Callable[[Any], Any],
        *,
        times: int = 1,
    ) -> None:
        self.world, self.method, self.kind, self.change = world, method, kind, change
        self.left = times
        world.refusals.clear()  # a node may have been asked too early to try the new vault
        world.intercept = self

    def __call__(self, sender: DeviceId, peer: DeviceId, method: Method, body: bytes) -> bytes | None:
        if self.left == 0 or method is not self.method or peer != self.world["bob"].device:
            return None
        self.left -= 1
        changed = self.change(read(self.kind, body))
        return (
            changed if isinstance(changed, bytes) else state(self.world.of(sender).ledger.identity, changed)
        )

    @property
    def code(self) -> str:
        return next(
            (
                code
                for peer, method, code in self.world.refusals
                if peer == self.world["bob"].device and method is self.method
            ),
            "",
        )


def put(statement: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(statement, **fields)


def in_operation(proposal: Proposal, **fields: Any) -> Proposal:
    return Proposal(operation=put(proposal.operation, **fields))


def in_request(proposal: Proposal, **fields: Any) -> Proposal:
    return in_operation(proposal, request=put(proposal.operation.request, **fields))


def in_signing(proposal: Proposal, **fields: Any) -> Proposal:
    request = proposal.operation.request
    assert isinstance(request, Sign)
    return in_request(proposal, signing=put(request.signing, **fields))


def with_members(proposal: Proposal, change: Callable[[Any], Any]) -> Proposal:
    request = proposal.operation.request
    assert isinstance(request, CreateVault)
    return in_request(proposal, members=tuple(change(member) for member in request.members))


SIGN_PROPOSALS: dict[str, tuple[str, Callable[[World, Proposal], Any], str]] = {
    "as somebody else": (
        "CE-1.1",
        lambda w, p: in_operation(p, proposer=w["carol"].device),
        "WRONG_PROPOSER",
    ),
    "signed by somebody else": ("CE-1.1", lambda w, p: state(w["carol"].ledger.identity, p), "WRONG_SENDER"),
    "from the future": (
        "CE-1.2",
        lambda _, p: in_operation(p, created_ms=p.operation.created_ms + 60_000),
        "CLOCK_AHEAD",
    ),
    "expired": (
        "CE-1.2",
        lambda _, p: in_operation(p, created_ms=1, expires_ms=p.operation.created_ms - 1),
        "EXPIRED",
    ),
    "for ever": (
        "CE-1.2",
        lambda _, p: in_operation(p, expires_ms=p.operation.created_ms + 8 * DAY),
        "EXPIRY_TOO_LONG",
    ),
    "for another epoch": ("CE-1.6", lambda _, p: in_request(p, epoch=1), "STALE_EPOCH"),
    "for another certificate": ("CE-1.6", lambda _, p: in_request(p, certificate=bytes(32)), "STALE_EPOCH"),
    "for a vault bob does not know": ("CE-1.6", lambda _, p: in_request(p, vault="a" * 24), "UNKNOWN_VAULT"),
    "of bytes that are not text": (
        "CE-1.7",
        lambda _, p: in_signing(p, content_type="application/x"),
        "UNSUPPORTED_CONTENT_TYPE",
    ),
    "of an internal message": (
        "CE-1.7",
        lambda _, p: in_signing(
            p, content_type="application/octet-stream+hex", data=(b"\xffquorate/internal/v1\x00".hex(),)
        ),
        "INTERNAL_MESSAGE",
    ),
    "under a key that needs the private one": (
        "CE-1.7",
        lambda _, p: in_signing(p, derivation_path="m/0'"),
        "HARDENED_DERIVATION",
    ),
}


@breaks("CE-1.1", "CE-1.2", "CE-1.6", "CE-1.7")
@pytest.mark.parametrize("cheat", SIGN_PROPOSALS)
async def test_a_proposal_to_sign_that_is_not_sound_never_reaches_the_approver(
    world: World, cheat: str
) -> None:
    _, change, code = SIGN_PROPOSALS[cheat]
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    asked = len(world["bob"].approver.asked)
    world["carol"].approver.verdict = Verdict.ABSTAIN  # so that bob is needed
    lie = Cheat(world, Method.PROPOSE, Proposal, lambda proposal: change(world, proposal))
    view = await world["alice"].sign("ops", "hello")
    assert lie.code == code
    assert view.state is State.COMPLETED
    assert len(world["bob"].approver.asked) == asked + 1


CREATE_PROPOSALS: dict[str, tuple[Callable[[World, Proposal], Any], str]] = {
    "with another key for carol": (
        lambda w, p: with_members(
            p, lambda m: put(m, identity_key=bytes(32)) if m.device == w["carol"].device else m
        ),
        "WRONG_IDENTITY",
    ),
    "without bob": (
        lambda w, p: in_request(
            p,
            threshold=2,
            allow_sole_signer=True,
            members=tuple(m for m in p.operation.request.members if m.device != w["bob"].device),  # type: ignore[union-attr]
        ),
        "NOT_IN_ROSTER",
    ),
    "without its proposer": (
        lambda w, p: in_request(
            p,
            threshold=2,
            allow_sole_signer=True,
            members=tuple(m for m in p.operation.request.members if m.device != w["alice"].device),  # type: ignore[union-attr]
        ),
        "NOT_IN_ROSTER",
    ),
    "with a threshold over the weight": (lambda _, p: in_request(p, threshold=9), "INVALID_REQUEST"),
    "with a member twice": (
        lambda _, p: in_request(p, members=p.operation.request.members[:1] + p.operation.request.members),  # type: ignore[union-attr]
        "INVALID_REQUEST",
    ),
}


@breaks("CE-1.4", "CE-1.5")
@pytest.mark.parametrize("cheat", CREATE_PROPOSALS)
async def test_a_roster_that_is_not_sound_makes_no_vault(world: World, cheat: str) -> None:
    change, code = CREATE_PROPOSALS[cheat]
    lie = Cheat(world, Method.PROPOSE, Proposal, lambda proposal: change(world, proposal), times=99)
    view = await world["alice"].create_vault("ops", WEIGHTS, 3)
    assert lie.code == code
    assert view.state is State.FAILED
    assert view.culprits == (world["bob"].device,)
    assert world["bob"].approver.asked == []


@breaks("CE-1.3")
async def test_one_id_is_one_operation(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    seen: list[bytes] = []
    lie = Cheat(world, Method.PROPOSE, Proposal, lambda proposal: seen.append(proposal) or proposal)  # type: ignore[func-returns-value]
    await world["alice"].sign("ops", "hello")
    twin = in_operation(seen[0], expires_ms=seen[0].operation.expires_ms - 1)  # type: ignore[arg-type,attr-defined]
    assert twin.operation.id == seen[0].operation.id  # type: ignore[attr-defined]
    assert (
        await refused(world, Method.PROPOSE, state(world["alice"].ledger.identity, twin))
        == "OPERATION_CONFLICT"
    )
    assert lie.code == ""


async def refused(world: World, method: Method, body: bytes, sender: str = "alice") -> str:
    """How bob refuses what ``sender`` says."""
    with pytest.raises(QuorateError) as caught:
        await world["bob"].ceremonies.on_request(world[sender].device, method, body)
    return code_of(caught.value)


BEGINS: dict[str, tuple[str, Callable[[World, Begin], Any], str]] = {
    "signed by somebody else": ("CE-1.1", lambda w, b: state(w["carol"].ledger.identity, b), "WRONG_SENDER"),
    "for another digest": ("CE-3.1", lambda _, b: put(b, digest=bytes(32)), "UNKNOWN_OPERATION"),
    "for no operation": ("CE-3.1", lambda _, b: put(b, operation="a" * 24), "UNKNOWN_OPERATION"),
    "over the last attempt": ("CE-3.2", lambda _, b: put(b, attempt=9), "ATTEMPT_NOT_RISING"),
    "with joins out of order": (
        "CE-3.3",
        lambda _, b: put(b, joins=tuple(reversed(b.joins))),
        "MALFORMED",
    ),
    "with a join twice": ("CE-3.3", lambda _, b: put(b, joins=(b.joins[0], *b.joins)), "MALFORMED"),
    "with joins of another attempt": ("CE-3.3", lambda _, b: put(b, attempt=2), "WRONG_JOIN"),
    "with too little weight": (
        "CE-3.5",
        lambda w, b: put(b, joins=tuple(j for j in b.joins if decode(Signed, j).signer == w["bob"].device)),
        "NOT_ENOUGH_WEIGHT",
    ),
    "without votes of its parties": ("CE-3.6", lambda _, b: put(b, votes=b.votes[:1]), "NOT_APPROVED"),
    "in a stage that is none of signing": ("CE-3.8", lambda _, b: put(b, stage="trial"), "WRONG_STAGE"),
}


@breaks("CE-1.1", "CE-3.1", "CE-3.2", "CE-3.3", "CE-3.5", "CE-3.6", "CE-3.8")
@pytest.mark.parametrize("cheat", BEGINS)
async def test_a_begin_that_is_not_sound_begins_nothing(world: World, cheat: str) -> None:
    _, change, code = BEGINS[cheat]
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["carol"].approver.verdict = Verdict.ABSTAIN
    lie = Cheat(world, Method.BEGIN, Begin, lambda begin: change(world, begin))
    view = await world["alice"].sign("ops", "hello")
    assert lie.code == code
    assert view.state is State.COMPLETED
    assert view.attempt == 2
    row = world["bob"].ledger.operation(view.id)
    assert row is not None
    assert row.attempt == 2  # attempt 1 was never journalled here


@breaks("CE-3.6")
async def test_a_vote_for_another_operation_approves_nothing(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["carol"].approver.verdict = Verdict.ABSTAIN
    first = await world["alice"].sign("ops", "one")
    old = tuple(world["alice"].ledger.votes(first.id).values())
    lie = Cheat(world, Method.BEGIN, Begin, lambda begin: put(begin, votes=old))
    view = await world["alice"].sign("ops", "two")
    assert lie.code == "WRONG_VOTE"
    assert view.state is State.COMPLETED


@breaks("CE-3.5")
async def test_a_party_outside_the_roster_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, ("alice", "bob", "carol", "dave"))
    await world.start()
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["carol"].approver.verdict = Verdict.ABSTAIN
    dave = world["dave"].ledger.identity

    def with_dave(begin: Begin) -> Begin:
        joins = {decode(Signed, join).signer: join for join in begin.joins}
        theirs = joins[world["bob"].device]
        joins[dave.device] = state(dave, read(Join, theirs))
        changed: Begin = put(begin, joins=tuple(joins[device] for device in sorted(joins)))
        return changed

    lie = Cheat(world, Method.BEGIN, Begin, with_dave)
    await world["alice"].sign("ops", "hello")
    assert lie.code == "NOT_IN_ROSTER"
    await world.stop()


@breaks("CE-3.4", "CE-3.7")
async def test_a_begin_is_good_once(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["carol"].approver.verdict = Verdict.ABSTAIN
    seen: list[Begin] = []
    Cheat(world, Method.BEGIN, Begin, lambda begin: seen.append(begin) or begin)  # type: ignore[func-returns-value]
    world.cut = lambda *_: True  # nothing of the session gets through: it stays unfinished
    view = await world["alice"].sign("ops", "hello", seconds=0.7)
    assert view.state is State.RUNNING
    alice = world["alice"].ledger.identity
    assert await refused(world, Method.BEGIN, state(alice, seen[0])) == "ATTEMPT_NOT_RISING"
    # The same joins under the next number are not joins for it, and bob's is gone in any case.
    later = put(seen[0], attempt=5)
    assert await refused(world, Method.BEGIN, state(alice, later)) == "WRONG_JOIN"


@breaks("CE-3.4")
async def test_a_join_given_before_a_restart_is_not_ours_any_more(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["carol"].approver.verdict = Verdict.ABSTAIN
    held: list[bytes] = []

    def keep_back(sender: DeviceId, peer: DeviceId, method: Method, body: bytes) -> bytes | None:
        if method is Method.BEGIN and peer == world["bob"].device:
            held.append(body)
            return b""
        return None

    world.intercept = keep_back
    await world["alice"].sign("ops", "hello", seconds=0.3)
    await world["alice"].stop()
    await world["bob"].restart()
    assert await refused(world, Method.BEGIN, held[0]) == "JOIN_EXPIRED"


@breaks("CE-3.6", "CE-3.2", "CE-3.1")
async def test_nobody_joins_what_its_approver_has_not_approved(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["bob"].approver.verdict = Verdict.ABSTAIN
    view = await world["alice"].sign("ops", "hello")
    row = world["bob"].ledger.operation(view.id)
    assert row is not None
    call = JoinCall(operation=row.id, digest=row.digest, attempt=5)
    alice = world["alice"].ledger.identity
    assert await refused(world, Method.JOIN, state(alice, call)) in ("NOT_APPROVED", "OPERATION_OVER")
    wrong = put(call, digest=bytes(32))
    assert await refused(world, Method.JOIN, state(alice, wrong)) == "OPERATION_OVER"


@breaks("CE-2.1", "CE-2.2")
async def test_a_vote_counts_for_its_voter_and_its_operation_only(tmp_path: Path) -> None:
    world = World(tmp_path, ("alice", "bob", "carol", "dave"))
    await world.start()
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    world["alice"].approver.verdict = world["carol"].approver.verdict = Verdict.ABSTAIN
    view = await world["bob"].sign("ops", "hello")
    row = world["bob"].ledger.operation(view.id)
    assert row is not None
    vote = Vote(operation=row.id, digest=row.digest, verdict="approve", boot=bytes(32), at_ms=0)
    carol, dave = world["carol"].ledger.identity, world["dave"].ledger.identity
    stolen = encode(Ballot(vote=state(carol, vote), join=b""))
    assert await refused(world, Method.CAST_VOTE, stolen, sender="alice") == "WRONG_VOTE"
    other = encode(Ballot(vote=state(carol, put(vote, digest=bytes(32))), join=b""))
    assert await refused(world, Method.CAST_VOTE, other, sender="carol") == "WRONG_VOTE"
    outside = encode(Ballot(vote=state(dave, vote), join=b""))
    assert await refused(world, Method.CAST_VOTE, outside, sender="dave") == "NOT_IN_ROSTER"
    await world.stop()


@breaks("CE-5.1", "CE-5.3", "CE-5.4")
async def test_an_outcome_is_believed_when_it_proves_itself_or_of_the_proposer(tmp_path: Path) -> None:
    world = World(tmp_path, ("alice", "bob", "carol", "dave"))
    await world.start()
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    one = await world["alice"].sign("ops", "one")
    signed = world["alice"].ledger.operation(one.id)
    assert signed is not None
    world["bob"].approver.gate = asyncio.Event()
    world["carol"].approver.gate = asyncio.Event()
    two = await world["alice"].sign("ops", "two", seconds=0.5)
    row = world["bob"].ledger.operation(two.id)
    assert row is not None
    done = Outcome(
        operation=row.id, digest=row.digest, state="COMPLETED", attempt=1, reason="", culprits=(),
        result=signed.result, released=False,
    )  # fmt: skip
    carol, dave = world["carol"].ledger.identity, world["dave"].ledger.identity
    assert await refused(world, Method.CONCLUDE, state(carol, done), sender="carol") == "BAD_SIGNATURE"
    lost = put(done, state="FAILED", result=b"")
    await world["bob"].ceremonies.on_request(carol.device, Method.CONCLUDE, state(carol, lost))
    held = world["bob"].ledger.operation(two.id)
    assert held is not None
    assert held.state is State.VOTING
    other = put(done, digest=bytes(32))
    assert await refused(world, Method.CONCLUDE, state(carol, other), sender="carol") == "OPERATION_CONFLICT"
    query = state(dave, Query(operation=row.id))
    assert await refused(world, Method.GET_OPERATION, query, sender="dave") == "NOT_IN_ROSTER"
    assert await refused(world, Method.GET_CERTIFICATE, query, sender="dave") == "NOT_IN_ROSTER"
    await world.stop()


async def test_junk_is_refused_by_every_method(world: World) -> None:
    for method in Method:
        for junk in (b"", b"\x00", b"\x93\xa0\xc4\x00\xc4\x00", bytes(5 << 20)):
            assert await refused(world, method, junk) in ("MALFORMED", "OVERSIZE")


async def test_a_statement_of_a_stranger_is_refused(world: World) -> None:
    (world.folder / "elsewhere").mkdir()
    mallory = World(world.folder / "elsewhere", ("mallory",))["mallory"]
    body = state(mallory.ledger.identity, Query(operation="a" * 24))
    with pytest.raises(UsageError, match="no peer here"):
        await world["bob"].ceremonies.on_request(mallory.device, Method.GET_OPERATION, body)
    mallory.ledger.close()
