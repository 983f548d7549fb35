"""Whose word makes a pair set-up live, and whose does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quorate.ceremony import resets
from quorate.ceremony.journal import known_operation
from quorate.ceremony.ports import Method, State
from quorate.ceremony.procedures import procedure_of
from quorate.ceremony.reset_book import LedgerPairBook
from quorate.ceremony.statements import Outcome, Query, state
from quorate.ceremony.views import OperationView
from quorate.errors import UsageError
from quorate.identifiers import OperationId
from quorate.operations.kinds import PairReset
from quorate.wire.codec import encode
from tests.ceremony.resets import (
    DEAD,
    LIVE,
    PENDING,
    WEIGHTS,
    Losing,
    held,
    in_order,
    made,
    newest,
    until,
)
from tests.ceremony.setups import reset
from tests.ceremony.test_cheats import put, refused
from tests.ceremony.world import Node, World
from tests.rules import breaks


def outcome_of(node: Node, operation: OperationId, **fields: Any) -> Outcome:
    row = node.ledger.operation(operation)
    assert row is not None
    return put(  # type: ignore[no-any-return]
        Outcome(
            operation=row.id, digest=row.digest, state="COMPLETED", attempt=row.attempt, reason="", culprits=(),
            result=row.result, released=False,
        ),
        **fields,
    )  # fmt: skip


async def pending_at_min(world: World) -> tuple[Node, Node, OperationView]:
    """A reset of which min knows only that it has the set-up, and max that both do."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    low, high = in_order(world, "alice", "bob")
    world.cut = Losing(high, "Switched")
    deaf = (Method.CONCLUDE, Method.GET_OPERATION)
    world.intercept = lambda _, __, method, ___: b"" if method in deaf else None
    view = await reset(high, low.name, seconds=10)
    assert view.state is State.COMPLETED
    assert newest(low, high) is PENDING
    return low, high, view


@breaks("CE-5.5")
async def test_only_the_other_of_the_pair_says_that_it_has_the_set_up(world: World) -> None:
    low, high, view = await pending_at_min(world)
    operation = known_operation(low.ceremonies._context, view.id)
    row = high.ledger.operation(view.id)
    assert row is not None
    request = operation.request
    assert isinstance(request, PairReset)
    good = resets.Reset(
        vault=request.vault, epoch=request.epoch, pair=request.pair, generation=request.generation,
        setup=held(high, low)[1][0],
    )  # fmt: skip
    assert row.result == encode(good)
    procedure = procedure_of(low.ceremonies._context, operation)
    with pytest.raises(UsageError, match=r"CE-5\.5"):
        procedure.believe(world["carol"].device, row.result)
    lies: list[bytes] = [
        b"",
        b"junk",
        encode(put(good, setup=bytes(32))),
        encode(put(good, generation=2)),
        encode(put(good, epoch=1)),
        encode(put(good, vault="a" * 24)),
        encode(put(good, pair=(low.device, world["carol"].device))),
    ]
    for told in lies:
        with pytest.raises(UsageError, match=r"CE-5\.5"):
            procedure.believe(high.device, told)
    assert newest(low, high) is PENDING
    procedure.believe(high.device, row.result)
    assert newest(low, high) is LIVE
    held_row = low.ledger.operation(view.id)
    assert held_row is not None
    assert held_row.state is State.COMPLETED


@breaks("CE-5.4")
async def test_a_third_member_neither_tells_nor_hears_of_a_reset(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    view = await reset(world["alice"], "bob")
    carol = world["carol"].ledger.identity
    said = state(carol, outcome_of(world["alice"], view.id))
    assert await refused(world, Method.CONCLUDE, said, sender="carol") == "NOT_IN_ROSTER"
    query = state(carol, Query(operation=view.id))
    assert await refused(world, Method.GET_OPERATION, query, sender="carol") == "NOT_IN_ROSTER"


@breaks("CE-5.5")
async def test_the_outcome_of_an_older_reset_brings_nothing_back(world: World) -> None:
    low, high, view = await pending_at_min(world)
    old = outcome_of(high, view.id)
    world.cut = lambda *_: False  # but nobody is asked
    again = await reset(high, low.name)
    assert again.state is State.COMPLETED
    await until(lambda: made(low, high, 2) is LIVE)
    with pytest.raises(UsageError, match=r"CE-5\.5"):
        await low.ceremonies.on_request(high.device, Method.CONCLUDE, state(high.ledger.identity, old))
    states = {generation: state for generation, (_, state) in held(low, high).items()}
    assert states[2] is LIVE
    assert states.get(1, DEAD) is DEAD


@breaks("CE-5.5")
async def test_nothing_is_believed_of_a_reset_that_our_approver_has_not_approved(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    done = await reset(world["alice"], "bob")
    world["bob"].approver.gate = asyncio.Event()
    view = await reset(world["alice"], "bob", seconds=0.5)
    lie = outcome_of(world["alice"], view.id, result=outcome_of(world["alice"], done.id).result)
    said = state(world["alice"].ledger.identity, lie)
    assert await refused(world, Method.CONCLUDE, said) in ("NOT_APPROVED", "WRONG_OUTCOME")
    row = world["bob"].ledger.operation(view.id)
    assert row is not None
    assert row.state is State.VOTING


@breaks("CE-1.10")
async def test_a_session_of_a_generation_in_use_ends_before_a_word(world: World) -> None:
    """Checked again where the old ones are retired, with nothing else of the pair running."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["bob"].ready("ops")
    view = await reset(world["alice"], "bob")
    context = world["alice"].ceremonies._context
    request = known_operation(context, view.id).request
    assert isinstance(request, PairReset)
    with pytest.raises(UsageError, match=r"CE-1\.10"):
        LedgerPairBook(context, request).retire()
    assert newest(world["alice"], world["bob"]) is LIVE
