"""What can be asked for. Each kind is a frozen message; an operation is one with its origin and lifetime."""

from __future__ import annotations

import base64
from enum import StrEnum
from functools import cached_property
from typing import Annotated, TypeAlias

from msgspec import Meta

from quorate.identifiers import Curve, DeviceId, OperationId, VaultId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.protocols.policy import MAX_POLICY
from quorate.wire.codec import Bytes32, Count, Identifier, Message, Moment, encode

MAX_MESSAGE = 1 << 20
MAX_REQUEST = 2 << 20  # bytes of all texts of a request: one longest message in hex
MAX_BATCH = 1000
MAX_PARTIES = 50
MAX_REDUCED_WEIGHT = 1000

Claimed = Annotated[str, Meta(max_length=200)]
Name = Annotated[str, Meta(min_length=1, max_length=100)]


class Kind(StrEnum):
    CREATE_VAULT = "create-vault"
    SIGN = "sign"
    BATCH_SIGN = "batch-sign"
    PAIR_RESET = "pair-reset"
    RESHARE = "reshare"
    POLICY_CHANGE = "policy-change"
    TRANSFER_OUT = "transfer-out"
    TRANSFER_BETWEEN = "transfer-between"
    CONTRACT_CALL = "contract-call"
    MINT = "mint"
    BURN = "burn"
    ALLOW_ADDRESS = "allow-address"
    BLOCK_ADDRESS = "block-address"
    UNBLOCK_ADDRESS = "unblock-address"
    DISABLE_ADDRESS = "disable-address"


class Algorithm(StrEnum):
    """COSE names: EdDSA over Ed25519; ECDSA over secp256k1 with SHA-256, and with Keccak-256."""

    EDDSA = "EDDSA"
    ES256K = "ES256K"
    ESKEC256 = "ESKEC256"

    @property
    def curve(self) -> Curve:
        """That of the vault's key which signs."""
        return Curve.ED25519 if self is Algorithm.EDDSA else Curve.SECP256K1


class Member(Message):
    """One place in a roster: the device, its identity key, and its signing power as given."""

    device: Identifier
    identity_key: Bytes32
    weight: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class CreateVault(Message, tag="create-vault"):
    name: Name
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MAX_PARTIES)]
    threshold: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    allow_sole_signer: bool
    memo: Annotated[str, Meta(max_length=1000)]


class SigningData(Message):
    """The payload as the caller wrote it. The bytes that are signed come from ``operations.payload``."""

    data: tuple[str, ...]
    content_type: str
    algorithm: Algorithm
    derivation_path: str


class Sign(Message, tag="sign"):
    """``signing.data`` has one item. ``epoch`` and ``certificate`` bind the sharing the votes are for."""

    vault: Identifier
    epoch: int
    certificate: Bytes32
    signing: SigningData

    def __post_init__(self) -> None:
        # An approver is shown one message, so there is never a second one to sign.
        if len(self.signing.data) != 1:
            raise ValueError(f"sign takes exactly one message, not {len(self.signing.data)}; use batch-sign")


class BatchSign(Message, tag="batch-sign"):
    vault: Identifier
    epoch: int
    certificate: Bytes32
    signing: SigningData


TRANSACTIONS = frozenset(
    {
        Kind.TRANSFER_OUT, Kind.TRANSFER_BETWEEN, Kind.CONTRACT_CALL, Kind.MINT, Kind.BURN,
        Kind.ALLOW_ADDRESS, Kind.BLOCK_ADDRESS, Kind.UNBLOCK_ADDRESS, Kind.DISABLE_ADDRESS,
    }
)  # fmt: skip
"""What a transaction may be for."""


class Claim(Message):
    """What the caller says that a transaction does; an empty text says nothing. Every node compares it with what it
    reads, and shows nobody what is claimed. ``vault`` is whom a transfer between vaults pays."""

    asset: Claimed = ""
    amount: Claimed = ""
    address: Claimed = ""
    vault: Claimed = ""


