"""A mistake in a policy file is told with its line, its rule and the reason, and all mistakes at once."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.approval.policy.amounts import MOST, parse_amount, parse_duration, show_amount
from quorate.approval.policy.language import parse_policy, read_policy
from quorate.approval.policy.positions import lines_of
from quorate.approval.policy.rules import Fact
from quorate.errors import UsageError
from tests.approval.policies import ACME, HEAD, USDC, ZENITH, policy, rule
from tests.rules import breaks

GOOD = rule(limits='[{ asset = "USDC", each = "1" }]')
CHECKSUM = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


def told(text: str) -> list[str]:
    with pytest.raises(UsageError) as refused:
        parse_policy(text, "policy.toml")
    assert refused.value.code == "BAD_POLICY"
    return str(refused.value).splitlines()


@breaks("PO-1.1")
@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ('defualt = "refuse"', 1, "there is no key defualt here; default is meant?"),
        ('default = "perhaps"', 1, "default is one of refuse, reject, abstain, approve"),
        ("\n[assets.X]\ndecimals = 6", 2, "asset X needs a chain and its decimals"),
        ('[assets.X]\nchain = "Ethereum"\ndecimals = 6', 2, "'Ethereum' is no chain"),
        ('[assets.X]\nchain = "eip155:1"\ndecimals = 78', 3, "decimals takes a whole number from 0 to 77"),
        ('[assets.X]\nchain = "eip155:1"\ndecimals = 6.0', 3, "decimals takes a whole number"),
        ('[assets.X]\nchain = "eip155:1"\ndecimals = true', 3, "decimals takes a whole number"),
        ('[assets.X]\nchain = "eip155:1"\ndecimals = 6\ncontract = "0x12"', 4, "0x12 is no account"),
        ("[books.staff]", 1, "book staff is empty"),
        (f'[books.staff]\n"Ann Lee" = "{CHECKSUM.replace("A0b", "a0b")}"', 2, "fails its checksum"),
        ('[[rule]]\nscope = "global"', 1, "rule 1: a rule needs a name"),
        ('[[rule]]\nname = "a"', 1, 'rule "a": a rule needs a scope'),
        ('[[rule]]\nname = "a\\tb"\nscope = "global"', 2, "printable"),
        (rule(scope='"world"'), 3, 'rule "the rule": scope is "global"'),
        (rule(scope="{ }"), 3, "a scope has vaults or users, one of the two"),
        (rule(scope="{ vaults = [] }"), 3, "vaults is an empty list"),
        (rule(scope='{ users = ["app"] }'), 3, "'app' is no user: a client id and where it asks"),
        (rule(scope='{ vaults = ["ops"] }'), 3, "'ops' is no vault id"),
        (rule(restricts='"yes"'), 4, "restricts is true or false"),
        (rule(violation='"ask"'), 4, "violation is"),
        (rule(violation='{ ask = "" }'), 4, "violation is"),
        (rule(violation='{ ask = "a", tell = "b" }'), 4, "violation is"),
        (
            rule(when='{ kinds = ["transfer-everything"] }'),
            4,
            "is no kind of operation: one of create-vault, sign",
        ),
        (rule(when="{ kinds = [] }"), 4, "kinds is an empty list, which nothing can be in"),
        (rule(when='{ kinds = "sign" }'), 4, "kinds takes a list of texts"),
        (rule(when='{ receiver = ["x"] }'), 4, "there is no key receiver here; receivers is meant?"),
        (rule(when="[]"), 4, "when takes a table"),
        (rule(require='{ receivers = ["book:staff"] }'), 4, "there is no [books.staff] in this file"),
        (rule(require='{ receivers = ["0x12"] }'), 4, "0x12 is no account: 0x and 40 hex digits"),
        (rule(require='{ assets = ["DOGE"] }'), 4, "there is no [assets.DOGE] in this file"),
        (rule(require='{ methods = ["transfer"] }'), 4, "'transfer' is no method"),
        (rule(require='{ methods = ["transfer(address, uint256)"] }'), 4, "is no method"),
        (rule(require="{ times = [] }"), 4, "times is an empty list"),
        (rule(require='{ times = [{ from = "09:00" }] }'), 4, "times take from and to"),
        (rule(require='{ times = [{ from = "9:00", to = "17:00" }] }'), 4, "'9:00' is no time of day"),
        (rule(require='{ times = [{ from = "09:00", to = "25:00" }] }'), 4, "'25:00' is no time of day"),
        (rule(require='{ times = [{ from = "24:00", to = "09:00" }] }'), 4, "'24:00' is no time of day"),
        (rule(require='{ times = [{ from = "09:00", to = "09:00" }] }'), 4, "from and to are the same"),
        (
            rule(require='{ times = [{ from = "09:00", to = "17:00", zone = "Mars/Base" }] }'),
            4,
            "is no time zone",
        ),
        (
            rule(require='{ times = [{ from = "09:00", to = "17:00", zone = "../etc" }] }'),
            4,
            "is no time zone",
        ),
        (rule(require='{ times = [{ days = ["monday"], from = "09:00", to = "17:00" }] }'), 4, "is no day"),
        (rule(limits="[{ }]"), 4, "a limit has each, fee, total or count, one of the four"),
        (rule(limits='[{ asset = "USDC", each = "1", total = "2" }]'), 4, "one of the four"),
        (rule(limits='[{ asset = "USDC", total = "1" }]'), 4, "total and count take one"),
        (rule(limits='[{ asset = "USDC", each = "1", within = "24h" }]'), 4, "take no within"),
        (rule(limits='[{ each = "1" }]'), 4, "each, fee and total are amounts of an asset"),
        (rule(limits='[{ asset = "USDC", count = 1, within = "1h" }]'), 4, "count is of messages"),
        (rule(limits='[{ count = 0, within = "1h" }]'), 4, "count takes a whole number from 1"),
        (rule(limits='[{ asset = "USDC", fee = "1" }]'), 4, "a fee is taken in the chain's own coin"),
        (rule(limits='[{ asset = "USDC", each = 1000.5 }]'), 4, "each takes text in quotes"),
        (rule(limits='[{ asset = "USDC", each = 1000 }]'), 4, "each takes text in quotes"),
        (rule(limits='[{ asset = "USDC", each = "1e3" }]'), 4, "'1e3' is no amount"),
        (rule(limits='[{ asset = "USDC", each = "-1" }]'), 4, "'-1' is no amount"),
        (rule(limits='[{ asset = "USDC", each = "1,000" }]'), 4, "is no amount"),
        (
            rule(limits='[{ asset = "USDC", each = "0.0000001" }]'),
            4,
            "7 digits after the point; the asset has 6",
        ),
        (rule(limits='[{ asset = "USDC", total = "1", within = "1w" }]'), 4, "'1w' is no length of time"),
        (rule(limits='[{ asset = "USDC", total = "1", within = "367d" }]'), 4, "longer than 366 days"),
        (
            rule(when='{ assets = ["USDC"] }', limits='[{ asset = "USDC", each = "1" }]'),
            4,
            "its limits say which assets it is about",
        ),
        (GOOD + GOOD, 6, "the rule of line 1 is named"),
        ("rule = 1", 1, "rule takes a list of tables"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_reason(text: str, line: int, why: str) -> None:
    said = told(text + HEAD if "[" in text else text)
    assert any(each.startswith(f"policy.toml:{line}: ") and why in each for each in said), said


@breaks("PO-1.1")
def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = f"""default = "maybe"
{GOOD}
[[rule]]
name = "second"
scope = "globe"
limits = [
  {{ asset = "USDC", each = "1" }},
  {{ asset = "USDC", each = "many" }},
]
[rule.when]
kinds = [
  "sign",
  "sing",
]
"""
    start = GOOD.count("\n")
    assert [line.split(":")[1:3] for line in told(text + HEAD)] == [
        ["1", " default is one of refuse, reject, abstain, approve"],
        [str(start + 5), ' rule "second"'],
        [str(start + 8), ' rule "second"'],
        [str(start + 13), ' rule "second"'],
    ]


@pytest.mark.parametrize("text", ["rule", "[[rule]", 'a = "', "a = 1\na = 2", "\x00"])
@breaks("PO-1.1")
def test_what_is_not_toml_is_told_as_such(text: str) -> None:
    [said] = told(text)
    assert said.startswith("policy.toml: not TOML: ")


@breaks("PO-1.1")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml: the policy cannot be read"):
        read_policy(tmp_path / "absent.toml")
    (tmp_path / "odd.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot be read"):
        read_policy(tmp_path / "odd.toml")


def test_names_stand_for_what_the_file_says_they_do() -> None:
    read = policy(
        rule(
            require='{ receivers = ["book:suppliers", "bc1qexampleaccount"], assets = ["ETH"] }',
            scope=f'{{ users = ["a@b@any", "app@{"d" * 24}"] }}',
        )
    )
    [only] = read.rules
    assert only.require.allowed[Fact.RECEIVER] == {ACME, ZENITH, "bc1qexampleaccount"}
    assert only.require.allowed[Fact.ASSET] == {("eip155:1", "")}
    assert {str(user) for user in only.users} == {"a@b@any", f"app@{'d' * 24}"}
    assert read.tokens["USDC"].asset == USDC
    assert read.digest == hashlib.sha256(read.text.encode()).digest()


def test_an_account_is_kept_with_the_case_of_its_checksum_however_it_was_written() -> None:
    [only] = policy(rule(require=f'{{ receivers = ["{CHECKSUM.lower()}"] }}')).rules
    assert only.require.allowed[Fact.RECEIVER] == {CHECKSUM}


# --- amounts ----------------------------------------------------------------------------------------------------------


@given(st.integers(0, MOST), st.integers(0, 77))
def test_an_amount_reads_as_what_it_was_shown_of(units: int, decimals: int) -> None:
    assert parse_amount(show_amount(units, decimals), decimals) == units


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [("0", 0, 0), ("1000", 6, 10**9), ("0.000001", 6, 1), ("9007199254740993.1", 1, 90071992547409931)],
)
def test_an_amount_is_exact(text: str, decimals: int, units: int) -> None:
    assert parse_amount(text, decimals) == units


@pytest.mark.parametrize(
    "text", ["", ".5", "5.", "01", "+1", " 1", "1 ", "1_000", "١", "0x10", "nan", "1" * 79]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        parse_amount(text, 18)


def test_more_than_any_chain_counts_is_refused() -> None:
    with pytest.raises(ValueError, match="more than any chain counts"):
        parse_amount(str(MOST + 1), 0)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("90s", 90_000), ("30m", 1_800_000), ("24h", 86_400_000), ("7d", 604_800_000)],
)
def test_a_length_of_time(text: str, milliseconds: int) -> None:
    assert parse_duration(text) == milliseconds


# --- lines ------------------------------------------------------------------------------------------------------------


def test_everything_has_its_line_whatever_stands_in_between() -> None:
    text = '''# a comment with [brackets]
title = """
[[not]]
a = "table" """
odd = 'a # b'   # = c
[one."dot.ted"]
x = [1, # first
  [2, 3],
  { y = 4 }]
[[many]]
a.b = 5
[[many.deep]]
z = 1979-05-27T07:32:00Z
[[many]]
[many.inner]
w = true
'''
    tomllib.loads(text)
    lines = lines_of(text)
    assert {place: line for place, line in lines.items() if not isinstance(place[-1], int)} == {
        ("title",): 2, ("odd",): 5, ("one", "dot.ted"): 6, ("one", "dot.ted", "x"): 7,
        ("one", "dot.ted", "x", 2, "y"): 9, ("many",): 10, ("many", 0, "a", "b"): 11, ("many", 0, "deep"): 12,
        ("many", 0, "deep", 0, "z"): 13, ("many", 1, "inner"): 15, ("many", 1, "inner", "w"): 16,
    }  # fmt: skip
    assert lines["one", "dot.ted", "x", 1, 1] == 8
    assert lines["many", 1] == 14
