"""``quorate vault``: create, list, show, pair-reset; the rest is in modules of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.ceremony.ports import State
from quorate.cli import derive, history, reshare
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, vault_ready
from quorate.cli.manner import Manner, Memo
from quorate.cli.output import escape
from quorate.cli.sets import minimal_sets, seat_of
from quorate.cli.views import coloured, rows, vault_record, vault_text

TRIAL_PATIENCE = 60.0


def register(app: typer.Typer) -> None:
    @command(app, "create")
    async def create(
        call: Call,
        name: Annotated[str, typer.Argument(help="What people call the vault.")],
        seats: Annotated[
            list[str], typer.Option("--set", metavar="NAME=WEIGHT", help="A signer and its weight.")
        ],
        threshold: Annotated[int, typer.Option("--threshold", help="The weight needed to sign.")],
        memo: Memo = "",
        allow_sole_signer: Annotated[
            bool, typer.Option("--allow-sole-signer", help="Accept a signer that could sign alone.")
        ] = False,
        *,
        manner: Manner,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Only list the smallest sets of signers that could sign.")
        ] = False,
    ) -> None:
        """Ask the signers to make a key together."""
        weights = [seat_of(seat) for seat in seats]
        if dry_run:
            record, told = minimal_sets(weights, threshold, allow_sole_signer=allow_sole_signer)
            call.output.show(record, escape(told))
            return
        async with connect(call) as node:
            with call.output.progress(f"asking for vault {escape(name)}") as tell:
                view = await node.create_vault(
                    name=name,
                    weights=weights,
                    threshold=threshold,
                    allow_sole_signer=allow_sole_signer,
                    memo=memo,
                    idempotency_key=manner.key,
                    expires_in_ms=manner.expires_in_ms,
                )
                view = await manner.waited(node, view, tell)
                if view.state is not State.COMPLETED or view.vault is None:
                    manner.conclude(call, view)
                    return
                tell("waiting for every signer's trial signature")
                vault = await vault_ready(node, view.vault, patience=TRIAL_PATIENCE if manner.wait else 0)
            call.output.show(vault_record(vault) | {"operation": view.id}, vault_text(vault))

    @command(app, "list")
    async def list_(call: Call) -> None:
        """The vaults this node holds a share of."""
        async with connect(call) as node:
            vaults = await node.vaults()
        if call.output.json:
            for vault in vaults:
                call.output.line(vault_record(vault))
            return
        body = (
            (
                escape(vault.name),
                vault.id,
                coloured(vault.state),
                str(vault.epoch),
                f"{vault.threshold} of {sum(signer.weight for signer in vault.signers)}",
                ", ".join(f"{escape(signer.name)} {signer.weight}" for signer in vault.signers),
            )
            for vault in vaults
        )
        call.output.out.print(rows(("NAME", "ID", "STATE", "EPOCH", "THRESHOLD", "SIGNERS"), body))

    @command(app, "show")
    async def show(call: Call, vault: Annotated[str, typer.Argument(help="Name or id.")]) -> None:
        """One vault: signers, threshold, public keys."""
        async with connect(call) as node:
            view = await node.vault(vault)
        call.output.show(vault_record(view), vault_text(view))

    @command(app, "pair-reset")
    async def pair_reset(
        call: Call,
        vault: Annotated[str, typer.Argument(help="Name or id.")],
        peer: Annotated[str, typer.Argument(help="Another signer of it: name or device id.")],
        memo: Memo = "",
        *,
        manner: Manner,
    ) -> None:
        """Make this node and PEER another set-up for signing with ECDSA. The present one is never used again."""
        async with connect(call) as node:
            with call.output.progress(f"asking {escape(peer)} for another set-up") as tell:
                view = await node.pair_reset(
                    vault=vault,
                    peer=peer,
                    memo=memo,
                    idempotency_key=manner.key,
                    expires_in_ms=manner.expires_in_ms,
                )
                view = await manner.waited(node, view, tell)
        manner.conclude(call, view)

    derive.register(app)
    reshare.register(app)
    history.register(app)
