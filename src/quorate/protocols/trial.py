"""The first signature of a new epoch, over a message no client can ask for, and the acknowledgement that follows it.

docs/spec/keygen.md, "Trial" (rules TR). Every node builds the message from its own records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from quorate.curves import Randomness
from quorate.errors import require
from quorate.identifiers import Curve, DeviceId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import EpochRecord, acknowledgement
from quorate.protocols.eddsa import frost
from quorate.protocols.quorum import Quorum
from quorate.wire.codec import Bytes64, Message
from quorate.wire.net import Net

INTERNAL = b"\xffquorate/"
_HEADER = INTERNAL + b"internal/v1\x00"
_CURVE_BYTE = {Curve.SECP256K1: b"\x01", Curve.ED25519: b"\x02"}


class Purpose(IntEnum):
    TRIAL = 1
    POLICY = 2


class Acknowledgement(Message):
    """A signer's signature over ``acknowledgement(record, itself)``."""

    signature: Bytes64


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """The signature over ``trial_message`` and, per device that took part, its acknowledgement signature."""

    signature: bytes
    acknowledgements: dict[DeviceId, bytes]


def is_internal(message: bytes) -> bool:
    """Whether a message is reserved for the vault's own business. Refuse it wherever a client names a message."""
    return message.startswith(INTERNAL)


def internal_message(purpose: Purpose, curve: Curve, certificate: bytes, vault: str, body: Field) -> bytes:
    """Always longer than 64 bytes: no hash and no transaction digest is one."""
    hashed = digest(Domain.INTERNAL, vault, body)
    return _HEADER + bytes([purpose]) + _CURVE_BYTE[curve] + certificate + hashed


def trial_message(quorum: Quorum) -> bytes:
    return internal_message(
        Purpose.TRIAL,
        quorum.curve,
        quorum.certificate,
        quorum.vault,
        [str(device) for device in quorum.devices],
    )


async def trial(
    net: Net, record: EpochRecord, quorum: Quorum, rng: Randomness, sign: Callable[[bytes], bytes]
) -> Trial:
    """Sign the trial message with the quorum, then exchange acknowledgements signed by ``sign``, the device key.

    No RELEASED is journalled for it: the message moves nothing and counts against no limit.
    """
    (signature,) = await frost.sign(net, quorum, [trial_message(quorum)], None, rng, lambda: None)
    mine = Acknowledgement(signature=sign(acknowledgement(record, net.me)))
    heard = await net.broadcast(mine)
    for seat in quorum.seats:
        said = heard[seat.device].signature
        good = verify_ed25519(seat.identity_key, acknowledgement(record, seat.device), said)
        require(good, "TR-1.1 acknowledgement", seat.device)
    return Trial(signature=signature, acknowledgements={d: ack.signature for d, ack in heard.items()})
