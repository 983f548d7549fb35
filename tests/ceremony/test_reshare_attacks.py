"""Signers that spoil a reshare or lie about one, on whole nodes: the vault goes on, and nobody honest is blamed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import structlog

from quorate.ceremony import lineage
from quorate.ceremony.identity import Identity
from quorate.ceremony.ports import EpochState, Method, State
from quorate.ceremony.statements import Holding, Holdings, Proposal, Query, state
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, OperationId
from quorate.protocols.certificate import Certificate, EpochRecord, Signer, endorsement
from quorate.wire.codec import decode, encode
from quorate.wire.envelope import unpack
from tests.ceremony.resets import until
from tests.ceremony.test_cheats import Cheat
from tests.ceremony.test_reshare_recovery import HASTY, settled
from tests.ceremony.test_reshare_rules import in_request, put, reshared, show, signed_by_all
from tests.ceremony.test_reshare_whole import both_curves, four, states
from tests.ceremony.world import CALLER, Node, SystemEntropy, World
from tests.rules import breaks

__all__ = ["four"]

ACTIVE, SIGNED, ERASED = EpochState.ACTIVE, EpochState.SIGNED, EpochState.ERASED
MEMBERS = ("alice", "bob", "carol")


async def hasty(world: World) -> None:
    """Nodes that give up soon."""
    for node in world.nodes.values():
        node.limits = dataclasses.replace(HASTY, attempts=3)
        await node.restart()
    for name in MEMBERS:
        await world[name].ready("ops")


async def over(world: World, operation: OperationId) -> None:
    """Every member has heard that it failed."""
    for name in MEMBERS:
        ledger = world[name].ledger
        await until(lambda ledger=ledger: ledger.operation(operation).state is State.FAILED)  # type: ignore[misc]


def certified(node: Node) -> Certificate:
    """The newest that it holds."""
    return decode(Certificate, [row.certificate for row in node.ledger.epochs() if row.certificate][-1])


async def kept_to_itself(four: World) -> Certificate:
    """Dave joins, signs the epoch, sends his signature to nobody, and nothing of the certificate that he alone has."""
    await hasty(four)
    dave = four["dave"]
    dave.ceremonies._catchup.tell_holdings = lambda query: state(  # type: ignore[method-assign]
        dave.ledger.identity, Holdings(items=())
    )
    four.cut = lambda sender, _, frame: (
        sender == dave.device and unpack(frame).envelope.slot.endswith("Endorsement")
    )
    view = await four["alice"].reshare("ops", {"dave": 1}, seconds=40)
    assert view.state is State.FAILED, view
    assert "this node signed epoch 1, which comes to live if" in view.detail
    assert all((0, ACTIVE) in states(four[name]) for name in MEMBERS)
    await over(four, view.id)
    return certified(dave)


@breaks("CE-7.1")
async def test_who_spoils_the_trial_of_a_new_epoch_is_left_out_of_the_next(four: World) -> None:
    """Dave signs the certificate, so the epoch lives, and is silent from then on: so nobody acknowledges it."""
    await hasty(four)
    alice, dave = four["alice"], four["dave"]
    four.cut = lambda sender, *_: sender == dave.device and (1, ACTIVE) in states(alice)
    view = await alice.reshare("ops", {"dave": 1}, seconds=40)
    assert view.state is State.FAILED, view
    assert states(alice)[-1] == (1, ACTIVE)
    await over(four, view.id)
    again = await alice.reshare("ops", removed=("dave",), seconds=40)
    assert again.state is State.COMPLETED, again
    await settled(four, *MEMBERS, epoch=2)
    assert states(alice) == [(0, ERASED), (1, ERASED), (2, ACTIVE)]
    await both_curves(alice, "without dave")


@breaks("CE-7.1")
async def test_an_epoch_that_is_being_tried_is_not_replaced(four: World) -> None:
    alice, dave = four["alice"], four["dave"]
    four.cut = lambda sender, *_: sender == dave.device and (1, ACTIVE) in states(alice)
    await alice.reshare("ops", {"dave": 1}, seconds=0.1)
    await until(lambda: states(alice)[-1] == (1, ACTIVE))
    with pytest.raises(UsageError, match=r"CE-7\.1") as refused:
        await alice.reshare("ops", removed=("dave",))
    assert refused.value.code == "VAULT_NOT_READY"


@breaks("CE-5.2")
async def test_a_certificate_that_is_shown_to_one_signer_only_reaches_all(four: World) -> None:
    certificate = await kept_to_itself(four)
    alice, bob, carol = (four[name] for name in MEMBERS)
    assert (certificate.record.attempt, SIGNED) in [(r.attempt, r.state) for r in alice.ledger.epochs()]
    show(four, "alice", certificate)
    await until(lambda: all(states(node)[-1] == (1, ACTIVE) for node in (alice, bob, carol)))
    again = await alice.reshare("ops", removed=("dave",), seconds=40)
    assert again.state is State.COMPLETED, again
    await settled(four, *MEMBERS, epoch=2)
    await both_curves(bob, "together again")


async def test_a_certificate_that_is_shown_after_another_attempt_came_to_live_ends_nothing(
    four: World,
) -> None:
    certificate = await kept_to_itself(four)
    four.cut = lambda *_: False
    alice = four["alice"]
    view = await alice.reshare("ops", seconds=40)
    assert view.state is State.COMPLETED, view
    lives = certified(alice)
    for name in MEMBERS:
        await four[name].ready("ops")
        show(four, name, certificate)
        assert certified(four[name]).hash == lives.hash
    await both_curves(alice, "without dave")


@breaks("CE-7.6")
async def test_an_epoch_on_top_of_one_that_not_everybody_signed_ends_nothing(four: World) -> None:
    """Alice signed a record; the certificate of one that follows it proves nothing about its other signers."""
    certificate = await kept_to_itself(four)
    record = certificate.record
    bob = four["bob"].device
    rest = tuple(place for place in record.roster if place.device != bob)
    after = put(
        record, epoch=2, previous=record.hash, roster=(put(rest[0], weight=1, reduced=1),), setups=(),
        threshold=1, terms=1, dealers=tuple(Signer(device=p.device, identity_key=p.identity_key) for p in rest),
        keys=tuple(put(key, commitment=key.commitment[:1]) for key in record.keys),
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"CE-7\.6"):
        show(four, "bob", signed_by_all(four, after))
    assert (0, ACTIVE) in states(four["bob"])


@breaks("CE-7.8")
async def test_a_forged_certificate_blames_nobody_who_did_not_sign_it(four: World) -> None:
    """Anybody can make a certificate of honest devices under keys that are the forger's own."""
    good = await reshared(four)
    forger = {device: Identity.generate(SystemEntropy(), "forger") for device in good.record.signers}

    def forged(*honest: DeviceId) -> Certificate:
        def key(each: Any) -> Any:
            mine = each.device in honest
            return each if mine else put(each, identity_key=forger[each.device].identity_key)

        roster, dealers = (tuple(map(key, each)) for each in (good.record.roster, good.record.dealers))
        record = put(good.record, roster=roster, dealers=dealers)
        signatures = tuple(
            (four.of(d).ledger.identity if d in honest else forger[d]).sign(endorsement(record.hash, d))
            for d in record.signers
        )
        return Certificate(record=record, signatures=signatures)

    assert forged().verify()
    with structlog.testing.capture_logs() as logs, pytest.raises(UsageError) as refused:
        show(four, "alice", forged())
    assert refused.value.code == "BAD_CERTIFICATE"
    assert not [line for line in logs if line["log_level"] == "critical"]
    cheat = four["dave"].device
    with structlog.testing.capture_logs() as logs, pytest.raises(UsageError) as refused:
        show(four, "alice", forged(cheat))
    assert refused.value.code == "FORK"
    (line,) = [line for line in logs if line["log_level"] == "critical"]
    assert line["culprits"] == [cheat]


