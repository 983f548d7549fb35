"""``quorate vault``: create, list, show, pair-reset; the rest is in modules of its own."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from quorate.ceremony.ports import State
from quorate.cli import derive, history, reshare
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, finish, vault_ready
from quorate.cli.output import escape
from quorate.cli.sets import minimal_sets, seat_of
from quorate.cli.views import coloured, operation_record, operation_text, rows, vault_record, vault_text

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
        memo: Annotated[str, typer.Option(help="Shown to the approvers.")] = "",
        allow_sole_signer: Annotated[
            bool, typer.Option("--allow-sole-signer", help="Accept a signer that could sign alone.")
        ] = False,
        wait: Annotated[bool, typer.Option("--wait", help="Until the vault is ready, or refused.")] = False,
        timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.")] = None,
        expires_in: Annotated[float | None, typer.Option(help="Seconds until the request expires.")] = None,
        idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same request.")] = None,
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
                    idempotency_key=idempotency_key or uuid.uuid4().hex,
                    expires_in_ms=None if expires_in is None else round(expires_in * 1000),
                )
                if wait:
                    view = await finish(node, view, timeout=timeout, tell=tell)
                if view.state is not State.COMPLETED or view.vault is None:
                    call.output.show(operation_record(view), operation_text(view))
                    raise typer.Exit(1 if wait else 0)
                tell("waiting for every signer's trial signature")
                vault = await vault_ready(node, view.vault, patience=TRIAL_PATIENCE if wait else 0)
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
        memo: Annotated[str, typer.Option(help="Shown to the approvers.")] = "",
        wait: Annotated[bool, typer.Option("--wait", help="Until it is made, or refused.")] = False,
        timeout: Annotated[float | None, typer.Option(help="Seconds to wait at most.")] = None,
        expires_in: Annotated[float | None, typer.Option(help="Seconds until the request expires.")] = None,
        idempotency_key: Annotated[str | None, typer.Option(help="The same key is the same request.")] = None,
    ) -> None:
        """Make this node and PEER another set-up for signing with ECDSA. The present one is never used again."""
        async with connect(call) as node:
            with call.output.progress(f"asking {escape(peer)} for another set-up") as tell:
                view = await node.pair_reset(
                    vault=vault,
                    peer=peer,
                    memo=memo,
                    idempotency_key=idempotency_key or uuid.uuid4().hex,
                    expires_in_ms=None if expires_in is None else round(expires_in * 1000),
                )
                if wait:
                    view = await finish(node, view, timeout=timeout, tell=tell)
        call.output.show(operation_record(view), operation_text(view))
        if wait and view.state is not State.COMPLETED:
            raise typer.Exit(1)

    derive.register(app)
    reshare.register(app)
    history.register(app)
