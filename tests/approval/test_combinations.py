"""Approvers of approvers, by their truth tables, and with approvers that fail in every way there is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import permutations, product
from typing import Any

import pytest

from quorate.approval.combination import AllOf, AnyOf, FirstDecisive
from quorate.ceremony.ports import Approver, Decision, Verdict
from quorate.errors import PeerError
from quorate.identifiers import DeviceId
from tests.approval.asking import REQUEST
from tests.approval.test_policy_approver import Says
from tests.rules import breaks

A, J, S, E = Verdict.APPROVE, Verdict.REJECT, Verdict.ABSTAIN, Verdict.REFUSE
Combination = Callable[[Sequence[Approver]], Approver]

ALL_OF = {
    (A, A): A,
    (A, J): J,
    (A, S): S,
    (A, E): E,
    (J, J): J,
    (J, S): J,
    (J, E): J,
    (S, S): S,
    (S, E): E,
    (E, E): E,
}
ANY_OF = {
    (A, A): A,
    (A, J): A,
    (A, S): A,
    (A, E): A,
    (J, J): J,
    (J, S): J,
    (J, E): E,
    (S, S): S,
    (S, E): E,
    (E, E): E,
}


async def said(combination: Combination, *verdicts: Verdict) -> Decision:
    return await combination([Says(verdict, name=f"{n}") for n, verdict in enumerate(verdicts)]).decide(
        REQUEST
    )


@breaks("AP-4.1")
@pytest.mark.parametrize(("pair", "verdict"), ALL_OF.items())
async def test_all_of(pair: tuple[Verdict, Verdict], verdict: Verdict) -> None:
    for each in permutations(pair):
        assert (await said(AllOf, *each)).verdict is verdict


@breaks("AP-4.2")
@pytest.mark.parametrize(("pair", "verdict"), ANY_OF.items())
async def test_any_of(pair: tuple[Verdict, Verdict], verdict: Verdict) -> None:
    for each in permutations(pair):
        assert (await said(AnyOf, *each)).verdict is verdict


@breaks("AP-4.3")
@pytest.mark.parametrize(("first", "second"), [*product(Verdict, Verdict)])
async def test_first_decisive_skips_abstentions_only(first: Verdict, second: Verdict) -> None:
    assert (await said(FirstDecisive, first, second)).verdict is (second if first is S else first)


@breaks("AP-4.3")
async def test_first_decisive_asks_nobody_after_the_one_that_decides() -> None:
    asked = [Says(S), Says(J), Says(A)]
    assert (await FirstDecisive(asked).decide(REQUEST)).verdict is J
    assert [len(each.asked) for each in asked] == [1, 1, 0]


@breaks("AP-4.1", "AP-4.2")
@pytest.mark.parametrize(("combination", "verdicts"), [(AllOf, (A, S, J)), (AnyOf, (E, J, A))])
async def test_three_are_more_than_two(combination: Combination, verdicts: tuple[Verdict, ...]) -> None:
    for each in permutations(verdicts):
        assert (await said(combination, *each)).verdict is verdicts[-1]


@pytest.mark.parametrize("combination", [AllOf, AnyOf, FirstDecisive])
async def test_who_decided_and_what_everybody_said_is_told(combination: Combination) -> None:
    decision = await said(combination, S, J)
    assert (decision.approver, decision.rule) == ("1", "told")
    assert "1, reject: as told" in decision.explanation


@pytest.mark.parametrize("combination", [AllOf, AnyOf, FirstDecisive])
@breaks("AP-4.1", "AP-4.2", "AP-4.3")
async def test_nobody_to_ask_is_a_refusal(combination: Combination) -> None:
    assert (await said(combination)).verdict is E


class Broken:
    """What is wrong with it is up to the test."""

    name = "broken"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def decide(self, request: object) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def with_verdict(verdict: Any) -> Decision:
    return Decision(verdict=verdict, approver="broken", rule="", explanation="")


@breaks("AP-4.4")
@pytest.mark.parametrize("combination", [AllOf, AnyOf, FirstDecisive])
@pytest.mark.parametrize(
    "answer",
    [
        RuntimeError("down"), TimeoutError(), OSError("reset"), PeerError(DeviceId("a" * 24), "half an answer"),
        None, True, "approve", Verdict.APPROVE, {"status": "approved"}, with_verdict(1), with_verdict("APPROVE"),
        with_verdict(True),
    ],
    ids=repr,
)  # fmt: skip
async def test_an_approver_that_fails_or_says_nothing_sound_is_an_error_and_no_abstention(
    combination: Combination, answer: Any
) -> None:
    for others in ([], [Says(S)]):
        decision = await combination([Broken(answer), *others]).decide(REQUEST)
        assert (decision.verdict, decision.rule) == (E, "AP-4.4 sound")


@pytest.mark.parametrize(("combination", "decisive"), [(AllOf, J), (AnyOf, A)])
async def test_once_it_is_decided_nobody_is_waited_for(combination: Combination, decisive: Verdict) -> None:
    hangs = Says(gate=asyncio.Event())
    decision = await asyncio.wait_for(combination([hangs, Says(decisive)]).decide(REQUEST), 10)
    assert decision.verdict is decisive
    assert hangs.asked


@pytest.mark.parametrize("combination", [AllOf, AnyOf, FirstDecisive])
async def test_an_approver_that_hangs_is_never_an_approval(combination: Combination) -> None:
    undecided = A if combination is AllOf else S
    hangs = Says(gate=asyncio.Event())
    deciding = asyncio.create_task(combination([Says(undecided), hangs]).decide(REQUEST))
    await hangs.hears()
    done, _ = await asyncio.wait({deciding}, timeout=0.05)
    assert not done
    deciding.cancel()
    await asyncio.wait({deciding})
    assert deciding.cancelled()


@pytest.mark.parametrize("combination", [AllOf, AnyOf, FirstDecisive])
async def test_a_slow_approver_is_waited_for(combination: Combination) -> None:
    slow = Says(J, gate=asyncio.Event())
    assert slow.gate is not None
    asyncio.get_running_loop().call_later(0.02, slow.gate.set)
    assert (await combination([Says(S), slow]).decide(REQUEST)).verdict is J
