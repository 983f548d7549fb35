"""What is to be approved of when a policy changes, and policies that are made to take long."""

from __future__ import annotations

import pytest

from quorate.approval.policy.comparison import differences
from quorate.approval.policy.language import MAX_LINE, parse_policy
from quorate.errors import UsageError
from quorate.protocols.policy import MAX_POLICY
from tests.approval.policies import ACME, HEAD, rule
from tests.rules import breaks

PAYS = rule("pays", limits='[{ asset = "USDC", each = "10" }]')
SHUT = rule("shut", restricts="true")


def changed(before: str, after: str) -> list[tuple[str, str]]:
    diff = differences(parse_policy(before, "before"), parse_policy(after, "after"))
    return [(each["__typename"].removeprefix("PolicyDiff"), each["part"]) for each in diff]


def test_every_part_that_means_something_else_is_told_and_no_other() -> None:
    before = HEAD + PAYS + SHUT
    assert changed(before, before) == []
    assert changed(before, "# a comment\n" + HEAD + SHUT + PAYS) == []
    assert changed(before, HEAD + PAYS) == [("Removed", 'rule "shut"')]
    assert changed(HEAD + PAYS, before) == [("Added", 'rule "shut"')]
    assert changed(before, HEAD + PAYS.replace('"10"', '"11"') + SHUT) == [("Changed", 'rule "pays"')]
    assert changed(before, before.replace("decimals = 6", "decimals = 5")) == [("Changed", "assets.USDC")]
    assert changed(before, before.replace(ACME, "0x" + "9" * 40)) == [("Changed", "books.suppliers")]
    assert changed(before, f'default = "approve"\n{before}') == [("Added", "default")]
    assert len(differences(None, parse_policy(before, "first"))) == 5


def test_both_sides_of_a_change_are_told() -> None:
    [told] = differences(parse_policy(HEAD + PAYS, ""), parse_policy(HEAD + PAYS.replace('"10"', '"11"'), ""))
    assert [told[side]["limits"][0]["each"] for side in ("original", "new")] == ["10", "11"]


@breaks("PO-1.3")
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"#" * (MAX_POLICY + 1), "at most 524288 bytes"),
        (b"\n\n#" + b"x" * MAX_LINE, r"x:3: a line has at most"),
        (b"\n" + b".".join([b"a"] * 14) + b" = 1", r"x:2: keys are nested too deeply"),
        (b" . ".join([b'"a"'] * 14) + b" = 1", "nested too deeply"),
        (b"a = \xff", "cannot be read"),
        (b"a = " + b"9" * 3900, "not TOML|no key a"),
        (b"a = " + b"[" * 3900, "not TOML"),
        (b"a = " + b"{b=" * 900, "not TOML"),
    ],
)
def test_what_is_made_to_take_long_is_refused_before_it_does(text: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parse_policy(text, "x")


def test_a_line_of_one_long_word_is_looked_at_once() -> None:
    """Looked at from each of its characters anew, a policy of such lines would take minutes."""
    line = b"# " + b"a" * (MAX_LINE - 2) + b"\n"
    policy = line * (MAX_POLICY // len(line))
    assert parse_policy(policy, "x").rules == ()
