"""``quorate policy``: propose, history, export, verify, install."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.approval.policy.language import parse_policy, policy_bytes
from quorate.ceremony.policies import require_signature, require_whole, signed_policy
from quorate.ceremony.rulebook import PolicyRow, PolicyView
from quorate.cli.command import Call, command
from quorate.cli.connection import connect, runs
from quorate.cli.files import require_new
from quorate.cli.manner import Manner, Memo
from quorate.cli.output import escape
from quorate.cli.views import rows
from quorate.errors import UsageError
from quorate.node import config, founding
from quorate.protocols.policy import SignedPolicy, policy_digest

TYPE = "quorate/v1/signed-policy"
LONGEST = 4 << 20  # bytes of a file with a signed policy

Signed = Annotated[Path, typer.Argument(help="A signed policy, from `quorate policy export`.")]


def register(app: typer.Typer) -> None:
    @command(app, "propose")
    async def propose(
        call: Call,
        file: Annotated[Path, typer.Argument(help="A policy file (TOML).")],
        vault: Annotated[str, typer.Option(help="The vault that governs, to be sure: name or id.")] = "",
        version: Annotated[int | None, typer.Option(help="A version. [default: the next]")] = None,
        memo: Memo = "",
        *,
        manner: Manner,
    ) -> None:
        """Ask the governing vault to sign a policy. It is in force at each of its signers once the vault has."""
        policy = policy_bytes(file)
        parse_policy(policy, str(file))
        async with connect(call) as node:
            with call.output.progress(f"proposing {escape(str(file))}") as tell:
                view = await node.change_policy(
                    policy=policy,
                    vault=vault,
                    version=version,
                    memo=memo,
                    idempotency_key=manner.key,
                    expires_in_ms=manner.expires_in_ms,
                )
                view = await manner.waited(node, view, tell)
        manner.conclude(call, view)

    @command(app, "history")
    async def history(call: Call) -> None:
        """The signed policies that were ever in force at this node, oldest first."""
        held = await signed_policies(call)
        if call.output.json:
            for row in held:
                call.output.line(row_record(row))
            return
        body = (
            (str(row.version), policy_digest(row.policy).hex()[:16], moment(row.at_ms), row.vault)
            for row in held
        )
        call.output.out.print(rows(("VERSION", "DIGEST", "SINCE", "VAULT"), body))

    @command(app, "export")
    async def export(
        call: Call,
        file: Annotated[Path, typer.Argument(help="Where to write it.")],
        version: Annotated[int | None, typer.Option(help="Which. [default: the one in force]")] = None,
    ) -> None:
        """Write a signed policy to a file, for nodes that are no signers of the governing vault, and for who checks."""
        require_new(file, "a signed policy is")
        held = {row.version: row for row in await signed_policies(call)}
        if not held:
            raise UsageError("no policy was ever signed here")
        row = held.get(version or max(held))
        if row is None:
            raise UsageError(f"version {version} was never in force here: {', '.join(map(str, held))} were")
        file.write_text(json.dumps(row_record(row), indent=2) + "\n")
        call.output.show(
            row_record(row), f"[green]✓[/] {escape(str(file))}: version {row.version}, vault {row.vault}"
        )

    @command(app, "verify")
    def verify(
        call: Call,
        file: Signed,
        key: Annotated[
            str, typer.Option(help="The governing vault's Ed25519 key (hex), from `quorate vault show`.")
        ],
    ) -> None:
        """Whether a vault signed a policy. No node is needed."""
        signed, digest = read_signed(file)
        try:
            public_key = bytes.fromhex(key)
            if len(public_key) != 32:
                raise ValueError
        except ValueError:
            raise UsageError("--key takes 64 hex digits") from None
        require_whole(signed, digest)
        require_signature(signed.head, public_key)
        policy = parse_policy(signed.policy, str(file))
        record = {
            "valid": True, "vault": signed.vault, "version": signed.version, "digest": digest.hex(),
            "rules": len(policy.rules),
        }  # fmt: skip
        text = f"[green]✓[/] vault {signed.vault} signed version {signed.version}, digest {digest.hex()}"
        call.output.show(record, text)

    @command(app, "install")
    async def install(call: Call, file: Signed) -> None:
        """Put a signed policy in force at a running node that is no signer of the governing vault."""
        signed, digest = read_signed(file)
        async with connect(call) as node:
            view = await node.install_policy(signed, digest)
        call.output.show(view_record(view), view_text(view))


async def signed_policies(call: Call) -> Sequence[PolicyRow]:
    """By the node if it runs, else from its store."""
    if await runs(call):
        async with connect(call) as node:
            return await node.policies()
    with founding.opened(call.home, config.load(call.home)) as ledger:
        return ledger.policies()


def read_signed(file: Path) -> tuple[SignedPolicy, bytes]:
    """The policy, and the digest that is said to be signed. Nothing of it is proved."""
    try:
        with file.open("rb") as opened:
            stated = json.loads(opened.read(LONGEST))
        if stated["type"] != TYPE:
            raise ValueError(f"its type is {stated['type']!r}")
        signed = SignedPolicy(
            vault=str(stated["vault"]), version=int(stated["version"]), policy=stated["policy"].encode(),
            certificate=bytes.fromhex(stated["certificate"]), signature=bytes.fromhex(stated.get("signature", "")),
        )  # fmt: skip
        return signed, bytes.fromhex(stated["digest"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{file} is no signed policy: {error!r}") from None


def row_record(row: PolicyRow) -> dict[str, Any]:
    signed = signed_policy(row)
    return {
        "type": TYPE, "vault": row.vault, "version": row.version, "digest": signed.head.digest.hex(),
        "certificate": row.certificate.hex(), "signature": row.signature.hex(), "signers": list(row.signers),
        "in_force_since": moment(row.at_ms), "policy": row.policy.decode(),
    }  # fmt: skip


def view_record(view: PolicyView) -> dict[str, Any]:
    return {
        "vault": view.vault, "public_key": view.public_key.hex(), "latest": view.latest,
        "signed": None if view.signed is None else row_record(view.signed),
        "served": [
            {"section": each.section, "source": each.source, "digest": policy_digest(each.policy).hex() if each.policy
             else "", "refused": each.refused, "policy": each.policy.decode()}
            for each in view.served
        ],
    }  # fmt: skip


def view_text(view: PolicyView) -> str:
    lines = []
    if view.vault:
        lines.append(f"governed by vault {view.vault}, key {view.public_key.hex()}")
    if (row := view.signed) is not None:
        who = f" by {', '.join(row.signers)}" if row.signers else ""
        lines.append(
            f"[bold]version {row.version}[/], digest {policy_digest(row.policy).hex()}, signed{who}, in force since"
            f" {moment(row.at_ms)}"
        )
    elif view.vault:
        lines.append("[yellow]no policy is signed yet[/]")
    if view.latest > (view.signed.version if view.signed is not None else 0):
        lines.append(f"[red]behind[/]: version {view.latest} is signed")
    for each in view.served:
        digest = f", digest {policy_digest(each.policy).hex()}" if each.policy else ""
        refused = f": [red]approves nothing[/]: {escape(each.refused)}" if each.refused else ""
        lines.append(f"[bold]{each.section}[/] decides by: {each.source}{digest}{refused}")
    return "\n".join(lines)


def moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
