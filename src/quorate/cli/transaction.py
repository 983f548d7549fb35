"""``quorate transfer`` and ``contract-call``: put a transaction together, show it, and have it signed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from quorate.cli.chain import settings_of
from quorate.cli.command import Call, command
from quorate.cli.composing import Doing, Terms, account, asset_of, base_units, gwei, hex_of
from quorate.cli.connection import connect
from quorate.cli.manner import Manner, Memo
from quorate.cli.sign import HEX
from quorate.cli.transacting import (
    Request,
    ask,
    claim_of,
    composed,
    payer_of,
    paying,
    receiver_of,
)
from quorate.errors import UsageError
from quorate.operations import payload
from quorate.operations.addresses import checksummed
from quorate.operations.kinds import TRANSACTIONS, Claim, Kind
from quorate.operations.tokens import read_tokens
from quorate.operations.transactions import calldata, evm, signing_input
from quorate.operations.transactions.purposes import asset_id

CALLS = sorted(TRANSACTIONS - {Kind.TRANSFER_OUT, Kind.TRANSFER_BETWEEN})

VaultName = Annotated[str, typer.Option("--vault", help="Name or id.")]
ChainNumber = Annotated[
    int | None, typer.Option("--chain", metavar="ID", help="The chain, by the number of EIP-155.")
]
Amount = Annotated[str | None, typer.Option("--amount", help="In whole coins, such as 0.25.")]
BaseUnits = Annotated[
    str | None, typer.Option("--base-units", help="The amount in the coin's smallest part.")
]
Rpc = Annotated[
    str,
    typer.Option("--rpc", metavar="URL", help="Whom to ask for what is not said, in place of [chains.ID]."),
]
Path = Annotated[str, typer.Option("--path", help="Derivation path of the key that pays, such as m/60/0.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be signed.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fees:
    """Options of a command: what a chain would be asked for."""

    nonce: Annotated[int | None, typer.Option("--nonce", help="[default: the account's next one]")] = None
    gas_limit: Annotated[
        int | None, typer.Option("--gas-limit", help="[default: what the chain estimates]")
    ] = None
    max_fee: Annotated[
        str | None, typer.Option("--max-fee", metavar="GWEI", help="Per gas, the tip included.")
    ] = None
    priority_fee: Annotated[
        str | None, typer.Option("--priority-fee", metavar="GWEI", help="The tip per gas.")
    ] = None
    legacy: Annotated[bool, typer.Option("--legacy", help="A transaction of the form before EIP-1559.")] = (
        False
    )
    gas_price: Annotated[
        str | None, typer.Option("--gas-price", metavar="GWEI", help="Per gas, with --legacy.")
    ] = None

    def terms(self) -> Terms:
        return Terms(
            nonce=self.nonce,
            gas_limit=self.gas_limit,
            max_fee=gwei(self.max_fee, "--max-fee"),
            priority_fee=gwei(self.priority_fee, "--priority-fee"),
            gas_price=gwei(self.gas_price, "--gas-price"),
            legacy=self.legacy,
        )


def register(app: typer.Typer) -> None:
    @command(app, "transfer")
    async def transfer(
        call: Call,
        vault: VaultName,
        chain: ChainNumber = None,
        to: Annotated[str, typer.Option("--to", metavar="ACCOUNT", help="Who is paid.")] = "",
        to_vault: Annotated[
            str, typer.Option("--to-vault", help="The vault that is paid, by name or id.")
        ] = "",
        token: Annotated[
            str, typer.Option("--token", help="A token's contract, or its symbol in a token list.")
        ] = "",
        amount: Amount = None,
        base_units_: BaseUnits = None,
        rpc: Rpc = "",
        transaction: Annotated[
            str, typer.Option("--transaction", metavar="HEX", help="An unsigned transaction, as it is.")
        ] = "",
        signing_input_: Annotated[
            str, typer.Option("--signing-input", metavar="HEX", help="The same as wallet-core writes it.")
        ] = "",
        path: Path = "",
        memo: Memo = "",
        dry_run: DryRun = False,
        *,
        fees: Fees,
        manner: Manner,
    ) -> None:
        """Pay somebody in a chain's coin or a token, once enough weight approves. What is signed is shown first."""
        terms = fees.terms()
        tokens = read_tokens(settings_of(call.home).tokens.files)
        async with connect(call) as node:
            payer = payer_of(await node.vault(vault), path, tokens)
            vault_id, receiver = await receiver_of(node, to, to_vault)
            form, data = HEX, transaction
            if transaction or signing_input_:
                if (transaction and signing_input_) or terms != Terms():
                    raise UsageError("--transaction and --signing-input say all of it: give one, and no fees")
                if signing_input_:
                    form, data = payload.SIGNING_INPUT, signing_input_
                    made = signing_input.read(hex_of(signing_input_, "--signing-input"))
                else:
                    made = evm.read(hex_of(transaction, "--transaction"))
                if chain not in (None, made.chain_id):
                    raise UsageError(f"--chain {chain}: the transaction is for chain {made.chain_id}")
                asset = asset_of(tokens, made.chain_id, token)
                moved = base_units(asset, amount, base_units_)
            else:
                if chain is None or not receiver:
                    raise UsageError("say --chain and --to or --to-vault, or give a --transaction")
                asset = asset_of(tokens, chain, token)
                moved = base_units(asset, amount, base_units_)
                if moved is None:
                    raise UsageError("say how much: --amount in whole coins, or --base-units")
                made = await composed(
                    call, paying(chain, payer.account, receiver, asset.contract, moved), terms, rpc
                )
                data = made.unsigned().hex()
            claimed = bool(token) or moved is not None
            request = Request(
                purpose=Kind.TRANSFER_BETWEEN if to_vault else Kind.TRANSFER_OUT,
                transaction=made,
                data=data.removeprefix("0x"),
                content_type=form,
                claim=Claim(
                    asset=asset_id(asset) if claimed else "",
                    amount="" if moved is None else str(moved),
                    address=checksummed(receiver) if receiver else "",
                    vault=vault_id,
                ),
                memo=memo,
                path=path,
            )
            await ask(call, node, vault, request, payer, manner, dry_run=dry_run)

    @command(app, "contract-call")
    async def contract_call(
        call: Call,
        vault: VaultName,
        chain: Annotated[
            int, typer.Option("--chain", metavar="ID", help="The chain, by the number of EIP-155.")
        ],
        contract: Annotated[str, typer.Option("--contract", metavar="ACCOUNT", help="What is called.")] = "",
        create: Annotated[
            bool,
            typer.Option(
                "--create", help="Make a contract instead: --data is its code, arguments behind it."
            ),
        ] = False,
        data: Annotated[str, typer.Option("--data", metavar="HEX", help="The call as it is.")] = "",
        method: Annotated[
            str,
            typer.Option("--method", help='The method by its signature, such as "mint(address,uint256)".'),
        ] = "",
        arg: Annotated[list[str] | None, typer.Option("--arg", help="An argument of it, in order.")] = None,
        purpose: Annotated[
            str, typer.Option("--purpose", help=f"What it is for: {', '.join(CALLS)}.")
        ] = Kind.CONTRACT_CALL.value,
        amount: Amount = None,
        base_units_: BaseUnits = None,
        rpc: Rpc = "",
        path: Path = "",
        memo: Memo = "",
        dry_run: DryRun = False,
        *,
        fees: Fees,
        manner: Manner,
    ) -> None:
        """Call a contract, or make one, paying --amount of the chain's coin along. What is signed is shown first."""
        if bool(contract) == create:
            raise UsageError("say what is called as --contract, or --create for a new contract")
        if create and (not data or purpose != Kind.CONTRACT_CALL.value):
            raise UsageError("--create takes the code as --data, and is for contract-call")
        if purpose not in CALLS:
            raise UsageError(f"--purpose {purpose}: one of {', '.join(CALLS)}")
        if bool(data) == bool(method) or (data and arg):
            raise UsageError("say what is called as --method with an --arg for each argument, or as --data")
        body = hex_of(data, "--data") if data else calldata.call_of(method, arg or [])
        terms = fees.terms()
        tokens = read_tokens(settings_of(call.home).tokens.files)
        async with connect(call) as node:
            payer = payer_of(await node.vault(vault), path, tokens)
            doing = Doing(
                chain_id=chain,
                source=payer.account,
                to=b"" if create else account(contract, "--contract"),
                value=base_units(tokens.asset(chain), amount, base_units_) or 0,
                data=body,
            )
            made = await composed(call, doing, terms, rpc)
            request = Request(
                purpose=Kind(purpose),
                transaction=made,
                data=made.unsigned().hex(),
                claim=claim_of(Kind(purpose), made, payer),
                memo=memo,
                path=path,
            )
            await ask(call, node, vault, request, payer, manner, dry_run=dry_run)
