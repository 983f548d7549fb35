"""What ``transfer`` and ``contract-call`` share: who pays whom, showing it, and asking the node for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.table import Table

from quorate.ceremony.views import VaultView
from quorate.cli.chain import endpoint_of
from quorate.cli.command import Call
from quorate.cli.composing import GWEI, Doing, Terms, compose
from quorate.cli.manner import Manner
from quorate.cli.output import escape
from quorate.cli.sign import HEX
from quorate.cli.views import actions_rows, units
from quorate.errors import UsageError
from quorate.identifiers import Curve
from quorate.operations.addresses import account_of, checksummed, ethereum_account
from quorate.operations.derivation import derive
from quorate.operations.kinds import Claim, Kind
from quorate.operations.request_json import actions_json
from quorate.operations.tokens import Tokens
from quorate.operations.transactions import calldata
from quorate.operations.transactions.actions import Payer, actions_of_message
from quorate.operations.transactions.evm import DynamicFee, Transaction
from quorate.rpc.client import NodeClient

ADDRESSED = frozenset({Kind.ALLOW_ADDRESS, Kind.BLOCK_ADDRESS, Kind.UNBLOCK_ADDRESS, Kind.DISABLE_ADDRESS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A transaction, ``data`` as the nodes get it, with what is said about it."""

    purpose: Kind
    transaction: Transaction
    data: str
    content_type: str = HEX
    claim: Claim
    memo: str
    path: str


def payer_of(vault: VaultView, path: str, tokens: Tokens) -> Payer:
    curve = Curve.SECP256K1
    if curve not in vault.public_keys:
        raise UsageError(f"vault {vault.name} is {vault.state}: it has no key yet", code="VAULT_NOT_READY")
    key = derive(curve, vault.public_keys[curve], vault.chain_codes[curve], path).public_key
    return Payer(account=ethereum_account(key), tokens=tokens)


async def receiver_of(node: NodeClient, to: str, to_vault: str) -> tuple[str, bytes]:
    """The vault that is paid, if one is, and the account."""
    stated = b""
    if to:
        try:
            stated = account_of(to)
        except ValueError as error:
            raise UsageError(f"--to: {error}") from None
    if not to_vault:
        return "", stated
    named = [view for view in await node.vaults() if to_vault in (view.id, view.name)]
    if not named:
        raise UsageError(
            f"--to-vault {to_vault}: no vault of this node, which cannot vouch for its account: pay the account by --to"
        )
    if len(named) > 1:
        raise UsageError(
            f"--to-vault {to_vault}: two vaults have this name; say the id", code="AMBIGUOUS_VAULT"
        )
    vault = named[0]
    paid = payer_of(vault, "", Tokens()).account
    if stated not in (b"", paid):
        raise UsageError(f"--to {to}: the account of vault {vault.name} is {checksummed(paid)}")
    return vault.id, paid


def paying(chain_id: int, source: bytes, receiver: bytes, contract: str, amount: int) -> Doing:
    """A payment in the token of ``contract``, or in the chain's coin."""
    if not contract:
        return Doing(chain_id=chain_id, source=source, to=receiver, value=amount)
    if amount >= 1 << 256:
        raise UsageError(f"{amount} base units are more than any token has")
    data = calldata.write("transfer", to=receiver, amount=amount)
    return Doing(chain_id=chain_id, source=source, to=account_of(contract), value=0, data=data)


async def composed(call: Call, doing: Doing, terms: Terms, rpc: str) -> Transaction:
    """``compose`` with the chain's endpoint, if one is known."""
    endpoint = endpoint_of(call.home, doing.chain_id, rpc)
    if endpoint is None:
        return await compose(doing, terms, None)
    async with endpoint:
        with call.output.progress(f"asking {escape(endpoint.host)} for nonce and fees"):
            return await compose(doing, terms, endpoint)


def claim_of(purpose: Kind, transaction: Transaction, payer: Payer) -> Claim:
    """What a call for this purpose is said to do, so that nodes that read it otherwise refuse."""
    if purpose in ADDRESSED and len(transaction.data) == 36:
        return Claim(address=checksummed(transaction.data[16:]))
    if purpose in (Kind.MINT, Kind.BURN):
        *_, main = actions_of_message(transaction.unsigned(), payer)
        return Claim(address=main.receiver or "", amount="" if main.amount is None else str(main.amount))
    return Claim()


async def ask(
    call: Call, node: NodeClient, vault: str, request: Request, payer: Payer, manner: Manner, *, dry_run: bool
) -> None:
    """Show what will be signed, then, but for a ``dry_run``, have it signed."""
    if dry_run and manner.wait:
        raise UsageError("--dry-run asks for nothing, so there is nothing to --wait for")
    if dry_run:
        call.output.show(transaction_record(request, payer), transaction_rows(request, payer))
        return
    if not call.output.json:
        call.output.err.print(transaction_rows(request, payer))
    claim = request.claim
    with call.output.progress("asking for a signature") as tell:
        view = await node.sign_transaction(
            vault=vault,
            purpose=request.purpose.value,
            data=request.data,
            content_type=request.content_type,
            derivation_path=request.path,
            asset=claim.asset,
            amount=claim.amount,
            address=claim.address,
            to_vault=claim.vault,
            memo=request.memo,
            idempotency_key=manner.key,
            expires_in_ms=manner.expires_in_ms,
        )
        view = await manner.waited(node, view, tell)
    manner.conclude(call, view, {"asked_for": transaction_record(request, payer)})


def transaction_record(request: Request, payer: Payer) -> dict[str, Any]:
    """Numbers in base units of the chain's coin."""
    transaction = request.transaction
    if isinstance(transaction, DynamicFee):
        fees = {
            "max_fee_per_gas": str(transaction.max_fee_per_gas),
            "max_priority_fee_per_gas": str(transaction.max_priority_fee_per_gas),
        }
    else:
        fees = {"gas_price": str(getattr(transaction, "gas_price", 0))}
    return {
        "purpose": request.purpose.value,
        "chain_id": transaction.chain_id,
        "from": checksummed(payer.account),
        "to": checksummed(transaction.to) if transaction.to else "",
        "value": str(transaction.value),
        "data": f"0x{transaction.data.hex()}",
        "nonce": transaction.nonce,
        "gas_limit": transaction.gas_limit,
        **fees,
        "fee_limit": str(transaction.fee_limit),
        "actions": actions_json(actions_of_message(transaction.unsigned(), payer)),
        "unsigned": f"0x{transaction.unsigned().hex()}",
    }


def transaction_rows(request: Request, payer: Payer) -> Table:
    record = transaction_record(request, payer)
    table = Table.grid(padding=(0, 2))
    table.add_row("[bold]to be signed", f"[bold]{request.purpose}[/] on chain {record['chain_id']}")
    actions_rows(table, record["actions"], record["fee_limit"])
    price = [
        f"{name.removeprefix('max_').removesuffix('_per_gas').replace('_', ' ')} {units(record[name], GWEI)} gwei"
        for name in ("max_fee_per_gas", "max_priority_fee_per_gas", "gas_price")
        if name in record
    ]
    table.add_row("nonce", str(record["nonce"]))
    table.add_row("gas", f"{record['gas_limit']} at {', '.join(price)}")
    if request.transaction.data:
        table.add_row("calls", f"{record['to'] or 'a new contract'} [dim]{record['data']}[/]")
    return table
