"""``quorate vault``: reshare, refresh, erase-earlier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from rich.text import Text

from quorate.ceremony.views import VaultView
from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.cli.manner import Manner, Memo
from quorate.cli.output import escape, plain
from quorate.cli.sets import minimal_sets, seat_of
from quorate.cli.views import vault_record, vault_text
from quorate.errors import UsageError
from quorate.rpc.client import NodeClient

VaultName = Annotated[str, typer.Argument(help="Name or id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Sole = Annotated[bool, typer.Option("--allow-sole-signer", help="Accept a signer that could sign alone.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to change, by names as given; ``threshold`` None: it stays."""

    weights: Sequence[tuple[str, int]] = ()
    removed: Sequence[str] = ()
    threshold: int | None = None
    allow_sole_signer: bool = False


def register(app: typer.Typer) -> None:
    @command(app, "reshare")
    async def reshare(
        call: Call,
        vault: VaultName,
        seats: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="NAME=WEIGHT", help="A signer to add, or its new weight."),
        ] = None,
        remove: Annotated[
            list[str] | None, typer.Option("--remove", metavar="NAME", help="A signer that leaves.")
        ] = None,
        threshold: Annotated[
            int | None, typer.Option("--threshold", help="The weight needed to sign from then on.")
        ] = None,
        allow_sole_signer: Sole = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
        yes: Yes = False,
        memo: Memo = "",
        *,
        manner: Manner,
    ) -> None:
        """Give a vault's keys to other signers, weights or another threshold. Keys and addresses stay."""
        weights = [seat_of(seat) for seat in seats or ()]
        plan = Plan(
            weights=weights, removed=remove or (), threshold=threshold, allow_sole_signer=allow_sole_signer
        )
        if not (weights or remove or threshold):
            raise UsageError(
                "nothing would change: --set, --remove or --threshold; new shares: vault refresh"
            )
        async with connect(call) as node:
            view = await node.vault(vault)
            record, text = changes(view, plan)
            if dry_run:
                call.output.show(record, Text(plain(text)))
                return
            if not yes:
                call.confirm(Text(plain(text)))
            await carry_out(call, node, view, plan, memo, manner)

    @command(app, "refresh")
    async def refresh(
        call: Call,
        vault: VaultName,
        yes: Yes = False,
        memo: Memo = "",
        *,
        manner: Manner,
    ) -> None:
        """Give the same signers new shares. Copies of the old ones, wherever they are, are of no use with the new."""
        async with connect(call) as node:
            view = await node.vault(vault)
            names = ", ".join(f"{signer.name} ({signer.weight})" for signer in view.signers)
            if not yes:
                told = f"new shares and pair set-ups for {names}; weights and threshold stay"
                call.confirm(Text(plain(told)))
            plan = Plan(allow_sole_signer=any(s.weight >= view.threshold for s in view.signers))
            await carry_out(call, node, view, plan, memo, manner)

    @command(app, "release")
    async def release(
        call: Call,
        vault: VaultName,
        without: Annotated[
            list[str] | None,
            typer.Option(
                "--without", help="A signer that is gone for good, or was restored too. May be repeated."
            ),
        ] = None,
        yes: Yes = False,
    ) -> None:
        """Take part again in a vault that this node was restored with, without the word of signers that are gone."""
        async with connect(call) as node:
            view = await node.vault(vault)
            names = ", ".join(without or ()) or "nobody"
            if not yes:
                told = (
                    f"take epoch {view.epoch} of vault {view.name} for the one that lives, on your word that {names}"
                    " could not tell of a later one"
                )
                call.confirm(Text(plain(told)))
            view = await node.release_vault(view.id, tuple(without or ()))
        call.output.show(vault_record(view), vault_text(view))

    @command(app, "erase-earlier")
    async def erase_earlier(call: Call, vault: VaultName, yes: Yes = False) -> None:
        """Go on at this node without signers that never acknowledged the epoch, and erase earlier shares."""
        async with connect(call) as node:
            view = await node.vault(vault)
            if not yes:
                told = (
                    f"erase what this node holds of vault {view.name} from before epoch {view.epoch}, although not"
                    " everybody has acknowledged that epoch"
                )
                call.confirm(Text(plain(told)))
            view = await node.erase_earlier(view.id)
        call.output.show(vault_record(view), vault_text(view))


def changes(vault: VaultView, plan: Plan) -> tuple[dict[str, Any], str]:
    """What would change, and who could sign after it: for programs, and for people."""
    before = {signer.name: signer.weight for signer in vault.signers}
    names = {str(signer.device): signer.name for signer in vault.signers}
    after = dict(before)
    for wanted in plan.removed:
        if after.pop(names.get(wanted, wanted), None) is None:
            raise UsageError(f"--remove {wanted}: vault {vault.name} has no such signer: {', '.join(before)}")
    for wanted, weight in plan.weights:
        after[names.get(wanted, wanted)] = weight
    threshold = plan.threshold or vault.threshold
    sets, told = minimal_sets(sorted(after.items()), threshold, allow_sole_signer=plan.allow_sole_signer)
    lines = [] if threshold == vault.threshold else [f"threshold {vault.threshold} -> {threshold}"]
    diff: list[dict[str, Any]] = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        diff.append({"name": name, "original_weight": old, "new_weight": new})
        lines.append(
            f"{name} joins with weight {new}" if old is None
            else f"{name} leaves" if new is None
            else f"{name} weight {old} -> {new}"
        )  # fmt: skip
    record = {
        "vault": vault.id,
        "epoch": vault.epoch,
        "original_threshold": vault.threshold,
        "new_threshold": threshold,
        "diff": diff,
        **sets,
    }
    return record, "\n".join([*(lines or ["nothing changes but the shares"]), told])


async def carry_out(
    call: Call, node: NodeClient, vault: VaultView, plan: Plan, memo: str, manner: Manner
) -> None:
    with call.output.progress(f"asking the signers of {escape(vault.name)}, old and new") as tell:
        view = await node.reshare(
            vault=vault.id,
            weights=plan.weights,
            removed=plan.removed,
            threshold=plan.threshold,
            allow_sole_signer=plan.allow_sole_signer,
            memo=memo,
            idempotency_key=manner.key,
            expires_in_ms=manner.expires_in_ms,
        )
        view = await manner.waited(node, view, tell)
    manner.conclude(call, view)
