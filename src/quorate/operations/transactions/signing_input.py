"""A transaction as wallets hand it over to be signed: the ``SigningInput`` message of the wallet-core family.

docs/spec/operations.md, section OP-7. Only the transaction comes out of it: what is signed is built here, and nothing
is taken from a field that this node does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from quorate.errors import UsageError
from quorate.operations.addresses import account_of
from quorate.operations.transactions import calldata
from quorate.operations.transactions.evm import DynamicFee, Legacy, Transaction

_LEGACY, _ENVELOPED = 0, 1
_PACKAGE = "quorate.ethereum"
_FIELDS: Mapping[str, tuple[tuple[int, str, str], ...]] = {
    "Transfer": ((1, "amount", "bytes"), (2, "data", "bytes")),
    "TokenTransfer": ((1, "to", "string"), (2, "amount", "bytes")),
    "TokenApproval": ((1, "spender", "string"), (2, "amount", "bytes")),
    "UniqueTransfer": ((1, "from", "string"), (2, "to", "string"), (3, "token_id", "bytes")),
    "Contract": ((1, "amount", "bytes"), (2, "data", "bytes")),
    "Transaction": (
        (1, "transfer", "Transfer"),
        (2, "erc20_transfer", "TokenTransfer"),
        (3, "erc20_approve", "TokenApproval"),
        (4, "erc721_transfer", "UniqueTransfer"),
        (6, "contract_generic", "Contract"),
    ),
    "SigningInput": (
        (1, "chain_id", "bytes"),
        (2, "nonce", "bytes"),
        (3, "tx_mode", "uint32"),
        (4, "gas_price", "bytes"),
        (5, "gas_limit", "bytes"),
        (6, "max_inclusion_fee_per_gas", "bytes"),
        (7, "max_fee_per_gas", "bytes"),
        (8, "to_address", "string"),
        (9, "private_key", "bytes"),
        (10, "transaction", "Transaction"),
    ),
}


def read(encoded: bytes) -> Transaction:
    """The transaction that a wallet would build of this message. ``UsageError`` (rule OP-7.1) naming the field that is
    unknown, missing, of another form, or, like a private key, not to be sent to anybody."""
    message = SigningInput()
    try:
        message.ParseFromString(encoded)
    except DecodeError:
        raise _refused("not a SigningInput message") from None
    _require_known(message, "SigningInput")
    if message.private_key:
        raise _refused("private_key is set: a key is nobody's to send")
    to, value, data = _what(message)
    common: dict[str, Any] = {
        "chain_id": _number(message, "chain_id"),
        "nonce": _number(message, "nonce"),
        "gas_limit": _number(message, "gas_limit"),
        "to": to,
        "value": value,
        "data": data,
    }
    if message.tx_mode == _LEGACY:
        _require_unset(message, "max_inclusion_fee_per_gas", "max_fee_per_gas")
        return Legacy(gas_price=_number(message, "gas_price"), **common)
    if message.tx_mode == _ENVELOPED:
        _require_unset(message, "gas_price")
        return DynamicFee(
            max_priority_fee_per_gas=_number(message, "max_inclusion_fee_per_gas"),
            max_fee_per_gas=_number(message, "max_fee_per_gas"),
            **common,
        )
    raise _refused(f"tx_mode is {message.tx_mode}: 0 is a legacy transaction and 1 one of type 2")


def _what(message: Any) -> tuple[bytes, int, bytes]:
    """Account, value and data. Tokens are called at ``to_address``."""
    transaction = message.transaction
    kind = transaction.WhichOneof("kind")
    at = _account(message, "to_address") if message.to_address else b""
    if kind is None:
        raise _refused("transaction says nothing of what to do")
    body = getattr(transaction, kind)
    if kind in ("transfer", "contract_generic"):
        if not at and kind == "transfer":
            raise _refused("to_address: a transfer goes somewhere")
        return at, _number(body, "amount"), body.data
    if not at:
        raise _refused("to_address: the token's contract")
    if kind == "erc20_transfer":
        call = calldata.write("transfer", to=_account(body, "to"), amount=_number(body, "amount"))
    elif kind == "erc20_approve":
        call = calldata.write("approve", spender=_account(body, "spender"), amount=_number(body, "amount"))
    else:
        parties = {"from": _account(body, "from"), "to": _account(body, "to")}
        call = calldata.write("transferFrom", **parties, amount=_number(body, "token_id"))
    return at, 0, call


def _number(message: Any, name: str) -> int:
    """Big-endian, of at most 32 bytes; absent is 0."""
    field: bytes = getattr(message, name)
    if len(field) > 32:
        raise _refused(f"{name} has {len(field)} bytes; a number has at most 32")
    return int.from_bytes(field, "big")


def _account(message: Any, name: str) -> bytes:
    try:
        return account_of(getattr(message, name))
    except ValueError as error:
        raise _refused(f"{name}: {error}") from None


def _require_unset(message: Any, *names: str) -> None:
    for name in names:
        if getattr(message, name):
            raise _refused(f"{name} is of no use in tx_mode {message.tx_mode}")


def _require_known(message: Message, where: str) -> None:
    """A field that is not known here could mean anything to who else reads the message."""
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise _refused(f"{where} has a field {unknown[0].field_number} that is not known here")
    for descriptor, value in message.ListFields():
        if descriptor.message_type is not None:
            _require_known(value, f"{where}.{descriptor.name}")


def _refused(why: str) -> UsageError:
    return UsageError(f"OP-7.1 signing input: {why}", code="INVALID_TRANSACTION")


def _described() -> FileDescriptorProto:
    kinds = {
        "bytes": FieldDescriptorProto.TYPE_BYTES,
        "string": FieldDescriptorProto.TYPE_STRING,
        "uint32": FieldDescriptorProto.TYPE_UINT32,
    }
    file = FileDescriptorProto(name="quorate/ethereum.proto", package=_PACKAGE, syntax="proto3")
    for struct, fields in _FIELDS.items():
        message = file.message_type.add(name=struct)
        if struct == "Transaction":
            message.oneof_decl.add(name="kind")
        for number, name, kind in fields:
            field = message.field.add(name=name, number=number, label=FieldDescriptorProto.LABEL_OPTIONAL)
            field.type = kinds.get(kind, FieldDescriptorProto.TYPE_MESSAGE)
            if kind not in kinds:
                field.type_name = f".{_PACKAGE}.{kind}"
                if struct == "Transaction":
                    field.oneof_index = 0
    return file


_POOL = DescriptorPool()
_POOL.Add(_described())
SigningInput: Any = GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.SigningInput"))
