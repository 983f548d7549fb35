"""From a policy file to a policy. Every mistake is told with file, line, rule and reason; docs/guide/policies.md."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from quorate.approval.policy.amounts import MOST, parse_amount, parse_duration
from quorate.approval.policy.hours import read_hours
from quorate.approval.policy.positions import Place, lines_of
from quorate.approval.policy.reading import Flaw, Table
from quorate.approval.policy.rules import Conditions, Default, Fact, Limit, Policy, Rule, Token, User
from quorate.errors import UsageError
from quorate.operations.addresses import checksummed
from quorate.operations.effect import Asset
from quorate.operations.kinds import Kind
from quorate.protocols.policy import MAX_POLICY, policy_digest

MAX_RULES = 10_000
MAX_LINE = 4000  # characters
MAX_NAME = 100
_ID = re.compile(r"[a-z2-7]{24}")
_CHAIN = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}")  # CAIP-2
_METHOD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\([^\s()]*(?:\([^\s()]*\)[^\s()]*)*\)|0x[0-9a-f]{8}|create|")
_DEEP = re.compile(r"(?<![A-Za-z0-9_\"'-])(?:[A-Za-z0-9_\"'-]++[ \t]*+\.[ \t]*+){12}")
"""The parts of a dotted key, of which each costs all before it."""
_BOOK = "book:"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """What the file itself gives a name to, so that its digest covers what its rules mean."""

    tokens: Mapping[str, Token]
    books: Mapping[str, frozenset[str]]


def read_policy(path: Path) -> Policy:
    """The policy in a file. ``UsageError`` tells every mistake in it, a line each."""
    return parse_policy(policy_bytes(path), str(path))


def policy_bytes(path: Path) -> bytes:
    """The file, byte by byte; of one that is too long for a policy, enough to say so."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_POLICY + 1)
    except OSError as error:
        raise UsageError(f"{path}: the policy cannot be read: {error}", code="BAD_POLICY") from None


def parse_policy(policy: bytes | str, name: str) -> Policy:
    """PO-1.1 policy: one with a mistake is none. ``name`` stands for the file in what ``UsageError`` says."""
    encoded = policy.encode() if isinstance(policy, str) else policy
    text = _readable(encoded, name)
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of thousands of digits is no TOML error
        raise UsageError(f"{name}: not TOML: {error}", code="BAD_POLICY") from None
    lines, flaws = lines_of(text), list[Flaw]()
    file = Table(data, (), flaws)
    default = file.text("default") or "refuse"
    if default not in get_args(Default):
        file.flaw(f"default is one of {', '.join(get_args(Default))}", "default")
    names = _Names(tokens=_tokens(file.table("assets")), books=_books(file.table("books")))
    stated = file.tables("rule")
    if len(stated) > MAX_RULES:
        file.flaw(f"{len(stated)} rules; a policy has at most {MAX_RULES}", "rule")
    rules = tuple(_rule(each, names, _line(each.place, lines)) for each in stated)
    taken: dict[str, Rule] = {}
    for table, rule in zip(stated, rules, strict=True):
        if rule.name in taken:
            table.flaw(f'the rule of line {taken[rule.name].line} is named "{rule.name}" already', "name")
        taken.setdefault(rule.name, rule)
    file.close()
    if flaws:
        raise UsageError("\n".join(_told(name, lines, data, flaws)), code="BAD_POLICY")
    return Policy(
        rules, default=cast("Default", default), name=name, digest=policy_digest(encoded), text=text,
        tokens=names.tokens, stated=data,
    )  # fmt: skip


def _readable(policy: bytes, name: str) -> str:
    """PO-1.3 limits: looked at before anything is parsed, for what is proposed comes from others."""
    if len(policy) > MAX_POLICY:
        raise UsageError(f"{name}: a policy has at most {MAX_POLICY} bytes", code="BAD_POLICY")
    try:
        text = policy.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: the policy cannot be read: {error}", code="BAD_POLICY") from None
    for number, line in enumerate(text.split("\n"), start=1):
        if len(line) > MAX_LINE:
            raise UsageError(f"{name}:{number}: a line has at most {MAX_LINE} characters", code="BAD_POLICY")
        if _DEEP.search(line):
            raise UsageError(f"{name}:{number}: keys are nested too deeply", code="BAD_POLICY")
    return text


def _told(name: str, lines: Mapping[Place, int], data: Mapping[str, Any], flaws: Iterable[Flaw]) -> list[str]:
    """One line per mistake, in the order of the file."""
    said = set()
    for flaw in flaws:
        where = ""
        if flaw.place[:1] == ("rule",) and len(flaw.place) > 1 and isinstance(flaw.place[1], int):
            named = data["rule"][flaw.place[1]].get("name", "")
            where = f'rule "{named}": ' if isinstance(named, str) and named else f"rule {flaw.place[1] + 1}: "
        said.add((_line(flaw.place, lines), f"{where}{flaw.why}"))
    return [f"{name}:{line}: {why}" for line, why in sorted(said)]


