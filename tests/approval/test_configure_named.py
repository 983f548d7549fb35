"""Approvers made of named ones: who is asked in the end, what is wrong with a configuration, and those of others."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from quorate.approval import options as options_module
from quorate.approval.configure import Foreign, build_approver
from quorate.approval.options import ApproverOptions
from quorate.ceremony.identity import Identity, card_of, read_card
from quorate.ceremony.ports import Approver, Verdict
from quorate.errors import UsageError
from quorate.node.doctor.approver import examine_approver
from quorate.node.entropy import SystemClock, SystemEntropy
from quorate.rpc.findings import Level
from quorate.rpc.tls import create_identity
from tests.approval.asking import REQUEST, built, means
from tests.approval.policies import rule
from tests.approval.test_policy_approver import Says

ALL = {"type": "all-of", "of": ["rules", "yes"]}
YES = {"type": "always"}


def rules(folder: Path, *stated: str) -> dict[str, Any]:
    file = folder / "policy.toml"
    file.write_text("".join(stated))
    return {"type": "policy", "policy": {"file": file}}


async def test_a_combination_asks_those_it_names(tmp_path: Path) -> None:
    yes = await built(ALL, rules=rules(tmp_path, rule()), yes=YES).decide(REQUEST)
    assert (yes.verdict, yes.approver) == (Verdict.APPROVE, "policy, always")
    no = await built(ALL, rules=rules(tmp_path), yes=YES).decide(REQUEST)
    assert (no.verdict, no.rule) == (Verdict.REFUSE, "PO-2.2 default")


def test_whoever_is_a_person_is_where_requests_wait() -> None:
    named = {"people": ApproverOptions(type="manual")}
    approver, person = build_approver(ApproverOptions(type="any-of", of=("people",)), means(), named)
    assert approver.name == "any-of"
    assert person is not None


@pytest.mark.parametrize(
    ("asked", "named", "why"),
    [
        ("people", {}, r"a rule asks people, and there is no \[approvers.people\]"),
        (
            "people",
            {"people": {"type": "all-of", "of": ["rules"]}},
            "a rule asks people, which asks a policy again",
        ),
        ("rules", {}, "a rule asks rules, which asks a policy again"),
    ],
)
def test_whom_a_policy_asks_has_to_be_there_and_ask_no_policy(
    tmp_path: Path, asked: str, named: dict[str, Any], why: str
) -> None:
    section = rules(tmp_path, rule(violation=f'{{ ask = "{asked}" }}'))
    with pytest.raises(UsageError, match=why):
        built({"type": "any-of", "of": ["rules"]}, rules=section, **named)


def test_a_policy_with_a_mistake_makes_no_approver(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"policy\.toml:3: rule \"the rule\": scope is"):
        built(rules(tmp_path, rule(scope='"world"')))


# --- approvers of other packages --------------------------------------------------------------------------------------


def make(given: Foreign) -> Approver:
    if "word" not in given.options:
        raise ValueError("a word is needed")
    return Says(name=f"{given.name} {given.options['word']}")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", "tests.approval.test_configure_named:make", options_module.GROUP)
    monkeypatch.setattr(options_module, "entry_points", lambda **which: EntryPoints([point]).select(**which))


@pytest.mark.usefixtures("installed")
async def test_an_approver_of_another_package_is_made_with_its_options() -> None:
    named = {"other": {"type": "theirs", "options": {"word": "yes"}}}
    said = await built({"type": "all-of", "of": ["other"]}, **named).decide(REQUEST)
    assert (said.verdict, said.approver) == (Verdict.APPROVE, "approvers.other yes")


@pytest.mark.usefixtures("installed")
def test_an_approver_of_another_package_that_cannot_be_made_is_named() -> None:
    with pytest.raises(UsageError, match="approver: type theirs cannot be used: a word is needed"):
        built({"type": "theirs"})


# --- approver test ----------------------------------------------------------------------------------------------------


async def test_every_approver_of_a_combination_is_tried_by_its_name(tmp_path: Path) -> None:
    identity = Identity.generate(SystemEntropy(), "alice")
    certificate = create_identity(identity.device).certificate_pem
    me = read_card(card_of(identity, "alice", "127.0.0.1:7100", certificate, "hardware", 1, 1))
    named = {
        "rules": rules(tmp_path, rule(when='{ kinds = ["sign"] }', violation='{ ask = "people" }')),
        "people": {"type": "manual"},
        "yes": YES,
    }
    found = await examine_approver(
        ApproverOptions.model_validate(ALL), me, identity.sign, clock=SystemClock(), entropy=SystemEntropy(),
        named={name: ApproverOptions.model_validate(section) for name, section in named.items()},
    )  # fmt: skip
    by_check = {each.check: each for each in found}
    assert by_check["approver rules sign"].said.startswith("the policy says approve to the sample")
    assert by_check["approver rules create-vault"].said.startswith("the policy says refuse to the sample")
    assert by_check["approver rules create-vault"].level is Level.OK
    assert by_check["approver people sign"].said.startswith("a person decides")
    assert by_check["approver yes sign"].level is Level.WARNING
