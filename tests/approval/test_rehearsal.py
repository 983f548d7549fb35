"""Trying an approver with samples: what is wrong is said by its rule, with what to do, and nothing comes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from quorate.approval.dialect import verdict
from quorate.approval.options import ApproverOptions
from quorate.approval.rehearsal import REMEDIES
from quorate.ceremony.identity import Identity, card_of, read_card
from quorate.ceremony.ports import ApprovalRequest
from quorate.errors import Denied
from quorate.node.doctor.approver import examine_approver
from quorate.node.entropy import SystemClock, SystemEntropy
from quorate.operations.kinds import Kind
from quorate.operations.sample import MARK
from quorate.rpc.findings import Finding, Level
from quorate.rpc.tls import create_identity
from tests.approval.asking import REQUEST, options
from tests.approval.backend import (
    APPROVER_KEY,
    OTHER_KEY,
    Backend,
    Question,
    Reply,
    Script,
    answer,
    honest,
    serving,
    signed,
    writes,
)

SPEC = Path(__file__).parents[2] / "docs" / "spec" / "approval.md"
IDENTITY = Identity.generate(SystemEntropy(), "alice")
ME = read_card(
    card_of(
        IDENTITY,
        "alice",
        "127.0.0.1:7100",
        create_identity(IDENTITY.device).certificate_pem,
        "hardware",
        1,
        1,
    )
)


@pytest.fixture
def backend() -> Iterator[Backend]:
    with serving() as running:
        yield running


async def examine(section: dict[str, Any]) -> tuple[Finding, ...]:
    return await examine_approver(
        ApproverOptions.model_validate(section),
        ME,
        IDENTITY.sign,
        clock=SystemClock(),
        entropy=SystemEntropy(),
    )


async def tried(url: str, **changes: Any) -> tuple[Finding, ...]:
    return await examine({"type": "webhook", "webhook": options(url, **changes)})


async def test_a_sound_approver_gets_a_sample_of_every_kind_at_the_url_it_belongs_to(
    backend: Backend,
) -> None:
    found = await tried(backend.url)
    assert [(each.check, each.level) for each in found] == [(f"approver {kind}", Level.OK) for kind in Kind]
    asked = {(question.path, json.loads(question.body)["__typename"]) for question in backend.questions}
    assert asked == {
        ("/reshares", "OperationCreateVault_v3"),
        ("/transactions", "OperationSign"),
        ("/transactions", "OperationBatchSign"),
        ("/reshares", "OperationPairReset"),
        ("/transactions", "OperationTransferOut_v3"),
        ("/transactions", "OperationTransferBetween_v3"),
        ("/transactions", "OperationContractCall_v3"),
        ("/transactions", "OperationMint_v3"),
        ("/transactions", "OperationBurn_v3"),
        ("/transactions", "OperationAllowAddress_v3"),
        ("/transactions", "OperationBlockAddress_v3"),
        ("/transactions", "OperationUnblockAddress_v3"),
        ("/transactions", "OperationDisableAddress_v3"),
        ("/reshares", "OperationReshare_v3"),
        ("/reshares", "OperationPolicyChange"),
    }
    for question in backend.questions:
        assert json.loads(question.body)["id"].startswith(MARK)


async def test_an_approver_that_rejects_a_sample_is_as_sound(backend: Backend) -> None:
    backend.says(lambda question: signed(answer(question, status="rejected")))
    assert {(each.level, "reject" in each.said) for each in await tried(backend.url)} == {(Level.OK, True)}


def by_another(question: Question) -> Reply:
    return signed(answer(question), key=OTHER_KEY)


@pytest.mark.parametrize(
    ("script", "rule", "remedy"),
    [
        (by_another, "AP-3.6", "compare public_key"),
        (lambda question: signed(answer(question, nonce=1)), "AP-3.9", "VS-Nonce"),
        (lambda question: signed(answer(question, digest="00" * 32)), "AP-3.10", "Quorate-Operation-Digest"),
        (lambda question: signed(answer(question, status="yes")), "AP-3.11", "approved, rejected or abstain"),
        (lambda question: honest(question).having(digest="SHA-512=AAAA"), "AP-3.2", "very bytes"),
        (lambda question: honest(question).having(signature=None), "AP-3.3", "keyId="),
        (lambda question: honest(question).having(content_type="text/plain"), "AP-3.1", "Content-Type"),
        (writes(b"no HTTP at all"), "AP-2.4", "HTTP server"),
    ],
)
async def test_what_is_wrong_with_an_answer_is_said_with_what_to_do(
    backend: Backend, script: Script, rule: str, remedy: str
) -> None:
    backend.says(script)
    for each in await tried(backend.url):
        assert (each.level, each.code) == (Level.PROBLEM, rule)
        assert remedy in each.remedy


async def test_an_approver_that_is_down_is_asked_once_and_named() -> None:
    with serving() as gone:
        url = gone.url
    for each in await tried(url, tries=10, backoff=60.0):
        assert (each.level, each.code) == (Level.PROBLEM, "AP-2.1")
        assert url.removeprefix("http://") in each.said
        assert "start the approver" in each.remedy


async def test_no_approver_is_a_problem_and_one_that_asks_nobody_a_warning() -> None:
    assert {(each.level, each.code) for each in await examine({"type": "none"})} == {
        (Level.PROBLEM, "AP-1.1")
    }
    assert {(each.level, each.code) for each in await examine({"type": "always"})} == {
        (Level.WARNING, "AP-1.2")
    }


async def test_the_approval_of_a_sample_approves_nothing_else(backend: Backend) -> None:
    """Played back to a real question, even one with the sample's nonce, the answer is refused for its digest."""
    answers: dict[int, Reply] = {}

    def kept(question: Question) -> Reply:
        digest = question.headers["quorate-operation-digest"]
        return answers.setdefault(question.nonce, signed(answer(question, digest=digest)))

    backend.says(kept)
    assert {each.level for each in await tried(backend.url)} == {Level.OK}
    assert len(answers) == len(Kind)
    for asked, given in answers.items():
        for nonce, rule in (
            (asked + 1, "AP-3.9 nonce"),
            (asked, "AP-3.10 operation digest"),
        ):
            with pytest.raises(Denied) as refused:
                believe(given, REQUEST, nonce)
            assert refused.value.rule == rule


def believe(given: Reply, request: ApprovalRequest, nonce: int) -> None:
    headers = {name.replace("_", "-"): [value] for name, value in given.headers}
    verdict(headers, given.body, request=request, nonce=nonce, key=APPROVER_KEY.public_key())


def test_every_rule_of_the_dialect_has_a_remedy() -> None:
    rules = set(re.findall(r"^- \*\*(A[PGE]-\d+\.\d+) ", SPEC.read_text(), re.MULTILINE))
    sound = {
        "AP-1.3",
        "AG-1.6",
        "AE-1.8",
        "AP-4.1",
        "AP-4.2",
        "AP-4.3",
    }  # what counts, and how it is put together
    assert rules - sound == {rule for rule in REMEDIES if rule.startswith("A")}
