"""``quorate policy``: check, show, test, replay."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.approval.policy.amounts import parse_duration
from quorate.approval.policy.approver import outcome
from quorate.approval.policy.engine import Counter, judge
from quorate.approval.policy.language import parse_policy, read_policy
from quorate.approval.policy.replay import Replayed, replay
from quorate.approval.policy.rules import Finding, Policy
from quorate.approval.policy.trial import read_trial
from quorate.ceremony.ports import Decided
from quorate.cli import governance
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, runs
from quorate.cli.output import escape
from quorate.errors import UsageError
from quorate.node import config, founding
from quorate.node.governance import policies_of
from quorate.operations.tokens import read_tokens

File = Annotated[Path, typer.Argument(help="A policy file (TOML).")]
PAGE = 1000


def register(app: typer.Typer) -> None:
    @command(app, "check")
    def check(call: Call, file: File) -> None:
        """Whether a node would take this policy; if not, every mistake with its line."""
        policy = read_policy(file)
        call.output.show(_record(policy), f"[green]✓[/] {escape(str(file))}: {_summary(policy)}")

    @command(app, "show")
    async def show(call: Call) -> None:
        """What the running node decides by, and who signed it; of one that does not run, what its store and its
        configuration hold."""
        if await runs(call):
            async with connect(call) as node:
                view = await node.policy()
            if not view.vault and not view.served:
                raise UsageError("this node has no approver that decides by a policy")
            call.output.show(governance.view_record(view), governance.view_text(view))
            if not call.output.json:
                for each in view.served:
                    call.output.out.print(each.policy.decode(), markup=False)
            return
        settings = config.load(call.home)
        with founding.opened(call.home, settings) as ledger:
            row = policies_of(settings, ledger).in_force()
        if row is not None:
            name = f"version {row.version}, signed by vault {row.vault}"
            record = {"section": "policy", **governance.row_record(row)}
            call.output.show(record, f"[bold]policy[/] {name}: {_summary(parse_policy(row.policy, name))}")
            if not call.output.json:
                call.output.out.print(row.policy.decode(), markup=False)
            call.output.note(
                "a signed policy is in force: files that serve until there is one are not used any more"
            )
            return
        for place, file in _configured(call.home):
            policy = read_policy(file)
            record = {"section": place, **_record(policy), "text": policy.text}
            call.output.show(record, f"[bold]{place}[/] {escape(str(file))}: {_summary(policy)}")
            if not call.output.json:
                call.output.out.print(policy.text, markup=False)

    governance.register(app)

    @command(app, "test")
    def test(
        call: Call,
        file: File,
        request: Annotated[
            Path,
            typer.Argument(
                help="What to try it on (JSON): as in the guide to policies, or as an approver gets it."
            ),
        ],
        at: Annotated[str, typer.Option(help="When, such as 2026-01-31T09:30:00Z. [default: now]")] = "",
        here: Annotated[str, typer.Option(help="The device id of the node that decides.")] = "here",
        caller: Annotated[str, typer.Option(help="Who asks, of a request as an approver gets it.")] = "",
        proposer: Annotated[str, typer.Option(help="The device id of the node that was asked.")] = "",
        tokens: Annotated[list[Path] | None, typer.Option(help="A token list that the node has.")] = None,
        used: Annotated[
            list[str] | None,
            typer.Option(help="What a window holds already: RULE=AMOUNT, in base units or messages."),
        ] = None,
    ) -> None:
        """What the policy says to one operation, rule by rule. Exit code 1 unless it approves."""
        policy = read_policy(file)
        try:
            effect = read_trial(
                request.read_text(),
                policy,
                caller=caller,
                proposer=proposer,
                tokens=read_tokens(tokens or ()),
            )
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{request}: {error}") from None
        usage = _Assumed(policy, dict(map(_assumption, used or ())))
        said = judge(policy, effect, usage, now_ms=_moment(at), here=here)
        findings = [{"rule": each.rule.name, "line": each.rule.line, "holds": each.holds, "flaws": list(each.flaws)}
                    for each in said.findings]  # fmt: skip
        word = outcome(said)
        record = {"verdict": word, "rule": said.rule, "explanation": said.explanation, "rules": findings}
        lines = [f"[bold]{escape(word)}[/] by {escape(said.rule)}: {escape(said.explanation)}"]
        lines += [f"  {_mark(each)} line {each.rule.line}: {escape(str(each))}" for each in said.findings]
        call.output.show(record, "\n".join(lines))
        if word != "approve":
            raise typer.Exit(1)

    @command(app, "replay")
    async def replay_(
        call: Call,
        file: File,
        since: Annotated[str, typer.Option(help="How far back: 24h, 7d.")] = "7d",
        every: Annotated[bool, typer.Option("--all", help="Show what would not differ, too.")] = False,
    ) -> None:
        """What the policy would have said to what this node decided. Exit code 1 if anything would differ."""
        try:
            since_ms = time.time_ns() // 1_000_000 - parse_duration(since)
        except ValueError as error:
            raise UsageError(f"--since: {error}") from None
        policy = read_policy(file)
        here, decided = await _recorded(call, since_ms)
        different = 0
        for each in replay(policy, decided, here):
            different += each.differs
            if each.differs or every:
                call.output.show(_replayed_record(each), _replayed_text(each))
        call.output.note(f"{len(decided)} decisions, {different} would differ")
        if different:
            raise typer.Exit(1)


async def _recorded(call: Call, since_ms: int) -> tuple[str, Sequence[Decided]]:
    """This node's device, and its decisions: by the node if it runs, else from its store."""
    if await runs(call):
        async with connect(call) as node:
            return (await node.status()).device, [each async for each in node.decided(since_ms=since_ms)]
    with founding.opened(call.home, config.load(call.home)) as ledger:
        found: list[Decided] = []
        while page := ledger.decided(since_ms, after=found[-1].number if found else 0, limit=PAGE):
            found += page
        return ledger.me.device, found