class SignTransaction(Message, tag="sign-transaction"):
    """A transaction, which the nodes read, hash, sign and put the signature to. ``purpose`` is its kind."""

    vault: Identifier
    epoch: Count
    certificate: Bytes32
    purpose: Kind
    signing: SigningData
    claim: Claim
    memo: Annotated[str, Meta(max_length=1000)]

    def __post_init__(self) -> None:
        if self.purpose not in TRANSACTIONS:
            raise ValueError(f"{self.purpose} is not what a transaction is for")
        if len(self.signing.data) != 1:
            raise ValueError(f"one transaction at a time, not {len(self.signing.data)}")


class PairReset(Message, tag="pair-reset"):
    """Make another set-up between two members of a vault, the one of this generation, and use no earlier one."""

    vault: Identifier
    epoch: int
    certificate: Bytes32
    pair: tuple[Identifier, Identifier]
    generation: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    memo: Annotated[str, Meta(max_length=1000)]

    def __post_init__(self) -> None:
        # One pair has one name, so that both of a pair that ask at once ask for the same.
        if not self.pair[0] < self.pair[1]:
            raise ValueError("the two of a pair are two, in order of device id")


class Reshare(Message, tag="reshare"):
    """Give the keys of a vault to a new roster; a refresh has the same one. ``epoch`` and ``certificate`` bind the
    sharing that is replaced, and ``name`` is the vault's. ``after``: how many attempts at the next epoch there were
    before this operation, so that no two have one number."""

    vault: Identifier
    epoch: Count
    certificate: Bytes32
    name: Name
    members: Annotated[tuple[Member, ...], Meta(min_length=1, max_length=MAX_PARTIES)]
    threshold: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    allow_sole_signer: bool
    after: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    memo: Annotated[str, Meta(max_length=1000)]


class PolicyChange(Message, tag="policy-change"):
    """Put another policy in force, by the signature of the governing vault. ``epoch`` and ``certificate`` bind the
    sharing that signs; ``after`` and ``replaces``, version and digest of the signed policy in force, which are 0 and
    empty before the first. ``policy`` is the file, byte by byte."""

    vault: Identifier
    epoch: Count
    certificate: Bytes32
    after: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    replaces: Annotated[bytes, Meta(max_length=32)]
    version: Annotated[int, Meta(ge=1, le=2**31 - 1)]
    policy: Annotated[bytes, Meta(min_length=1, max_length=MAX_POLICY)]
    memo: Annotated[str, Meta(max_length=1000)]

    def __post_init__(self) -> None:
        if len(self.replaces) != (32 if self.after else 0):
            raise ValueError("a policy replaces one by its digest, and before the first there is none")


Signature: TypeAlias = Sign | BatchSign | SignTransaction
"""What ends in signatures by a vault's key."""

Request: TypeAlias = CreateVault | Sign | BatchSign | SignTransaction | PairReset | Reshare | PolicyChange


class Operation(Message, dict=True):
    """A request with its origin and its lifetime. Its digest is what every vote and every session binds."""

    request: Request
    proposer: Identifier
    client: Name
    idempotency_key: Annotated[str, Meta(min_length=1, max_length=200)]
    organisation: Annotated[str, Meta(max_length=100)]
    created_ms: Moment
    expires_ms: Moment

    @property
    def kind(self) -> Kind:
        if isinstance(self.request, SignTransaction):
            return self.request.purpose
        return Kind(str(self.request.__struct_config__.tag))

    @cached_property
    def id(self) -> OperationId:
        """The same at whatever node the client retries: it leaves out the proposer and the times."""
        fields = (self.client, self.idempotency_key, encode(self.request))
        return OperationId(short_id(digest(Domain.OPERATION_ID, *fields)))

    @cached_property
    def digest(self) -> bytes:
        return digest(Domain.OPERATION, encode(self))


def short_id(hashed: bytes) -> str:
    """The 24-character printable form of a hash: lower-case base32 of its first 15 bytes."""
    return base64.b32encode(hashed[:15]).decode().lower()


def device_id(identity_key: bytes) -> DeviceId:
    """The id of the device whose Ed25519 identity key this is."""
    return DeviceId(short_id(digest(Domain.DEVICE_ID, identity_key)))


def vault_id(ceremony_id: bytes) -> VaultId:
    return VaultId(short_id(digest(Domain.VAULT_ID, ceremony_id)))
