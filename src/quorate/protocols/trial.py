"""The first signatures of a new epoch, one on each curve, over messages no client can ask for, and the acknowledgement
that follows them.

docs/spec/keygen.md, "Trial" (rules TR). Every node builds the messages from its own records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256

from quorate.curves import Randomness
from quorate.errors import EncodingError, require
from quorate.identifiers import Curve, DeviceId
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.primitives.verify import verify_ecdsa, verify_ed25519
from quorate.protocols.certificate import CURVES, EpochRecord, acknowledgement
from quorate.protocols.ecdsa.sign import Setups
from quorate.protocols.ecdsa.sign import sign as ecdsa_sign
from quorate.protocols.eddsa import frost
from quorate.protocols.quorum import Quorum
from quorate.wire.codec import Bytes64, Message, decode
from quorate.wire.net import Net, gather

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
    """The signature over the ``trial_message`` of each curve, 64 bytes (of ECDSA r ‖ s, over its SHA-256), and, per
    device that took part, its acknowledgement signature."""

    signatures: dict[Curve, bytes]
    acknowledgements: dict[DeviceId, bytes]


def is_internal(message: bytes) -> bool:
    """Whether a message is reserved for the vault's own business. Refuse it wherever a client names a message."""
    return message.startswith(INTERNAL)


def internal_message(purpose: Purpose, curve: Curve, certificate: bytes, vault: str, body: Field) -> bytes:
    """Always longer than 64 bytes: no hash and no transaction digest is one."""
    hashed = digest(Domain.INTERNAL, vault, body)
    return _HEADER + bytes([purpose]) + _CURVE_BYTE[curve] + certificate + hashed


def trial_message(quorum: Quorum) -> bytes:
    return _message(quorum.curve, quorum.certificate, quorum.vault, quorum.devices)


def _message(curve: Curve, certificate: bytes, vault: str, signers: Iterable[str]) -> bytes:
    return internal_message(Purpose.TRIAL, curve, certificate, vault, [str(device) for device in signers])


class TrialSignatures(Message):
    """What is kept of a trial, and shown to who cannot take part: of ECDSA r ‖ s, and of Ed25519."""

    ecdsa: Bytes64
    eddsa: Bytes64

    @classmethod
    def of(cls, trial: Trial) -> TrialSignatures:
        return cls(ecdsa=trial.signatures[Curve.SECP256K1], eddsa=trial.signatures[Curve.ED25519])


def tried(record: EpochRecord, shown: bytes) -> bool:
    """Whether these are the encoded trial signatures of a whole roster, on both curves."""
    try:
        signatures = decode(TrialSignatures, shown)
    except EncodingError:
        return False
    signers = [place.device for place in record.roster]
    ecdsa, eddsa = (_message(curve, record.hash, record.vault, signers) for curve in CURVES)
    key, hashed = record.key(Curve.SECP256K1).public_key, sha256(ecdsa).digest()
    return verify_ecdsa(key, hashed, signatures.ecdsa) and verify_ed25519(
        record.key(Curve.ED25519).public_key, eddsa, signatures.eddsa
    )


async def trial(
    net: Net,
    record: EpochRecord,
    quorums: Mapping[Curve, Quorum],
    setups: Setups,
    rng: Randomness,
    sign: Callable[[bytes], bytes],
) -> Trial:
    """Sign the trial messages with the quorum of either curve, side by side, then exchange acknowledgements signed by
    ``sign``, the device key. ``setups`` as in ``ecdsa.sign.sign``: so is what a ``cheat`` must lead to.

    No RELEASED is journalled for it: the messages move nothing and count against no limit.
    """
    hashed = sha256(trial_message(quorums[Curve.SECP256K1])).digest()
    [ecdsa], [eddsa] = await gather(
        ecdsa_sign(net, quorums[Curve.SECP256K1], [hashed], None, setups, rng, lambda: None),
        frost.sign(
            net, quorums[Curve.ED25519], [trial_message(quorums[Curve.ED25519])], None, rng, lambda: None
        ),
    )
    mine = Acknowledgement(signature=sign(acknowledgement(record, net.me)))
    heard = await net.broadcast(mine)
    for place in record.roster:
        device = DeviceId(place.device)
        good = verify_ed25519(place.identity_key, acknowledgement(record, device), heard[device].signature)
        require(good, "TR-1.1 acknowledgement", device)
    return Trial(
        signatures={Curve.SECP256K1: ecdsa.compact, Curve.ED25519: eddsa},
        acknowledgements={device: ack.signature for device, ack in heard.items()},
    )
