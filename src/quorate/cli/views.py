"""Operations and vaults as records for programs and as short text for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quorate.ceremony.ports import State
from quorate.ceremony.views import AskedView, OperationView, SetupView, SignatureView, VaultView
from quorate.cli.output import escape, plain
from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.operations.signatures import EcdsaSignature

COLOURS = {
    "COMPLETED": "green",
    "REJECTED": "red",
    "FAILED": "red",
    "EXPIRED": "yellow",
    "CANCELLED": "yellow",
    "approve": "green",
    "reject": "red",
    "abstain": "yellow",
    "ready": "green",
    "LIVE": "green",
    "DEAD": "red",
}
FINAL = frozenset({State.COMPLETED, State.REJECTED, State.EXPIRED, State.FAILED, State.CANCELLED})


def coloured(word: str) -> str:
    return f"[{COLOURS.get(word, 'cyan')}]{word}[/]"


def time_of(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def vault_record(vault: VaultView) -> dict[str, Any]:
    return {
        "vault": vault.id,
        "name": vault.name,
        "state": vault.state,
        "epoch": vault.epoch,
        "threshold": vault.threshold,
        "certificate": vault.certificate_hash.hex(),
        "signers": [
            {"id": signer.device, "name": signer.name, "weight": signer.weight, "online": signer.online}
            for signer in vault.signers
        ],
        "public_keys": {str(curve): key.hex() for curve, key in vault.public_keys.items()},
        "chain_codes": {str(curve): code.hex() for curve, code in vault.chain_codes.items()},
        "xpubs": {str(curve): xpub for curve, xpub in vault.xpubs.items()},
        "setups": [setup_record(setup) for setup in vault.setups],
    }


def setup_record(setup: SetupView) -> dict[str, Any]:
    return {
        "id": setup.device,
        "name": setup.name,
        "generation": setup.generation,
        "state": str(setup.state),
    }


def vault_text(vault: VaultView) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]vault", f"[bold]{escape(vault.name)}[/] [dim]{vault.id}[/]")
    table.add_row("state", f"{coloured(vault.state)}, epoch {vault.epoch}")
    members = ", ".join(f"{escape(signer.name)} {signer.weight}" for signer in vault.signers)
    table.add_row("signers", f"{members}; threshold {vault.threshold}")
    if away := [escape(signer.name) for signer in vault.signers if not signer.online]:
        table.add_row("offline", f"[yellow]{', '.join(away)}")
    if vault.setups:
        table.add_row("pair set-ups", ", ".join(map(setup_text, vault.setups)))
    for curve, key in vault.public_keys.items():
        table.add_row(str(curve), key.hex())
    for curve, xpub in vault.xpubs.items():
        table.add_row(f"[dim]xpub {curve}", f"[dim]{xpub}")
    return table


def setup_text(setup: SetupView) -> str:
    return f"{escape(setup.name)} {coloured(str(setup.state))} (generation {setup.generation})"


def signature_record(signature: SignatureView, *, der: bool = False) -> dict[str, Any]:
    record: dict[str, Any] = {
        "algorithm": signature.algorithm,
        "message_hex": signature.message.hex(),
        "signature_hex": signature.signature.hex(),
        "public_key_hex": signature.public_key.hex(),
    }
    if signature.recovery_id is not None:
        record["recovery_id"] = signature.recovery_id
    if der:
        record["der_hex"] = der_of(signature).hex()
    if signature.transaction:
        record["transaction"] = hash_of(signature)
        record["raw_transaction"] = f"0x{signature.transaction.hex()}"
    return record


def hash_of(signature: SignatureView) -> str:
    """What the chain calls the transaction that was signed."""
    from quorate.operations.transactions.evm import (
        transaction_id,
    )  # only here: few operations are transactions

    return f"0x{transaction_id(signature.transaction).hex()}"


def der_of(signature: SignatureView) -> bytes:
    """An ECDSA signature as its ASN.1 sequence. ``UsageError`` for one that has no such form."""
    if signature.recovery_id is None:
        raise UsageError(
            f"--der: a signature by {signature.algorithm} has one form only, and that is not DER"
        )
    return EcdsaSignature.of(signature.signature, signature.recovery_id).der()


def operation_record(view: OperationView, *, der: bool = False) -> dict[str, Any]:
    return {
        "operation": view.id,
        "kind": view.kind,
        "vault": view.vault,
        "state": str(view.state),
        "created": time_of(view.created_ms),
        "expires": time_of(view.expires_ms),
        "proposer": view.proposer,
        **ballot_record(view),
        "attempt": view.attempt,
        "reason": view.reason,
        "detail": view.detail,
        "culprits": list(view.culprits),
        "signature_may_exist": view.signature_may_exist,
        "signers": list(view.signers),
        "signatures": [signature_record(signature, der=der) for signature in view.signatures],
        "phase": view.phase,
    }


def ballot_record(view: OperationView) -> dict[str, Any]:
    return {
        "votes": [
            {
                "id": vote.device,
                "name": vote.name,
                "weight": vote.weight,
                "verdict": vote.verdict,
                "approver": vote.approver,
                "rule": vote.rule,
            }
            for vote in view.votes
        ],
        "approved_weight": view.approved_weight,
        "threshold": view.threshold,
    }


def operation_text(view: OperationView, *, der: bool = False) -> RenderableType:
    names = names_of(view)
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]operation", f"[bold]{view.id}[/] [dim]{view.kind}[/]")
    table.add_row("state", coloured(str(view.state)))
    table.add_row("votes", ballot_text(view))
    for vote in view.votes:
        if vote.rule:
            table.add_row("", f"[dim]{escape(vote.name)}: {escape(vote.approver)}, {escape(vote.rule)}")
    if view.reason or view.detail:
        table.add_row("why", escape(reason_of(view)))
    if view.culprits:
        table.add_row("because of", f"[red]{', '.join(names.get(each, each) for each in view.culprits)}")
    if view.signature_may_exist and view.state is not State.COMPLETED:
        table.add_row("[yellow]beware", "a signature share left this node: a signature may exist")
    if view.signers:
        table.add_row("signers", ", ".join(names.get(each, each) for each in view.signers))
    for signature in view.signatures[:1]:  # one key signs all of a batch
        table.add_row("key", f"{signature.public_key.hex()} [dim]{signature.algorithm}[/]")
        if signature.transaction:
            table.add_row("transaction", hash_of(signature))
            table.add_row("raw", f"0x{signature.transaction.hex()}")
    return Group(table, *(signature_text(signature, der=der) for signature in view.signatures))


def pending_rows(views: Iterable[OperationView]) -> Table:
    body = (
        (
            view.id,
            view.kind,
            view.vault or "",
            f"{view.approved_weight}/{view.threshold}",
            time_of(view.created_ms),
            time_of(view.expires_ms),
        )
        for view in views
    )
    return rows(("OPERATION", "KIND", "VAULT", "APPROVED", "CREATED", "EXPIRES"), body)


def asked_record(asked: AskedView) -> dict[str, Any]:
    return {
        "operation": asked.operation,
        "digest": asked.digest.hex(),
        "pending": asked.pending,
        "request": json.loads(asked.request),
    }


def asked_text(asked: AskedView) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]operation", f"[bold]{asked.operation}")
    table.add_row("digest", asked.digest.hex())
    table.add_row("waits", "for a decision here" if asked.pending else "no more")
    request = json.loads(asked.request)
    if told := request.get("tDetails"):
        table.add_row("chain", escape(told["chain"]))
        actions_rows(table, told["actions"], told["feeLimit"])
        if told["memo"]:
            table.add_row("memo", escape(told["memo"]))
    return Group(table, Text(plain(json.dumps(request, indent=2, ensure_ascii=False))))


def actions_rows(table: Table, actions: Sequence[Mapping[str, Any]], fee: str | None) -> None:
    """What a transaction does, as the nodes read it, in a row each; ``fee`` in base units of the chain's coin."""
    for action in actions:
        table.add_row("does", f"[bold]{escape(action_text(action))}")
        table.add_row("from", escape(action["source"]))
    table.add_row("fee", "not known" if fee is None else f"at most {units(fee, 18)} of the chain's coin")


