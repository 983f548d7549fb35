"""256 base OTs at once (Masny and Rindal, ePrint 2019/706, figure 8): docs/spec/ot.md, rules OT-1.

The party that will send in the OT extension receives here.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.curves import Randomness
from quorate.errors import ProtocolAbort
from quorate.identifiers import Curve, DeviceId
from quorate.native import ot, scalars
from quorate.native.memory import SecretBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """What a receiver keeps until it is answered: 256 bits b_j, packed, and the logarithms t_j."""

    bits: SecretBytes
    logarithms: SecretBytes


def choose(context: bytes, rng: Randomness) -> tuple[Choosing, bytes]:
    """r_0 and r_1 of each transfer, 16,896 bytes; both look alike whatever the bit is."""
    choosing = Choosing(bits=rng.secret(ot.BASE_CHOICES), logarithms=_logarithms(ot.BASE_OTS, rng))
    with rng.secret(ot.UNIFORM) as uniform:
        return choosing, ot.base_choose(context, choosing.bits, choosing.logarithms, uniform)


def answer(context: bytes, message: bytes, chooser: DeviceId, rng: Randomness) -> tuple[bytes, SecretBytes]:
    """B_0 and B_1 of each transfer, 16,896 bytes, and both keys of each, 64."""
    with _logarithms(2 * ot.BASE_OTS, rng) as logarithms:
        answered = ot.base_answer(context, message, logarithms)
    if answered is None:
        raise ProtocolAbort("OT-1.1 choice", chooser)
    return answered


def finish(context: bytes, choosing: Choosing, message: bytes, answerer: DeviceId) -> SecretBytes:
    """The key that was chosen of each transfer, 32 bytes."""
    keys = ot.base_finish(context, choosing.bits, choosing.logarithms, message)
    if keys is None:
        raise ProtocolAbort("OT-1.2 answer", answerer)
    return keys


def _logarithms(count: int, rng: Randomness) -> SecretBytes:
    """Scalars within 2^-250 of uniform; that one is zero will not be seen."""
    with rng.secret(64 * count) as wide:
        return scalars.reduce(Curve.SECP256K1, wide, 64)
