"""What the bytes of an Ethereum message do once they are signed: docs/spec/operations.md, section OP-6.

Nothing is taken from anybody's description. What has no reading here is opaque, which policies can refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import rlp

from quorate.errors import UsageError
from quorate.operations.addresses import account_of, checksummed
from quorate.operations.effect import Action, Asset
from quorate.operations.tokens import Tokens, chain_of
from quorate.operations.transactions import calldata, evm
from quorate.operations.transactions.calldata import Call, Token
from quorate.operations.transactions.evm import Transaction
from quorate.operations.transactions.typed_data import TypedData

CREATION = "create"  # of a contract: no signature of a method looks like this
DELEGATION = "EIP-7702 authorization"
_DELEGATION_TYPE = b"\x05"
_PERMIT = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"  # ERC-2612


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """Whose key signs, as an Ethereum account, and the tokens that the node has names for."""

    account: bytes
    tokens: Tokens


def actions_of_message(message: bytes, payer: Payer) -> tuple[Action, ...]:
    """Of a message whose Keccak-256 is signed: a transaction, or an account's consent to run another's code. One opaque
    action for anything else."""
    if message[:1] == _DELEGATION_TYPE:
        return (_delegation(message, payer),)
    try:
        transaction = evm.read(message)
    except UsageError:
        return (Action(),)
    return tuple(_actions(transaction, payer))


def actions_of_typed_data(data: TypedData, payer: Payer) -> tuple[Action, ...]:
    """Of typed data: what some contract makes of it later, at most. Its domain says which, and on which chain."""
    chain_id, contract = data.domain.get("chainId"), data.domain.get("verifyingContract")
    if chain_id is None or contract is None:
        return (Action(),)  # a signature that no contract, or any chain, may claim
    number, at = _integer(chain_id), account_of(contract)
    kind = data.encoded_type(data.primary_type)
    action = Action(
        chain=chain_of(number),
        source=checksummed(payer.account),
        receiver=checksummed(at),
        method=kind,
        fee=0,
    )
    if kind != _PERMIT:
        return (action,)
    message = data.message
    return (
        replace(
            action,
            source=checksummed(account_of(message["owner"])),
            receiver=checksummed(account_of(message["spender"])),
            asset=payer.tokens.asset(number, at),
            amount=_integer(message["value"]),
        ),
    )


def _actions(transaction: Transaction, payer: Payer) -> Iterator[Action]:
    """The payment, if there is one, and what is called, if something is. The fee stands on the first of them."""
    chain_id, to = transaction.chain_id, transaction.to
    action = Action(
        chain=chain_of(chain_id), source=checksummed(payer.account), receiver=checksummed(to) if to else "",
        method=_method(transaction), fee=transaction.fee_limit,
    )  # fmt: skip
    coin = payer.tokens.asset(chain_id)
    called = bool(transaction.data) or not to
    if transaction.value or not called:
        yield replace(action, asset=coin, amount=transaction.value)
        action = replace(action, fee=0)
    if not called:
        return
    try:
        call = calldata.read(transaction.data) if to else None
    except UsageError:
        call = None
    yield action if call is None else _of_call(call, payer.tokens.asset(chain_id, to), action)


def _method(transaction: Transaction) -> str:
    if not transaction.to:
        return CREATION
    known = calldata.BY_SELECTOR.get(transaction.data[:4])
    if known is not None:
        return known.signature
    return f"0x{transaction.data[:4].hex()}" if transaction.data else ""


def _of_call(call: Call, token: Asset, action: Action) -> Action:
    """An allowance counts as paid to whom it is given, a token that there is one of as an amount of one."""
    arguments: Mapping[str, Any] = call.arguments
    who = arguments.get("to") or arguments.get("spender") or arguments.get("operator") or b""
    done = replace(action, asset=token, receiver=checksummed(who) if who else "")
    if "from" in arguments:
        done = replace(done, source=checksummed(arguments["from"]))
    match call.method.name:
        case "increaseAllowance" | "decreaseAllowance":
            return done  # added to what nobody here knows
        case "setApprovalForAll":
            return done if arguments["approved"] else replace(done, amount=0)
        case "safeTransferFrom":
            return replace(done, amount=1)
    if call.method.token is Token.EITHER and token.decimals is None:
        return done  # an amount, or the number of the one that is meant
    return replace(done, amount=arguments["amount"])


def _delegation(message: bytes, payer: Payer) -> Action:
    """Consent that an account runs the code of another, which may then do anything in its name (EIP-7702). Chain id 0
    is consent on every chain, the one that a rule is about too: then none is known."""
    try:
        chain_id, delegate, nonce = map(evm.as_bytes, evm.rlp_items(message[1:]))
    except evm.NO_RLP:
        return Action()
    if len(delegate) != 20 or _DELEGATION_TYPE + rlp.encode([chain_id, delegate, nonce]) != message:
        return Action()
    chain = chain_of(int.from_bytes(chain_id, "big")) if any(chain_id) else None
    return Action(
        chain=chain, source=checksummed(payer.account), receiver=checksummed(delegate), method=DELEGATION, fee=0,
    )  # fmt: skip


def _integer(value: int | str) -> int:
    """As ``typed_data`` let it pass."""
    return value if isinstance(value, int) else int(value, 0)