def action_text(action: Mapping[str, Any]) -> str:
    """What one action does, on one line."""
    method, receiver, asset = action["method"], action["receiver"], action["asset"]
    if not asset:
        return f"calls {method or 'nothing known'} of {receiver or 'a new contract'}"
    name = f"{action['symbol']} [{asset}]" if action["symbol"] else asset
    if action["amount"] is None:
        moved = f"an amount that is not known of {name}"
    elif action["decimals"] is None:
        moved = f"{action['amount']} base units of {name}"
    else:
        moved = f"{units(action['amount'], action['decimals'])} {name}"
    return f"{method or 'pays'}: {moved} to {receiver or 'nobody'}"


def units(amount: str, decimals: int) -> str:
    """An amount of base units in whole ones."""
    whole, point = divmod(int(amount), 10**decimals)
    fraction = f"{point:0{decimals}d}".rstrip("0") if point else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


def signature_text(signature: SignatureView, *, der: bool = False) -> Text:
    """One line: the signature in hex, and the recovery id where it is not already in a form of its own."""
    if der:
        return Text(der_of(signature).hex())
    line = Text(signature.signature.hex())
    if signature.recovery_id is not None:
        line.append(f" recovery id {signature.recovery_id}", style="dim")
    return line


def ballot_text(view: OperationView) -> str:
    said = (
        f"{escape(vote.name)} ({vote.weight}) {coloured(vote.verdict or 'no answer yet')}"
        for vote in view.votes
    )
    return f"{', '.join(said)}; approved {view.approved_weight} of {view.threshold} needed"


def reason_of(view: OperationView) -> str:
    """Why an operation ended as it did, with names in place of device ids."""
    said = ": ".join(part for part in (view.reason, view.detail) if part)
    return named(said, names_of(view))


def names_of(view: OperationView) -> dict[DeviceId, str]:
    return {vote.device: vote.name for vote in view.votes}


def named(text: str, names: Mapping[DeviceId, str]) -> str:
    for device, name in names.items():
        text = text.replace(device, f"{name} ({device})")
    return text


def rows(headings: Iterable[str], body: Iterable[Iterable[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading)
    for row in body:
        table.add_row(*row)
    return table
