"""A transaction out of what a person says: amounts in coins, fees in gwei, and the rest from the chain itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quorate.cli.chain import Endpoint
from quorate.cli.views import units
from quorate.errors import UsageError
from quorate.operations.addresses import account_of
from quorate.operations.effect import Asset
from quorate.operations.tokens import Tokens, chain_of
from quorate.operations.transactions.evm import DynamicFee, Legacy, Transaction

GWEI = 9
PAYMENT_GAS = 21000
_DECIMAL = re.compile(r"([0-9]{1,78})(?:\.([0-9]{1,78}))?", re.ASCII)
CEILING = 10**17  # wei, of what an endpoint alone may have a transaction cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What a transaction does: ``source`` pays, ``to`` is paid or called; accounts of 20 bytes, ``value`` in wei."""

    chain_id: int
    source: bytes
    to: bytes
    value: int
    data: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How it is sent, as far as somebody said so. Fees in wei."""

    nonce: int | None = None
    gas_limit: int | None = None
    max_fee: int | None = None
    priority_fee: int | None = None
    gas_price: int | None = None
    legacy: bool = False

    def __post_init__(self) -> None:
        if self.legacy and (self.max_fee is not None or self.priority_fee is not None):
            raise UsageError("a --legacy transaction has a --gas-price, no --max-fee and --priority-fee")
        if not self.legacy and self.gas_price is not None:
            raise UsageError("--gas-price is for --legacy transactions; others have --max-fee")

    @property
    def bounded(self) -> bool:
        """Whether the most that it can cost was said."""
        return self.gas_limit is not None and (self.gas_price if self.legacy else self.max_fee) is not None


async def compose(doing: Doing, terms: Terms, endpoint: Endpoint | None) -> Transaction:
    """What nobody said is asked of ``endpoint``. ``UsageError`` naming the option where there is none, and for fees
    that only the endpoint wants and nobody should pay."""
    if endpoint is not None:
        await endpoint.require_chain(doing.chain_id)
    nonce = terms.nonce
    if nonce is None:
        nonce = await _asked(endpoint, "--nonce").nonce(doing.source)
    gas_limit = terms.gas_limit
    if gas_limit is None and endpoint is not None:
        gas_limit = await endpoint.gas(doing.source, doing.to, doing.value, doing.data)
    elif gas_limit is None:
        if doing.data:
            raise _unknown("--gas-limit")
        gas_limit = PAYMENT_GAS
    if terms.legacy:
        price = terms.gas_price
        if price is None:
            price = await _asked(endpoint, "--gas-price").gas_price()
        transaction: Transaction = Legacy(
            chain_id=doing.chain_id, nonce=nonce, gas_price=price, gas_limit=gas_limit, to=doing.to,
            value=doing.value, data=doing.data,
        )  # fmt: skip
    else:
        fee, tip = await _dynamic(terms, endpoint)
        transaction = DynamicFee(
            chain_id=doing.chain_id, nonce=nonce, max_priority_fee_per_gas=tip, max_fee_per_gas=fee,
            gas_limit=gas_limit, to=doing.to, value=doing.value, data=doing.data,
        )  # fmt: skip
    if transaction.fee_limit > CEILING and not terms.bounded:
        raise UsageError(
            f"{endpoint.host if endpoint else 'the chain'} has this cost up to"
            f" {units(str(transaction.fee_limit), 18)} of the chain's coin in fees; if that is meant, say"
            f" --gas-limit and {'--gas-price' if terms.legacy else '--max-fee'}"
        )
    return transaction


async def _dynamic(terms: Terms, endpoint: Endpoint | None) -> tuple[int, int]:
    """The fee, enough for a base fee that doubles, and the tip in it."""
    fee, tip = terms.max_fee, terms.priority_fee
    if fee is not None and tip is not None:
        return fee, tip
    missing = "--max-fee" if fee is None else "--priority-fee"
    base, usual = await _asked(endpoint, missing).dynamic_fees()
    tip = tip if tip is not None else usual
    if fee is None:
        return 2 * base + tip, tip
    return fee, tip if terms.priority_fee is not None else min(tip, fee)


def _asked(endpoint: Endpoint | None, option: str) -> Endpoint:
    if endpoint is None:
        raise _unknown(option)
    return endpoint


def _unknown(option: str) -> UsageError:
    return UsageError(
        f"{option} is needed: no endpoint of this chain is known to ask (--rpc, or [chains.ID] in quorate.toml)"
    )


def amount_of(text: str, decimals: int, option: str) -> int:
    """A decimal number of whole coins in base units, exactly."""
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise UsageError(f"{option} {text}: a number such as {'0.25' if decimals else '25'} is needed")
    fraction = (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise UsageError(f"{option} {text}: it has at most {decimals} digits after the point")
    return int(match[1] + fraction.ljust(decimals, "0"))


def gwei(text: str | None, option: str) -> int | None:
    return None if text is None else amount_of(text, GWEI, option)


def base_units(asset: Asset, amount: str | None, units_: str | None) -> int | None:
    """What ``--amount`` or ``--base-units`` says of an asset; None where neither does."""
    if amount is not None and units_ is not None:
        raise UsageError("--amount is in whole coins and --base-units in their parts: give one of them")
    if units_ is not None:
        return amount_of(units_, 0, "--base-units")
    if amount is None:
        return None
    if asset.decimals is None:
        what = f"token {asset.contract}" if asset.contract else f"the coin of {asset.chain}"
        raise UsageError(
            f"--amount: no list says how many decimals {what} has; give --base-units, or a list in"
            " [tokens] files of quorate.toml"
        )
    return amount_of(amount, asset.decimals, "--amount")


def asset_of(tokens: Tokens, chain_id: int, token: str) -> Asset:
    """The coin of the chain, or the token of this contract or of this symbol in a list."""
    if not token:
        return tokens.asset(chain_id)
    if token.startswith("0x"):
        return tokens.asset(chain_id, account(token, "--token"))
    here = chain_of(chain_id)
    found = [asset for asset in tokens.known.values() if (asset.chain, asset.symbol) == (here, token)]
    if len(found) != 1:
        raise UsageError(
            f"--token {token}: {len(found) or 'no'} tokens of {here} have this symbol in the lists of"
            " [tokens] files; name the contract"
        )
    return found[0]


def account(text: str, option: str) -> bytes:
    try:
        return account_of(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def hex_of(text: str, option: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise UsageError(f"{option}: hex digits are needed") from None