@breaks("CE-7.4")
async def test_who_claims_attempts_that_nobody_made_holds_up_no_reshare(four: World) -> None:
    """The members know of attempts that came to nothing, dave of none, and bob tells of a thousand more."""
    await hasty(four)
    alice, bob = four["alice"], four["bob"]
    four.cut = lambda _, __, frame: unpack(frame).envelope.slot.endswith("Endorsement")
    view = await alice.reshare("ops", seconds=40)
    assert view.state is State.FAILED, view
    four.cut = lambda *_: False
    row = alice.ledger.epochs()[-1]
    assert (row.epoch, row.state) == (1, SIGNED)
    claimed = put(decode(EpochRecord, row.record), attempt=row.attempt + 1000)
    holding = Holding(record=encode(claimed), certificate=b"", acknowledgements=(), trial=b"")
    told: list[Query] = []

    def lie(query: Query) -> bytes:
        told.append(query)
        return state(bob.ledger.identity, Holdings(items=(holding,)))

    bob.ceremonies._catchup.tell_holdings = lie  # type: ignore[method-assign]
    asked = await alice.reshare("ops", {"dave": 1}, seconds=40)
    assert told
    assert asked.state is State.COMPLETED, asked


PROPOSALS: dict[str, Callable[[Proposal], Proposal]] = {
    "another roster": lambda p: in_request(p, members=p.operation.request.members[:2]),  # type: ignore[union-attr]
    "another threshold": lambda p: in_request(p, threshold=4),
    "another weight": lambda p: in_request(
        p, members=tuple(msgspec.structs.replace(m, weight=2) for m in p.operation.request.members)  # type: ignore[union-attr]
    ),
}  # fmt: skip