def _line(place: Place, lines: Mapping[Place, int]) -> int:
    """That of the thing, or of the next thing around it that is there."""
    return next((lines[place[:size]] for size in range(len(place), 0, -1) if place[:size] in lines), 1)


# --- what the file names ----------------------------------------------------------------------------------------------


def _tokens(table: Table) -> Mapping[str, Token]:
    tokens = {}
    for name, _ in table.entries():
        stated = table.table(name)
        ledger = stated.read("chain", _chain)
        contract = stated.read("contract", _account) or ""
        decimals = stated.whole("decimals", 0, 77)
        if not stated.has("chain") or not stated.has("decimals"):
            stated.flaw(f"asset {name} needs a chain and its decimals")
        stated.close()
        tokens[name] = Token(asset=Asset(chain=ledger or "", contract=contract), decimals=decimals or 0)
    return tokens


def _books(table: Table) -> Mapping[str, frozenset[str]]:
    books = {}
    for name, _ in table.entries():
        book = table.table(name)
        accounts = {book.read(person, _account) or "" for person, _ in book.entries()}
        if not accounts:
            book.flaw(f"book {name} is empty")
        books[name] = frozenset(accounts)
    return books


# --- rules ------------------------------------------------------------------------------------------------------------


def _rule(table: Table, names: _Names, line: int) -> Rule:
    name = table.text("name") or ""
    if not table.has("name"):
        table.flaw("a rule needs a name")
    elif len(name) > MAX_NAME or not name.isprintable():
        table.flaw(f"a name has at most {MAX_NAME} printable characters", "name")
    vaults, users = _scope(table)
    violation, ask = _violation(table)
    when, require = (_conditions(table.table(key), names) for key in ("when", "require"))
    limits = tuple(filter(None, (_limit(each, names) for each in table.tables("limits"))))
    if Fact.ASSET in when.allowed and any(limit.asset is not None and not limit.fee for limit in limits):
        table.flaw("its limits say which assets it is about: leave out when.assets", "when", "assets")
    restricts = table.flag("restricts")
    table.close()
    return Rule(
        name=name, line=line, vaults=vaults, users=users, when=when, require=require, limits=limits,
        violation=violation, ask=ask, restricts=restricts,
    )  # fmt: skip


def _scope(table: Table) -> tuple[frozenset[str], frozenset[User]]:
    if not table.has("scope"):
        table.flaw('a rule needs a scope: "global", { vaults = [...] } or { users = [...] }')
        return frozenset(), frozenset()
    if not isinstance(table.data["scope"], dict):
        if table.data["scope"] != "global":
            table.flaw('scope is "global", { vaults = [...] } or { users = [...] }', "scope")
        return frozenset(), frozenset()
    scope = table.table("scope")
    vaults = frozenset(_each(scope, "vaults", _vault) or ())
    users = frozenset(_each(scope, "users", _user) or ())
    if scope.has("vaults") is scope.has("users"):
        scope.flaw("a scope has vaults or users, one of the two")
    scope.close()
    return vaults, users


def _violation(table: Table) -> tuple[Literal["reject", "abstain", "ask"], str]:
    if not table.has("violation"):
        return "reject", ""
    match table.data["violation"]:
        case "reject" | "abstain" as word:
            return word, ""
        case {"ask": str(approver), **others} if approver and not others:
            return "ask", approver
    table.flaw('violation is "reject", "abstain" or { ask = "NAME OF AN APPROVER" }', "violation")
    return "reject", ""


def _conditions(table: Table, names: _Names) -> Conditions:
    def accounts(text: str) -> frozenset[object]:
        if not text.startswith(_BOOK):
            return frozenset({_account(text)})
        if (book := names.books.get(text.removeprefix(_BOOK))) is None:
            raise ValueError(f"there is no [books.{text.removeprefix(_BOOK)}] in this file")
        return frozenset(book)

    readers: Mapping[Fact, Callable[[str], Iterable[object]]] = {
        Fact.VAULT: lambda text: [_vault(text)],
        Fact.KIND: lambda text: [_kind(text).value],
        Fact.CHAIN: lambda text: [_chain(text)],
        Fact.ASSET: lambda text: [(_token(text, names).asset.chain, _token(text, names).asset.contract)],
        Fact.SOURCE: accounts,
        Fact.RECEIVER: accounts,
        Fact.METHOD: lambda text: [_method(text)],
        Fact.CONTENT_TYPE: lambda text: [text],
    }
    allowed: dict[Fact, frozenset[object]] = {}
    for fact, read in readers.items():
        if (found := _each(table, fact, read, empty=fact is Fact.METHOD)) is not None:
            allowed[fact] = frozenset(chain.from_iterable(found))
    hours = tuple(filter(None, map(read_hours, table.tables("times"))))
    if table.has("times") and table.data["times"] == []:
        table.flaw("times is an empty list, in which no time is; leave the key out for any time", "times")
    table.close()
    return Conditions(allowed=allowed, hours=hours)