class _Assumed:
    """Implements ``engine.Usage``: what the windows of each rule are said to hold, else nothing. Rules that share one
    share what it holds."""

    def __init__(self, policy: Policy, amounts: dict[str, int]) -> None:
        self._windows, self._amounts = policy.windows, amounts

    def used(self, counter: Counter, now_ms: int) -> int:  # noqa: ARG002
        return max(self._amounts.get(rule, 0) for rule in self._windows[counter].rules)


def _assumption(text: str) -> tuple[str, int]:
    rule, _, amount = text.rpartition("=")
    if not rule or re.fullmatch(r"[0-9]{1,78}", amount) is None:
        raise UsageError(f"--used {text}: RULE=AMOUNT is needed, the amount in base units or messages")
    return rule, int(amount)


def _moment(text: str) -> int:
    if not text:
        return time.time_ns() // 1_000_000
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("no zone")
    except ValueError:
        raise UsageError(
            f"--at {text}: a time with its zone is needed, such as 2026-01-31T09:30:00Z"
        ) from None
    return int(moment.timestamp() * 1000)


def _mark(finding: Finding) -> str:
    return "[green]✓[/]" if finding.holds else "[red]✗[/]"


def _configured(home: Path) -> list[tuple[str, Path]]:
    settings = config.load(home)
    sections = {"approver": settings.approver, **{f"approvers.{n}": o for n, o in settings.approvers.items()}}
    files = [
        (f"{place}.policy.{key}", file)
        for place, options in sections.items()
        if options.policy is not None
        for key, file in (("file", options.policy.file), ("shadow", options.policy.shadow))
        if file is not None
    ]
    if not files:
        raise UsageError("this node's quorate.toml names no policy: there is no approver of type policy")
    return files


def _record(policy: Policy) -> dict[str, Any]:
    return {
        "file": policy.name, "digest": policy.digest.hex(), "default": policy.default,
        "rules": [{"name": rule.name, "line": rule.line, "violation": rule.violation, "ask": rule.ask}
                  for rule in policy.rules],
    }  # fmt: skip


def _summary(policy: Policy) -> str:
    count = len(policy.rules)
    return f"{count} rule{'' if count == 1 else 's'}, default {policy.default}, digest {policy.digest.hex()[:16]}"


def _replayed_record(each: Replayed) -> dict[str, Any]:
    row = each.made.row
    return {
        "operation": row.operation, "at": _shown(row.at_ms), "kind": each.effect.kind.value, "differs": each.differs,
        "live": row.decision.verdict.name.lower(), "live_rule": row.decision.rule,
        "draft": outcome(each.judgement), "draft_rule": each.judgement.rule,
        "draft_explanation": each.judgement.explanation, "effect": json.loads(each.made.effect),
    }  # fmt: skip


def _replayed_text(each: Replayed) -> str:
    record = _replayed_record(each)
    mark = "[yellow]≠[/]" if each.differs else "="
    return (
        f"{mark} {record['at']} {each.made.row.operation} {record['kind']}: {record['live']} "
        f"({escape(record['live_rule'])}), this policy: [bold]{escape(record['draft'])}[/] "
        f"({escape(record['draft_explanation'])})"
    )


def _shown(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