@breaks("CE-2.1")
@pytest.mark.parametrize("lie", PROPOSALS)
async def test_a_proposer_that_tells_each_something_else_gets_no_vote_to_show(four: World, lie: str) -> None:
    """What bob approves is another operation, of which the others never hear."""
    Cheat(four, Method.PROPOSE, Proposal, PROPOSALS[lie], times=99)
    view = await four["alice"].reshare("ops", {"bob": 2}, seconds=2)
    assert view.state is State.VOTING
    assert four["bob"].device not in four["alice"].ledger.votes(view.id)
    assert all(states(four[name]) == [(0, ACTIVE)] for name in MEMBERS)


# --- who left


async def test_who_left_still_sees_what_it_signed_and_hears_what_became_of_the_rest(four: World) -> None:
    carol = four["carol"]
    view = await carol.sign("ops", "before")
    assert view.state is State.COMPLETED
    assert (await four["alice"].reshare("ops", {"dave": 1}, removed=("carol",))).state is State.COMPLETED
    await until(lambda: states(carol)[-1] == (1, ACTIVE))
    shown = await carol.ceremonies.clients.operation(CALLER, view.id)
    assert shown.signatures == view.signatures
    listed, _ = await carol.ceremonies.clients.operations(CALLER, limit=10)
    assert view.id in {each.id for each in listed}


async def test_a_certificate_of_one_vault_completes_no_operation_on_another(four: World) -> None:
    """Alice shows carol that she is out, and says that it came of a vault that carol asks for."""
    carol = four["carol"]
    await carol.stop()
    assert (await four["alice"].reshare("ops", removed=("carol",))).state is State.COMPLETED
    certificate = certified(four["alice"])
    four.down |= {four["alice"].device, four["bob"].device}
    await carol.start()
    view = await carol.create_vault("mine", {"carol": 1, "dave": 1, "bob": 1}, 2, seconds=0.1)
    context = carol.ceremonies._context
    lineage.believe_certificate(context, encode(certificate), view.id)
    assert states(carol) == [(0, EpochState.RETIRED), (1, ACTIVE)]
    assert not context.vaults.made_by(view.id)