def _limit(table: Table, names: _Names) -> Limit | None:
    """``each`` is for the amount in one operation, ``fee`` for what the chain takes for it; ``total`` is for the amount
    ``within`` a window, ``count`` for the messages."""
    token = table.read("asset", lambda text: _token(text, names))
    window = table.text("within") or ""
    window_ms = table.read("within", parse_duration) or 0
    count = table.whole("count", 1, 10**9)
    kinds = [key for key in ("each", "fee", "total", "count") if table.has(key)]
    limit = None
    if len(kinds) != 1:
        table.flaw("a limit has each, fee, total or count, one of the four")
    elif table.has("within") is not (kinds[0] in ("total", "count")):
        table.flaw(
            "each and fee are for one operation and take no within; total and count take one, such as 24h"
        )
    elif table.has("asset") is not (kinds[0] != "count"):
        table.flaw("each, fee and total are amounts of an asset; count is of messages and takes none")
    elif count is not None:
        limit = Limit(most=count, window_ms=window_ms, window=window)
    elif token is not None and kinds[0] == "fee" and token.asset.contract:
        table.flaw("a fee is taken in the chain's own coin: name an asset without a contract", "asset")
    elif token is not None and kinds[0] != "count":
        most = table.read(kinds[0], lambda text: parse_amount(text, token.decimals))
        limit = Limit(
            most=most if most is not None else MOST, asset=token.asset, name=str(table.data["asset"]),
            decimals=token.decimals, window_ms=window_ms, window=window, fee=kinds[0] == "fee",
        )  # fmt: skip
    table.close()
    return limit


def _each(table: Table, key: str, parse: Callable[[str], T], *, empty: bool = False) -> list[T] | None:
    """What each text of a list means, without those that mean nothing, which are flaws; None without a list."""
    texts = table.texts(key, empty=empty)
    if texts is None:
        return None
    read = (table.tried(partial(parse, text), key, number) for number, text in enumerate(texts))
    return [value for value in read if value is not None]


# --- words ------------------------------------------------------------------------------------------------------------


def _token(name: str, names: _Names) -> Token:
    if name not in names.tokens:
        raise ValueError(f"there is no [assets.{name}] in this file")
    return names.tokens[name]


def _account(text: str) -> str:
    """An account as its chain writes it: Ethereum's in the case of EIP-55, which finds a mistyped one."""
    if not text.lower().startswith("0x"):
        if re.fullmatch(r"[!-~]{4,200}", text) is None or ":" in text:
            raise ValueError(f"{text[:100]!r} is no account")
        return text
    if re.fullmatch(r"0x[0-9a-fA-F]{40}", text) is None:
        raise ValueError(f"{text[:100]} is no account: 0x and 40 hex digits are needed")
    spelled = checksummed(bytes.fromhex(text[2:]))
    if text not in (spelled, spelled.lower()):
        raise ValueError(f"{text} fails its checksum: it was mistyped, or its case was changed")
    return spelled


def _vault(text: str) -> str:
    if _ID.fullmatch(text) is None:
        raise ValueError(
            f"{text[:100]!r} is no vault id: 24 characters a-z2-7, as `quorate vault list` shows"
        )
    return text


def _user(text: str) -> User:
    client, at, device = text.rpartition("@")
    if not at or not client or not (device in ("here", "any") or _ID.fullmatch(device)):
        raise ValueError(
            f"{text[:100]!r} is no user: a client id and where it asks: CLIENT@here for this node, CLIENT@DEVICE-ID, "
            "or CLIENT@any, which believes every peer"
        )
    return User(client=client, device=device)


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise ValueError(f"{text[:100]!r} is no kind of operation: one of {', '.join(Kind)}") from None


def _chain(text: str) -> str:
    if _CHAIN.fullmatch(text) is None:
        raise ValueError(f"{text[:100]!r} is no chain: one looks like eip155:1")
    return text


def _method(text: str) -> str:
    if _METHOD.fullmatch(text) is None:
        raise ValueError(
            f"{text[:100]!r} is no method: its signature without blanks, transfer(address,uint256), its selector, "
            "0xa9059cbb, create for making a contract, or the empty text for no call"
        )
    return text
