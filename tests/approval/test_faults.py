"""Whatever becomes of an approver, it never approves by it: one table of every kind there is and every fault.

What a node makes of an answer that comes when it matters no more (after a restart, or when its clock has passed the
operation's end) is the same for every kind: tests/ceremony/test_manual.py and test_recovery.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from quorate.approval.combination import AllOf, AnyOf, FirstDecisive
from quorate.approval.manual import ManualApprover
from quorate.approval.none import NoApprover
from quorate.approval.options import BUILT_IN
from quorate.ceremony.ports import ApprovalRequest, Approver, Decision, Verdict
from quorate.errors import PeerError, UsageError
from quorate.identifiers import DeviceId, OperationId
from tests.approval import backend, test_evm_contract, test_grpc_approver
from tests.approval.asking import REQUEST, approver, built
from tests.approval.facts import ALICE
from tests.approval.policies import policy, usdc
from tests.approval.test_evm_contract import drips, hangs, speaking, writes
from tests.approval.test_policy_approver import ASKS, DAILY, Node, Says
from tests.chain_server import FakeChain
from tests.chain_server import serving as serving_chain
from tests.rules import breaks

FAULTS = ("down", "hangs", "slow", "garbage", "half an answer", "restart in between", "clock jump")
WAITS = "it waits"
YEAR = 366 * 86_400
A_MOMENT = 0.2
HALF = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 60\r\n\r\n{"

Outcome = Decision | None  # None: nothing was said, however long one waits
Jump = Callable[[], None]  # sets the wall clock a year ahead
Case = tuple[Callable[[Jump], Awaitable[Outcome]], str]  # and by which rule it refuses, or that it waits


async def waited(
    asked: Approver, during: Callable[[], None] | None = None, *, patience: float = A_MOMENT
) -> Outcome:
    """What is said in that time, during which something happens."""
    asking = asyncio.create_task(asked.decide(REQUEST))
    await asyncio.sleep(0.05)
    if during is not None:
        during()
    done, _ = await asyncio.wait({asking}, timeout=patience)
    asking.cancel()
    await asyncio.wait({asking})
    return asking.result() if done else None


def patience_for(fault: str) -> float:
    """A moment, where nothing is to come."""
    return A_MOMENT if RULES_OF_FAULTS[fault] == WAITS else 30.0


# --- approvers that are asked over a wire ---------------------------------------------------------------------------


def at(kind: str, url: str, **changes: Any) -> Approver:
    """Asked twice, where it gave no whole answer the first time."""
    patience: dict[str, Any] = {"timeout": 1.0, "tries": 2, "backoff": 0.0} | changes
    if kind == "webhook":
        return approver(url.rstrip("/"), **patience)
    if kind == "evm-contract":
        return built(test_evm_contract.section(url, **patience))
    address = url.removeprefix("http://").rstrip("/")
    return built({"type": "grpc", "grpc": {"address": address, "plaintext": True} | patience})


def down(kind: str) -> Callable[[Jump], Awaitable[Outcome]]:
    async def case(_: Jump) -> Outcome:
        with speaking(hangs) as (url, _heard):
            pass
        return await at(kind, url).decide(REQUEST)

    return case


def unanswered(kind: str, script: Any, *, jumps: bool = False) -> Callable[[Jump], Awaitable[Outcome]]:
    async def case(jump: Jump) -> Outcome:
        with speaking(script) as (url, heard):
            asking = asyncio.create_task(at(kind, url).decide(REQUEST))
            await asyncio.sleep(0.05)
            if jumps:
                jump()
            said = await asking
            assert len(heard) >= 2, "without a whole answer it is asked again, as configured"
        return said

    return case


async def slow_webhook(_: Jump) -> Outcome:
    def late(question: backend.Question) -> backend.Reply:
        time.sleep(1.0)
        return backend.honest(question)

    with backend.serving() as served:
        served.says(late)
        return await at("webhook", served.url, timeout=0.3).decide(REQUEST)


async def garbage_of_webhook(_: Jump) -> Outcome:
    with backend.serving() as served:
        served.says(lambda _: backend.signed(b"garbage"), backend.honest)
        said = await at("webhook", served.url, timeout=60).decide(REQUEST)
        assert len(served.questions) == 1, "a whole answer is final"
    return said


async def restarted_webhook(_: Jump) -> Outcome:
    """It comes back with the answer to the question before."""
    with backend.serving() as served:
        served.says(backend.writes(HALF), lambda _: backend.honest(served.questions[0]))
        return await at("webhook", served.url, timeout=60).decide(REQUEST)


async def slow_grpc(_: Jump) -> Outcome:
    async with test_grpc_approver.served(test_grpc_approver.hangs) as (_service, address):
        return await at("grpc", address, timeout=0.3).decide(REQUEST)


async def garbage_of_grpc(_: Jump) -> Outcome:
    async with test_grpc_approver.served(test_grpc_approver.answering(verdict=7)) as (service, address):
        said = await at("grpc", address, timeout=60).decide(REQUEST)
        assert len(service.questions) == 1
    return said


async def restarted_grpc(_: Jump) -> Outcome:
    questions: list[Any] = []

    async def stale(_: Any, __: Any) -> Any:
        return test_grpc_approver.honest(questions[0])

    gone = test_grpc_approver.failing(grpc.StatusCode.UNAVAILABLE)
    async with test_grpc_approver.served(gone, stale) as (service, address):
        questions = service.questions
        return await at("grpc", address, timeout=60).decide(REQUEST)


async def slow_contract(_: Jump) -> Outcome:
    def late(_: Any) -> str:
        time.sleep(1.0)
        return test_evm_contract.APPROVE

    with serving_chain(FakeChain(answers={"eth_call": late})) as chain:
        return await at("evm-contract", chain.url, timeout=0.3).decide(REQUEST)


async def garbage_of_contract(_: Jump) -> Outcome:
    with serving_chain(FakeChain(answers={"eth_call": "garbage"})) as chain:
        said = await at("evm-contract", chain.url, timeout=60).decide(REQUEST)
        assert len(chain.calls) == 2, "which chain it is, and once what the contract says"
    return said


async def restarted_contract(_: Jump) -> Outcome:
    body = b'{"jsonrpc":"2.0","id":1,"result":"0xaa36a7"}'
    stale = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    with speaking(writes(HALF), writes(stale)) as (url, _heard):
        return await at("evm-contract", url, timeout=60).decide(REQUEST)


# --- a person, and rules ----------------------------------------------------------------------------------------------

YES = Decision(verdict=Verdict.APPROVE, approver="", rule="PD-1.4 person", explanation="yes")


def refused_answer(person: ManualApprover, operation: OperationId, digest: bytes) -> None:
    with pytest.raises(UsageError):
        person.answer(operation, digest, YES)


async def nobody(_: Jump) -> Outcome:
    return await waited(ManualApprover())


async def late_person(_: Jump) -> Outcome:
    person = ManualApprover()
    said = await waited(person)
    refused_answer(person, REQUEST.operation, REQUEST.digest)
    return said


async def wrong_digest(_: Jump) -> Outcome:
    person = ManualApprover()
    return await waited(person, lambda: refused_answer(person, REQUEST.operation, bytes(32)))


async def other_operation(_: Jump) -> Outcome:
    person = ManualApprover()
    return await waited(person, lambda: refused_answer(person, OperationId("a" * 24), REQUEST.digest))


async def person_before_a_restart(_: Jump) -> Outcome:
    """What waited is gone: the answer to it reaches nobody."""
    before, after = ManualApprover(), ManualApprover()
    await waited(before)
    return await waited(after, lambda: refused_answer(before, REQUEST.operation, REQUEST.digest))


async def person_while_the_clock_jumps(jump: Jump) -> Outcome:
    return await waited(ManualApprover(), jump)


async def broken_log(_: Jump) -> Outcome:
    node = Node(policy(DAILY))
    node.log.broken = True
    return await node.asks(0, usdc(1))


def whom_a_policy_asks(fault: str) -> Callable[[Jump], Awaitable[Outcome]]:
    async def case(_: Jump) -> Outcome:
        node = Node(policy(ASKS), others={"people": Faulty(fault)})
        asking = asyncio.create_task(node.asks(0, usdc(500)))
        done, _pending = await asyncio.wait({asking}, timeout=patience_for(fault))
        asking.cancel()
        await asyncio.wait({asking})
        return asking.result() if done else None

    return case


async def limit_after_a_restart(_: Jump) -> Outcome:
    node = Node(policy(DAILY))
    assert (await node.asks(0, usdc(1000))).verdict is Verdict.APPROVE
    node.restart()
    return await node.asks(1, usdc(1))


async def jumped_policy(_: Jump) -> Outcome:
    node = Node(policy(DAILY))
    node.clock.now += YEAR * 1000
    return await node.asks(0, usdc(1))


# --- combinations ---------------------------------------------------------------------------------------------------


@dataclass
class Faulty:
    """A member with one fault."""

    fault: str
    name: str = "faulty"
    seen: list[str] = field(default_factory=list)

    async def decide(self, request: ApprovalRequest) -> Decision:
        match self.fault:
            case "down":
                raise PeerError(DeviceId(ALICE), "down")
            case "hangs" | "restart in between":
                try:
                    await asyncio.Event().wait()
                finally:
                    self.seen.append("given up")
            case "slow":
                await asyncio.sleep(0.05)
                return Decision(verdict=Verdict.REJECT, approver=self.name, rule="late", explanation="no")
            case "garbage":
                garbage: Any = True
                return garbage  # type: ignore[no-any-return] # which is the fault
            case "half an answer":
                await asyncio.sleep(0)
                raise EOFError
        node = Node(policy(DAILY))
        node.clock.now += YEAR * 1000
        return await node.approver.decide(request)


COMBINED: Mapping[str, tuple[Callable[[list[Approver]], Approver], Verdict]] = {
    "all-of": (AllOf, Verdict.APPROVE),
    "any-of": (AnyOf, Verdict.ABSTAIN),  # an approval of another is what it is for
    "first-decisive": (FirstDecisive, Verdict.APPROVE),
}


def with_a(fault: str, kind: str) -> Callable[[Jump], Awaitable[Outcome]]:
    """The faulty one first, then one that would have it pass."""
    combine, other = COMBINED[kind]

    async def case(_: Jump) -> Outcome:
        faulty = Faulty(fault)
        said = await waited(combine([faulty, Says(other)]), patience=patience_for(fault))
        assert said is not None or faulty.seen == ["given up"], "nobody goes on asking what was given up"
        return said

    return case


RULES_OF_FAULTS = {
    "down": "AP-4.4 sound", "hangs": WAITS, "slow": "late", "garbage": "AP-4.4 sound", "half an answer": "AP-4.4 sound",
    "restart in between": WAITS, "clock jump": "PO-3.4 clock",
}  # fmt: skip


async def refuses(_: Jump) -> Outcome:
    return await NoApprover().decide(REQUEST)


TABLE: Mapping[str, Mapping[str, Case] | str] = {
    "none": dict.fromkeys(FAULTS, (refuses, "AP-1.1 no approver")),
    "always": "asks nobody, so nothing can fail: a node has it by name alone, and warns at every start",
    "manual": {
        "down": (nobody, WAITS),
        "hangs": (nobody, WAITS),
        "slow": (late_person, WAITS),
        "garbage": (wrong_digest, WAITS),
        "half an answer": (other_operation, WAITS),
        "restart in between": (person_before_a_restart, WAITS),
        "clock jump": (person_while_the_clock_jumps, WAITS),
    },
    "policy": {
        "down": (broken_log, "PO-3.1 durable"),
        "hangs": (whom_a_policy_asks("hangs"), WAITS),
        "slow": (whom_a_policy_asks("slow"), "late"),
        "garbage": (whom_a_policy_asks("garbage"), "AP-4.4 sound"),
        "half an answer": (whom_a_policy_asks("half an answer"), "AP-4.4 sound"),
        "restart in between": (limit_after_a_restart, "PO-2.1 rules: daily"),
        "clock jump": (jumped_policy, "PO-3.4 clock"),
    },
    "webhook": {
        "down": (down("webhook"), "AP-2.1 unreachable"),
        "hangs": (unanswered("webhook", hangs), "AP-2.2 timeout"),
        "slow": (slow_webhook, "AP-2.2 timeout"),
        "garbage": (garbage_of_webhook, "AP-3.7 JSON"),
        "half an answer": (unanswered("webhook", writes(HALF)), "AP-2.4 broken off"),
        "restart in between": (restarted_webhook, "AP-3.9 nonce"),
        "clock jump": (unanswered("webhook", drips, jumps=True), "AP-2.2 timeout"),
    },
    "grpc": {
        "down": (down("grpc"), "AG-1.1 unanswered"),
        "hangs": (unanswered("grpc", hangs), "AG-1.1 unanswered"),
        "slow": (slow_grpc, "AG-1.1 unanswered"),
        "garbage": (garbage_of_grpc, "AG-1.5 verdict"),
        "half an answer": (unanswered("grpc", writes(b"\x00\x00\x12\x04\x00")), "AG-1.1 unanswered"),
        "restart in between": (restarted_grpc, "AG-1.3 nonce"),
        "clock jump": (unanswered("grpc", hangs, jumps=True), "AG-1.1 unanswered"),
    },
    "evm-contract": {
        "down": (down("evm-contract"), "AE-1.1 answered"),
        "hangs": (unanswered("evm-contract", hangs), "AE-1.1 answered"),
        "slow": (slow_contract, "AE-1.1 answered"),
        "garbage": (garbage_of_contract, "AE-1.3 JSON-RPC"),
        "half an answer": (unanswered("evm-contract", writes(HALF)), "AE-1.1 answered"),
        "restart in between": (restarted_contract, "AE-1.3 JSON-RPC"),
        "clock jump": (unanswered("evm-contract", drips, jumps=True), "AE-1.1 answered"),
    },
    **{kind: {fault: (with_a(fault, kind), RULES_OF_FAULTS[fault]) for fault in FAULTS} for kind in COMBINED},
}  # fmt: skip

CASES = [
    pytest.param(*case, id=f"{kind}: {fault}")
    for kind, cases in TABLE.items()
    if not isinstance(cases, str)
    for fault, case in cases.items()
]


def test_every_approver_there_is_has_every_fault() -> None:
    assert set(TABLE) == set(BUILT_IN)
    for kind, cases in TABLE.items():
        assert isinstance(cases, str) or set(cases) == set(FAULTS), kind
    assert [kind for kind, cases in TABLE.items() if isinstance(cases, str)] == ["always"]


@breaks("AP-2.1", "AP-2.2", "AP-2.4", "AP-3.9", "AG-1.1", "AG-1.3", "AE-1.1", "AE-1.3", "AP-4.4", "PO-3.4")
@pytest.mark.parametrize(("case", "expected"), CASES)
async def test_no_fault_approves(
    case: Callable[[Jump], Awaitable[Outcome]], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time
    try:
        said = await case(lambda: monkeypatch.setattr(time, "time", lambda: now() + YEAR))
    finally:
        monkeypatch.undo()
    assert (WAITS if said is None else said.rule) == expected
    assert said is None or said.verdict in (Verdict.REFUSE, Verdict.REJECT)


@pytest.mark.parametrize("kind", ["webhook", "grpc", "evm-contract"])
async def test_an_approver_that_is_back_in_time_decides_under_another_nonce(kind: str) -> None:
    if kind == "webhook":
        with backend.serving() as served:
            served.says(backend.writes(HALF), backend.honest)
            said = await at(kind, served.url, timeout=60).decide(REQUEST)
            nonces: set[Any] = {question.nonce for question in served.questions}
    elif kind == "grpc":
        gone, well = test_grpc_approver.failing(grpc.StatusCode.UNAVAILABLE), test_grpc_approver.answering()
        async with test_grpc_approver.served(gone, well) as (service, address):
            said = await at(kind, address, timeout=60).decide(REQUEST)
            nonces = {question.nonce for question in service.questions}
    else:
        chain = FakeChain()
        nonces = set()

        def first_late(_: list[Any]) -> str:
            nonces.add(len(chain.calls))
            if len(nonces) < 2:
                time.sleep(6.0)
            return test_evm_contract.APPROVE

        chain.answers["eth_call"] = first_late
        with serving_chain(chain):
            said = await at(kind, chain.url, timeout=3.0, tries=5).decide(REQUEST)
    assert said.verdict is Verdict.APPROVE
    assert len(nonces) >= 2
