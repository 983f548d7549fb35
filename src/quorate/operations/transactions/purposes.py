"""Whether a transaction is what its caller says it is for: docs/spec/operations.md, section OP-8.

The bytes decide. A request that says otherwise is refused, so that its name can be relied on.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import UsageError
from quorate.operations.addresses import account_of, checksummed
from quorate.operations.effect import Action, Asset
from quorate.operations.kinds import Claim, Kind
from quorate.operations.transactions.evm import Transaction

_MOVES = ("", "transfer(address,uint256)", "transferFrom(address,address,uint256)",
          "safeTransferFrom(address,address,uint256)", "safeTransferFrom(address,address,uint256,bytes)")  # fmt: skip
_METHODS = {Kind.MINT: ("mint(address,uint256)",), Kind.BURN: ("burn(uint256)", "burnFrom(address,uint256)")}
_PUBLISHED = {"eip155:1": "ETH", "eip155:11155111": "ETH_SEPOLIA"}


def require_purpose(purpose: Kind, claim: Claim, transaction: Transaction, actions: Sequence[Action]) -> None:
    """``UsageError`` (rules OP-8) unless the transaction, which does ``actions``, is for this, and nothing that is
    claimed is otherwise."""
    address = _purpose(purpose, transaction, actions)
    main = actions[-1]
    if claim.asset and (main.asset is None or claim.asset != asset_id(main.asset)):
        moved = asset_id(main.asset) if main.asset is not None else "what nobody can read from it"
        raise _disagrees(f"the asset is {moved}, not {claim.asset}")
    if claim.amount and claim.amount != str(main.amount):
        raise _disagrees(f"the amount is {main.amount} base units, not {claim.amount}")
    if claim.address and _account(claim.address) != address:
        raise _disagrees(f"the address is {address or 'none'}, not {claim.address}")


def asset_id(asset: Asset) -> str:
    """The product's name of a chain's coin where it has published one; otherwise as in CAIP-19."""
    if not asset.contract:
        return _PUBLISHED.get(asset.chain, f"{asset.chain}/slip44:60")
    return f"{asset.chain}/erc20:{asset.contract}"


def _purpose(purpose: Kind, transaction: Transaction, actions: Sequence[Action]) -> str:
    """The address that it is about."""
    main = actions[-1]
    match purpose:
        case Kind.TRANSFER_OUT | Kind.TRANSFER_BETWEEN:
            if len(actions) != 1 or main.method not in _MOVES or main.asset is None:
                raise _not_for(purpose, "does not just pay a coin or a token to somebody")
            return main.receiver or ""
        case Kind.MINT | Kind.BURN:
            if len(actions) != 1 or main.method not in _METHODS[purpose] or main.asset is None:
                raise _not_for(purpose, f"calls {main.method or 'nothing'}, or pays besides")
            return main.receiver or ""
        case Kind.CONTRACT_CALL:
            if not main.method:
                raise _not_for(purpose, "calls nothing")
            return main.receiver or ""
        case _:
            data = transaction.data
            known = not (main.method or "").startswith("0x")  # and then it takes no address alone
            if known or len(actions) != 1 or len(data) != 36 or any(data[4:16]):
                raise _not_for(purpose, "does not call a contract with one address and nothing else")
            return checksummed(data[16:])


def _account(text: str) -> str:
    try:
        return checksummed(account_of(text))
    except ValueError as error:
        raise _disagrees(str(error)) from None


def _not_for(purpose: Kind, why: str) -> UsageError:
    return UsageError(
        f"OP-8.1 purpose: the transaction is not for {purpose}: it {why}", code="INVALID_TRANSACTION"
    )


def _disagrees(why: str) -> UsageError:
    return UsageError(f"OP-8.2 claim: {why}", code="CLAIM_DISAGREES")
