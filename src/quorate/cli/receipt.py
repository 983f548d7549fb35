"""``quorate receipt``: show, and verify, which needs no node."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.table import Table

from quorate.ceremony import receipts
from quorate.ceremony.evidence import Anchor
from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.cli.files import require_new
from quorate.cli.output import escape
from quorate.cli.views import action_text, coloured
from quorate.errors import UsageError
from quorate.operations.tokens import NATIVE, chain_of

SHOWN = 20  # messages of a batch
COINS = {chain_of(number): coin for number, coin in NATIVE.items()}


def register(app: typer.Typer) -> None:
    @command(app, "show")
    async def show(
        call: Call,
        operation: Annotated[str, typer.Argument(help="Operation id.")],
        out: Annotated[Path | None, typer.Option("--out", help="Write it to this new file.")] = None,
    ) -> None:
        """The receipt of a signature, from the node that was asked to make it. With --json as `verify` takes it."""
        if out is not None:
            require_new(out, "a receipt is")
        async with connect(call) as node:
            receipt = await node.receipt(operation)
        document = receipts.verify(receipt, Anchor())
        if out is not None:
            out.write_text(receipt)
        call.output.show(document, receipt_text(document))

    @command(app, "verify")
    def verify(
        call: Call,
        file: Annotated[Path, typer.Argument(help="A receipt.")],
        public_key: Annotated[
            str, typer.Option("--public-key", metavar="HEX", help="A public key of the vault that is meant.")
        ] = "",
        certificate: Annotated[
            str, typer.Option("--certificate", metavar="HEX", help="The hash of its certificate.")
        ] = "",
        any_vault: Annotated[
            bool,
            typer.Option(
                "--any-vault", help="Whatever vault it names: whoever made it may have made that, too."
            ),
        ] = False,
    ) -> None:
        """Check a receipt, offline: all signatures in it, and that it says what they prove. Exit code 1 if it fails."""
        anchor = Anchor(
            certificate=_hex("--certificate", certificate, 32),
            public_key=_hex("--public-key", public_key, 32, 33),
        )
        if bool(anchor.certificate or anchor.public_key) is any_vault:
            raise UsageError(
                "of which vault: --public-key or --certificate, as `quorate vault show` has them, or --any-vault"
            )
        try:
            document = receipts.verify(_read(file), anchor)
        except UsageError as error:
            call.output.show({"valid": False, "why": str(error)}, f"[red]not valid[/]: {escape(str(error))}")
            raise typer.Exit(1) from None
        vault = document["vault"]
        record = {
            "valid": True,
            "operation": document["operation"]["id"],
            "vault": vault["id"],
            "certificate": vault["certificate"],
            "public_keys": vault["public_keys"],
            "vault_known": not any_vault,
        }
        table = receipt_text(document)
        if any_vault:
            table.add_row(
                "[yellow]beware", "nothing shows that this is the vault that you mean: compare its keys"
            )
            for curve, key in vault["public_keys"].items():
                table.add_row(curve, key)
        table.add_row("", "[green]valid[/]")
        call.output.show(record, table)


def _read(file: Path) -> str:
    if file.stat().st_size > receipts.LARGEST:
        raise UsageError(f"{file} is over {receipts.LARGEST >> 20} MiB: no receipt is so long")
    try:
        return file.read_text()
    except UnicodeDecodeError:
        raise UsageError(f"{file} is no text") from None


def _hex(option: str, text: str, *sizes: int) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"{option}: not hexadecimal") from None
    if value and len(value) not in sizes:
        raise UsageError(f"{option}: {' or '.join(map(str, sizes))} bytes, not {len(value)}")
    return value


def receipt_text(document: Mapping[str, Any]) -> Table:
    """For people; of a receipt that was verified."""
    operation, vault, signed = document["operation"], document["vault"], document["signed"]
    names = {device: escape(name) for device, name in document["issuer"]["names"].items()}
    weights = {signer["id"]: signer["weight"] for signer in vault["signers"]}
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]receipt", f"[bold]{operation['id']}[/] [dim]{operation['kind']}")
    table.add_row("digest", operation["digest"])
    table.add_row(
        "asked",
        f"{operation['created']} by {escape(json.dumps(operation['client']))} at {named(operation['proposer'], names)}",
    )
    table.add_row("vault", f"{vault['id']}, epoch {vault['epoch']}, certificate {vault['certificate']}")
    if signed["memo"]:
        table.add_row("memo", escape(json.dumps(signed["memo"])))
    for vote in document["votes"]:
        by = f"{escape(vote['approver'])}, {escape(vote['rule'])}" if vote["rule"] else "does not say by what"
        said = f"{named(vote['id'], names)} ({weights[vote['id']]}) {coloured(vote['verdict'])}"
        table.add_row("vote", f"{said} [dim]{by}")
    table.add_row("approved", f"{document['approved_weight']} of {vault['threshold']} needed")
    at = f" at {signed['path']}" if signed["path"] else ""
    table.add_row("key", f"{signed['public_key']}{at} [dim]{signed['algorithm']}")
    for message in signed["messages"][:SHOWN]:
        for what, value in message_rows(message):
            table.add_row(what, value)
    if (more := len(signed["messages"]) - SHOWN) > 0:
        table.add_row("", f"[dim]and {more} messages more; all with --json")
    return table


def message_rows(message: Mapping[str, Any]) -> list[tuple[str, RenderableType]]:
    read = [(does_text(each), each.get("source", "")) for each in message["does"] if "chain" in each]
    rows: list[tuple[str, RenderableType]] = [("does", f"[bold]{escape(does)}") for does, _ in read]
    rows += [("from", escape(source)) for source in dict.fromkeys(source for _, source in read)]
    if not read:
        content = json.dumps(message["content"])
        rows.append(("message", f"[bold]{escape(content[:200])}[/] [dim]{escape(message['content_type'])}"))
    rows += [("hash", message["digest"]), ("signature", message["signature"])]
    if "transaction" in message:
        rows += [("transaction", message["transaction"]), ("raw", message["raw_transaction"])]
    return rows


def does_text(action: Mapping[str, Any]) -> str:
    """What one action does, with the chain's own coin by its name."""
    asset = action.get("asset")
    coin = COINS.get(asset["chain"], ("", None)) if asset and not asset["contract"] else ("", None)
    place = f"{asset['chain']} {asset['contract']}".strip() if asset else ""
    return action_text(
        {
            "method": action.get("method"),
            "receiver": action.get("receiver"),
            "asset": place,
            "amount": action.get("amount"),
            "symbol": coin[0],
            "decimals": coin[1],
        }
    )


def named(device: str, names: Mapping[str, str]) -> str:
    return names.get(device, device)
