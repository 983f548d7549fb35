# ruff: noqa: E501 - a table is read by its lines
"""What a policy says: each scope, condition, limit, violation, conflict and default, with the words it says it in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from quorate.approval.policy.engine import judge
from quorate.ceremony.ports import Verdict
from quorate.operations.effect import Action, Effect
from quorate.operations.kinds import Kind
from tests.approval.facts import ALICE, VAULT
from tests.approval.policies import (
    ACME,
    ELSEWHERE,
    HEX,
    HOUR,
    MAKES_A_VAULT,
    NOON,
    OPAQUE,
    OTHER_VAULT,
    STRANGER,
    TRANSFER,
    TREASURY,
    USDC,
    ZENITH,
    Used,
    does,
    ether,
    judged,
    policy,
    rule,
    usdc,
)
from tests.rules import breaks

APPROVE, REJECT, ABSTAIN, REFUSE = Verdict.APPROVE, Verdict.REJECT, Verdict.ABSTAIN, Verdict.REFUSE
EACH = '[{ asset = "USDC", each = "1000" }]'
FEE = '[{ asset = "ETH", fee = "0.01" }]'
DAILY = '[{ asset = "USDC", total = "5000", within = "24h" }]'
HOURLY = '[{ count = 3, within = "1h" }]'
BOOK = '{ receivers = ["book:suppliers"] }'
OFFICE = '[{ days = ["mon-fri"], from = "09:00", to = "17:00", zone = "Europe/Berlin" }]'
NIGHT = '[{ days = ["fri"], from = "22:00", to = "06:00" }]'
ANY = '"the rule" holds'
NOBODY = "no rule allows"
MIDNIGHT_FRIDAY = NOON + 2 * 24 * HOUR + 12 * HOUR  # from Friday, 2026-01-02, to Saturday

MAKES_A_CONTRACT = ether(0, to="", asset=None, amount=None, method="create")
CASES: list[tuple[str, str, Effect, int, Verdict, str]] = [
    # name, rule, effect, what the window holds, verdict, words of the explanation
    ("a rule without conditions is about everything", rule(), does(usdc(1)), 0, APPROVE, ANY),
    ("an opaque message passes a rule that asks nothing", rule(), does(OPAQUE), 0, APPROVE, ANY),
    ("a vault to make passes a rule that asks nothing", rule(), MAKES_A_VAULT, 0, APPROVE, ANY),
    # scopes
    ("a vault's rule is about it", rule(scope=f'{{ vaults = ["{VAULT}"] }}'), does(usdc(1)), 0, APPROVE, ANY),
    ("and about no other", rule(scope=f'{{ vaults = ["{VAULT}"] }}'), does(usdc(1), vault=OTHER_VAULT), 0, REFUSE, NOBODY),
    ("a user of this node", rule(scope='{ users = ["app@here"] }'), does(usdc(1)), 0, APPROVE, ANY),
    ("a user by that name elsewhere", rule(scope='{ users = ["app@here"] }'), does(usdc(1), at=ELSEWHERE), 0, REFUSE, NOBODY),
    ("another user", rule(scope='{ users = ["app@here"] }'), does(usdc(1), caller="eve"), 0, REFUSE, NOBODY),
    ("a user of another node", rule(scope=f'{{ users = ["app@{ELSEWHERE}"] }}'), does(usdc(1), at=ELSEWHERE), 0, APPROVE, ANY),
    ("and not the one here", rule(scope=f'{{ users = ["app@{ELSEWHERE}"] }}'), does(usdc(1)), 0, REFUSE, NOBODY),
    ("a user of any node", rule(scope='{ users = ["app@any"] }'), does(usdc(1), at=ELSEWHERE), 0, APPROVE, ANY),
    # which operations a rule is about
    ("a kind it is about", rule(when='{ kinds = ["sign"] }'), does(usdc(1)), 0, APPROVE, ANY),
    ("a kind it is not about", rule(when='{ kinds = ["batch-sign"] }'), does(usdc(1)), 0, REFUSE, NOBODY),
    ("a vault it is about", rule(when=f'{{ vaults = ["{VAULT}"] }}'), does(usdc(1)), 0, APPROVE, ANY),
    ("a vault it is not about", rule(when=f'{{ vaults = ["{OTHER_VAULT}"] }}'), does(usdc(1)), 0, REFUSE, NOBODY),
    ("an asset it is about", rule(when='{ assets = ["USDC"] }'), does(usdc(1)), 0, APPROVE, ANY),
    ("an asset it is not about", rule(when='{ assets = ["USDC"] }'), does(ether(1)), 0, REFUSE, NOBODY),
    ("an asset nobody can tell", rule(when='{ assets = ["USDC"] }'), does(OPAQUE), 0, REJECT, "the asset of this message is not known"),
    ("nothing that could be an asset", rule(when='{ assets = ["USDC"] }'), MAKES_A_VAULT, 0, REFUSE, "no rule allows create-vault"),
    ("what is known to be outside stays outside", rule(when='{ kinds = ["batch-sign"], assets = ["USDC"] }'), does(OPAQUE), 0, REFUSE, NOBODY),
    ("a chain it is not about", rule(when='{ chains = ["eip155:10"] }'), does(usdc(1)), 0, REFUSE, NOBODY),
    ("a content type it is about", rule(when='{ content_types = ["text/plain"] }'), does(OPAQUE), 0, APPROVE, ANY),
    ("no call is a method too", rule(when='{ methods = [""] }'), does(ether(1)), 0, APPROVE, ANY),
    ("hours it is about", rule(when=f"{{ times = {OFFICE} }}"), does(usdc(1)), 0, APPROVE, ANY),
    # what it requires
    ("a receiver in the book", rule(require=BOOK), does(usdc(1, ZENITH)), 0, APPROVE, ANY),
    ("a receiver in no book", rule(require=BOOK), does(usdc(1, STRANGER)), 0, REJECT, f"the receiver of this message is {STRANGER}, none of the 2 allowed"),
    ("a receiver by its account", rule(require=f'{{ receivers = ["{ACME}"] }}'), does(usdc(1)), 0, APPROVE, ANY),
    ("a receiver nobody can tell", rule(require=BOOK), does(OPAQUE), 0, REJECT, "the receiver of this message is not known"),
    ("no receiver at all", rule(require=BOOK), MAKES_A_VAULT, 0, REFUSE, NOBODY),
    ("a contract made, which has no receiver", rule(require=BOOK), does(usdc(1, "")), 0, REJECT, "is none, none of the 2"),
    ("a source", rule(require=f'{{ sources = ["{TREASURY}"] }}'), does(usdc(1)), 0, APPROVE, ANY),
    ("another source", rule(require=f'{{ sources = ["{ACME}"] }}'), does(usdc(1)), 0, REJECT, f"the source of this message is {TREASURY}"),
    ("another kind", rule(require='{ kinds = ["sign"] }'), MAKES_A_VAULT, 0, REJECT, "the kind of create-vault is create-vault"),
    ("another vault", rule(require=f'{{ vaults = ["{OTHER_VAULT}"] }}'), does(usdc(1)), 0, REJECT, f"the vault of this message is {VAULT}"),
    ("another chain", rule(require='{ chains = ["eip155:10"] }'), does(usdc(1)), 0, REJECT, "the chain of this message is eip155:1"),
    ("another asset", rule(require='{ assets = ["ETH"] }'), does(usdc(1)), 0, REJECT, f"the asset of this message is {USDC.contract} on eip155:1"),
    ("the method", rule(require=f'{{ methods = ["{TRANSFER}"] }}'), does(usdc(1)), 0, APPROVE, ANY),
    ("another method", rule(require='{ methods = ["0xa9059cbb"] }'), does(usdc(1)), 0, REJECT, f"the method of this message is {TRANSFER}"),
    ("making a contract", rule(require='{ methods = ["create"] }'), does(MAKES_A_CONTRACT), 0, APPROVE, ANY),
    ("making a contract, where methods are required", rule(require=f'{{ methods = ["{TRANSFER}"] }}'), does(MAKES_A_CONTRACT), 0, REJECT, "the method of this message is create"),
    ("making a contract, where receivers are required", rule(require='{ receivers = ["book:suppliers"] }'), does(MAKES_A_CONTRACT), 0, REJECT, "the receiver of this message is none"),
    ("no method where one is required", rule(require='{ methods = ["0xa9059cbb"] }'), does(ether(1)), 0, REJECT, "the method of this message is none"),
    ("a content type", rule(require=f'{{ content_types = ["{HEX}"] }}'), does(OPAQUE), 0, REJECT, "the content type of this message is text/plain"),
    ("outside the hours", rule(require=f"{{ times = {NIGHT} }}"), does(usdc(1)), 0, REJECT, "it is not within fri 22:00 to 06:00 UTC"),
    # limits
    ("the most in one operation", rule(limits=EACH), does(usdc(1000)), 0, APPROVE, ANY),
    ("a millionth more", rule(limits=EACH), does(usdc(0, amount=1000_000_001)), 0, REJECT, "1000.000001 USDC in one operation, over the limit of 1000 USDC"),
    ("a batch of halves", rule(limits=EACH), does(usdc(600), usdc(600, message=1)), 0, REJECT, "1200 USDC in one operation"),
    ("another asset than the limit's", rule(limits=EACH), does(ether(1)), 0, REFUSE, NOBODY),
    ("a false coin by the same name", rule(limits=EACH), does(usdc(1, asset=replace(USDC, contract=STRANGER, symbol="USDC"))), 0, REFUSE, NOBODY),
    ("an asset nobody can tell under a limit", rule(limits=EACH), does(OPAQUE), 0, REJECT, "the asset of this message is not known"),
    ("an amount nobody can tell", rule(limits=EACH), does(usdc(1, amount=None)), 0, REJECT, "the amount of this message is not known"),
    ("the most of the window", rule(limits=DAILY), does(usdc(1000)), 4000_000_000, APPROVE, ANY),
    ("more than the window has left", rule(limits=DAILY), does(usdc(1000)), 4000_000_001, REJECT, "1000 USDC after 4000.000001 USDC within 24h, over the limit of 5000 USDC"),
    ("the last message of the window", rule(limits=HOURLY), does(usdc(1)), 2, APPROVE, ANY),
    ("a message too many", rule(limits=HOURLY), does(usdc(1)), 3, REJECT, "1 message after 3 messages within 1h, over the limit of 3 messages"),
    ("a batch is as many messages as it has", rule(limits=HOURLY), does(*(replace(OPAQUE, message=n) for n in range(4))), 0, REJECT, "4 messages after 0 messages"),
    ("a vault to make counts as one", rule(limits=HOURLY), MAKES_A_VAULT, 3, REJECT, "1 message after 3"),
    ("a fee", rule(limits=FEE), does(usdc(1, fee=10**15)), 0, APPROVE, ANY),
    ("a fee that is too high", rule(limits=FEE), does(usdc(1, fee=10**16 + 1)), 0, REJECT, "0.010000000000000001 ETH in fees in one operation, over the limit of 0.01 ETH in fees"),
    ("a fee nobody can tell", rule(limits=FEE), does(OPAQUE), 0, REJECT, "the fee of this message is not known"),
    ("a fee on another chain", rule(limits=FEE), does(usdc(1, chain="eip155:10", fee=10**18)), 0, APPROVE, ANY),
    ("fees of a batch", rule(limits=FEE), does(usdc(1, fee=6 * 10**15), usdc(1, fee=6 * 10**15, message=1)), 0, REJECT, "0.012 ETH in fees"),
    ("no fee at all", rule(limits=FEE), MAKES_A_VAULT, 0, REFUSE, NOBODY),
    # rules that only restrict
    ("a restriction that holds allows nothing", rule(restricts="true"), does(usdc(1)), 0, REFUSE, "no rule allows this message"),
    ("a restriction beside what allows", rule("a", restricts="true", limits=HOURLY) + rule("b", limits=EACH), does(usdc(1)), 0, APPROVE, 'rule "a" holds; rule "b" holds'),
    ("a restriction that is violated", rule("a", restricts="true", limits=HOURLY) + rule("b", limits=EACH), does(usdc(1)), 3, REJECT, 'rule "a": 1 message after 3'),
    # violations
    ("abstain", rule(limits=EACH, violation='"abstain"'), does(usdc(1001)), 0, ABSTAIN, "over the limit"),
    ("ask", rule(limits=EACH, violation='{ ask = "people" }'), does(usdc(1001)), 0, REFUSE, "over the limit"),
    # several rules
    ("all that are about it must hold", rule("a") + rule("b", limits=EACH), does(usdc(1001)), 0, REJECT, 'rule "b": 1001 USDC'),
    ("one that is not about it does not matter", rule("a") + rule("b", limits=EACH), does(ether(1)), 0, APPROVE, 'rule "a" holds'),
    ("reject is stricter than abstain", rule("a", require=BOOK, violation='"abstain"') + rule("b", limits=EACH), does(usdc(1001, STRANGER)), 0, REJECT, 'rule "b"'),
    ("abstain is stricter than ask", rule("a", require=BOOK, violation='"abstain"') + rule("b", limits=EACH, violation='{ ask = "people" }'), does(usdc(1001, STRANGER)), 0, ABSTAIN, 'rule "a"'),
    ("no rule about one of two messages", rule(limits=EACH), does(usdc(1), ether(1, message=1)), 0, REFUSE, "no rule allows message 2"),
    ("which is stricter than an abstention", rule(limits=EACH, violation='"abstain"'), does(usdc(1001), ether(1, message=1)), 0, REFUSE, NOBODY),
    ("and less strict than a reject", rule(limits=EACH), does(usdc(1001), ether(1, message=1)), 0, REJECT, "over the limit"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "effect", "used", "verdict", "words"),
    [pytest.param(*case[1:], id=case[0].replace(" ", "-")) for case in CASES],
)
@breaks("PO-1.2", "PO-2.1", "PO-2.2", "PO-2.3", "PO-2.4", "PO-2.5")
def test_a_policy_says_what_it_should_and_why(
    text: str, effect: Effect, used: int, verdict: Verdict, words: str
) -> None:
    said = judged(policy(text), effect, used)
    assert said.verdict is verdict, said.explanation
    assert words in said.explanation


@pytest.mark.parametrize(
    ("default", "verdict"),
    [("refuse", REFUSE), ("reject", REJECT), ("abstain", ABSTAIN), ("approve", APPROVE)],
)
@breaks("PO-2.2")
def test_the_default_decides_where_no_rule_is_about_it(default: str, verdict: Verdict) -> None:
    said = judged(policy(rule(limits=EACH), default=default), does(ether(1)))
    assert (said.verdict, said.rule) == (verdict, "PO-2.2 default")
    assert said.explanation == f"no rule allows this message: the default is to {default}"


@breaks("PO-2.2")
def test_a_policy_without_rules_refuses() -> None:
    assert judged(policy(), does(usdc(1))).verdict is REFUSE
    assert judged(policy(), MAKES_A_VAULT).verdict is REFUSE


@breaks("PO-2.4")
def test_a_default_that_approves_does_not_excuse_a_violated_rule() -> None:
    both = does(usdc(1001), ether(1, message=1))
    assert judged(policy(rule(limits=EACH), default="approve"), both).verdict is REJECT
    assert judged(policy(rule(limits=EACH, violation='{ ask = "people" }'), default="approve"), both).ask == (
        "people",
    )


def test_the_rule_that_decided_and_everything_that_was_looked_at_are_told() -> None:
    said = judged(policy(rule("small", limits=EACH) + rule("known", require=BOOK)), does(usdc(1001)))
    assert said.rule == "PO-2.1 rules: small"
    assert [str(finding) for finding in said.findings] == [
        'rule "small": 1001 USDC in one operation, over the limit of 1000 USDC',
        'rule "known" holds',
    ]


@breaks("PO-2.7")
def test_whom_violated_rules_ask_is_told_once_each_and_their_yes_waives_only_their_rules() -> None:
    asks = '{ ask = "people" }'
    rules = policy(
        rule("small", limits=EACH, violation=asks)
        + rule("known", require=BOOK, violation=asks)
        + rule("late", limits=DAILY, violation='{ ask = "boss" }')
    )
    effect = does(usdc(6000, STRANGER))
    said = judged(rules, effect)
    assert (said.verdict, said.ask) == (REFUSE, ("people", "boss"))
    half = judged(rules, effect, waived=frozenset({"small", "known"}))
    assert (half.verdict, half.ask) == (REFUSE, ("boss",))
    whole = judged(rules, effect, waived=frozenset({"small", "known", "late"}))
    assert (whole.verdict, whole.ask) == (APPROVE, ())
    assert "over the limit of 1000 USDC, which people approved" in whole.explanation


@breaks("PO-2.6")
@pytest.mark.parametrize(
    ("times", "now_ms", "within"),
    [
        (OFFICE, NOON, True),  # 13:00 in Berlin
        (OFFICE, NOON + 4 * HOUR - 1, True),
        (OFFICE, NOON + 4 * HOUR, False),  # 17:00
        (OFFICE, NOON - 4 * HOUR, True),  # 09:00
        (OFFICE, NOON - 4 * HOUR - 1, False),
        (OFFICE, NOON + 3 * 24 * HOUR, False),  # Saturday
        (
            '[{ from = "09:00", to = "17:00", zone = "Europe/Berlin" }]',
            1_751_353_200_000,
            True,
        ),  # 07:00Z in July
        (
            '[{ from = "09:00", to = "17:00", zone = "Europe/Berlin" }]',
            1_735_714_800_000,
            False,
        ),  # 07:00Z in January
        (NIGHT, MIDNIGHT_FRIDAY - 2 * HOUR, True),
        (NIGHT, MIDNIGHT_FRIDAY - 2 * HOUR - 1, False),
        (NIGHT, MIDNIGHT_FRIDAY + 6 * HOUR - 1, True),  # Saturday, still Friday's night
        (NIGHT, MIDNIGHT_FRIDAY + 6 * HOUR, False),
        (NIGHT, MIDNIGHT_FRIDAY - 20 * HOUR, False),  # Friday, 04:00: Thursday's night
        ('[{ from = "12:00", to = "24:00" }]', NOON + 12 * HOUR - 1, True),
        ('[{ from = "12:00", to = "24:00" }]', NOON - 1, False),
        (f"{OFFICE[:-1]}, {NIGHT[1:]}", MIDNIGHT_FRIDAY, True),  # one of two
    ],
)
def test_hours_are_those_on_the_walls_of_the_zone(times: str, now_ms: int, within: bool) -> None:
    required = judged(policy(rule(require=f"{{ times = {times} }}")), does(usdc(1)), now_ms=now_ms)
    selected = judged(policy(rule(when=f"{{ times = {times} }}")), does(usdc(1)), now_ms=now_ms)
    assert (required.verdict, selected.verdict) == ((APPROVE, APPROVE) if within else (REJECT, REFUSE))


def test_no_window_is_looked_up_for_a_rule_that_is_not_about_the_operation() -> None:
    used = Used()
    rules = policy(
        rule("a", limits=DAILY) + rule("b", limits=HOURLY, when='{ kinds = ["batch-sign"] }') + rule("c")
    )
    judge(rules, does(ether(1)), used, now_ms=NOON, here=ALICE)
    assert used.asked == []


@breaks("PO-2.3")
@pytest.mark.parametrize("fact", ["chains", "assets", "sources", "receivers", "methods"])
@pytest.mark.parametrize("part", ["when", "require"])
def test_an_opaque_message_violates_every_rule_that_asks_what_is_not_known(fact: str, part: str) -> None:
    values = {"chains": "eip155:1", "assets": "USDC", "sources": ACME, "receivers": ACME, "methods": TRANSFER}
    said = judged(policy(rule(**{part: f'{{ {fact} = ["{values[fact]}"] }}'})), does(OPAQUE, kind=Kind.SIGN))
    assert said.verdict is REJECT
    assert "is not known, and the rule asks for it" in said.explanation


def test_what_a_stranger_writes_is_told_escaped_and_cut() -> None:
    odd = Action(content_type="evil\n\x1b[31m" + "x" * 500, chain="eip155:1")
    said = judged(policy(rule(require='{ content_types = ["text/plain"] }')), does(odd))
    assert "\n" not in said.explanation
    assert "\x1b" not in said.explanation
    assert len(said.explanation) < 300
