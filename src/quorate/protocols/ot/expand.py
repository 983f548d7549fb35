"""From base OTs to 128 trees of 4 leaves of which one party knows all, the other all but one of each (Roy, ePrint
2022/192, figures 13 and 14): docs/spec/ot.md, rules OT-2."""

from __future__ import annotations

from quorate.errors import ProtocolAbort
from quorate.identifiers import DeviceId
from quorate.native import ot
from quorate.native.memory import SecretBytes
from quorate.protocols.ot.base import Choosing


def grow(context: bytes, keys: SecretBytes) -> tuple[SecretBytes, bytes]:
    """All leaves, 16,384 bytes, from both keys of each base OT; and the 24,576 bytes that let the other party follow
    to all but one."""
    return ot.expand(context, keys)


def follow(
    context: bytes, choosing: Choosing, keys: SecretBytes, message: bytes, grower: DeviceId
) -> SecretBytes:
    """The leaves but one of each tree, zeros in its place, and the 128 places, Δ: 16,512 bytes."""
    leaves = ot.puncture(context, choosing.bits, keys, message)
    if leaves is None:
        raise ProtocolAbort("OT-2.1 trees", grower)
    return leaves
