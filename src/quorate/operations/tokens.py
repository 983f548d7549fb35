"""Which contracts are tokens, and what people call them: from lists that the operator trusts.

The form is that of public token lists (tokenlists.org): ``{"tokens": [{"chainId", "address", "symbol", "decimals"}]}``.
A list names; it grants nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from quorate.errors import UsageError
from quorate.operations.addresses import account_of, checksummed
from quorate.operations.effect import Asset

NATIVE = {1: ("ETH", 18), 11155111: ("ETH", 18), 10: ("ETH", 18), 8453: ("ETH", 18), 42161: ("ETH", 18),
          137: ("POL", 18), 56: ("BNB", 18), 43114: ("AVAX", 18), 100: ("XDAI", 18)}  # fmt: skip


class _Token(msgspec.Struct, rename="camel"):
    """Lists have more members, such as logos; they are nobody's business here."""

    chain_id: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    address: str
    symbol: Annotated[str, Meta(min_length=1, max_length=40)]
    decimals: Annotated[int, Meta(ge=0, le=255)]


class _TokenList(msgspec.Struct):
    tokens: list[_Token]


@dataclass(frozen=True, slots=True)
class Tokens:
    """Fungible tokens by chain and contract. One that is not here still moves, without a name or a point."""

    known: Mapping[tuple[str, str], Asset] = field(default_factory=dict)

    def asset(self, chain_id: int, contract: bytes = b"") -> Asset:
        """The token of a contract, or the chain's own coin."""
        chain = chain_of(chain_id)
        if not contract:
            symbol, decimals = NATIVE.get(chain_id, ("", None))
            return Asset(chain=chain, symbol=symbol, decimals=decimals)
        address = checksummed(contract)
        return self.known.get((chain, address), Asset(chain=chain, contract=address))


def chain_of(chain_id: int) -> str:
    """CAIP-2's name of an EVM chain."""
    return f"eip155:{chain_id}"


def read_tokens(files: Iterable[Path]) -> Tokens:
    """All lists together. ``UsageError`` naming the file for one that cannot be read, names a contract that is none, or
    has another symbol or other decimals for a token than a list before it."""
    known: dict[tuple[str, str], Asset] = {}
    for file in files:
        try:
            listed = msgspec.json.decode(file.read_bytes(), type=_TokenList)
            assets = [
                Asset(
                    chain=chain_of(token.chain_id),
                    contract=checksummed(account_of(token.address)),
                    symbol=token.symbol,
                    decimals=token.decimals,
                )
                for token in listed.tokens
            ]
        except (OSError, ValueError) as error:  # msgspec's errors are ValueErrors
            raise UsageError(f"token list {file}: {error}") from None
        for asset in assets:
            held = known.setdefault((asset.chain, asset.contract), asset)
            if (held.symbol, held.decimals) != (asset.symbol, asset.decimals):
                raise UsageError(
                    f"token list {file}: {asset.contract} on {asset.chain} is {asset.symbol} with {asset.decimals}"
                    f" decimals here, and {held.symbol} with {held.decimals} before",
                )
    return Tokens(known)
