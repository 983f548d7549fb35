"""OT extension with its consistency check, 512 transfers for each multiplication (Roy, SoftSpokenOT, ePrint 2022/192,
section 4): docs/spec/ot.md, rules OT-3.

R, the receiver, holds all leaves and chooses; S, the sender, holds all but those at Δ.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.curves import Randomness
from quorate.errors import ProtocolAbort, require
from quorate.identifiers import DeviceId
from quorate.native import ot
from quorate.native.memory import SecretBytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """R's side: its salt, β (64 bytes for each multiplication) and the columns ψ_j (32 bytes for each transfer)."""

    salt: bytes
    choices: SecretBytes
    columns: SecretBytes


def extend(context: bytes, leaves: SecretBytes, batch: int, rng: Randomness) -> tuple[Extension, bytes]:
    """R's choices for ``batch`` multiplications, drawn at random, and m1."""
    salt, choices = rng.public(ot.SALT), rng.secret(ot.CHOICES * batch)
    with rng.secret(ot.MASK) as mask:
        message, columns = ot.extend(context, leaves, salt, choices, mask)
    return Extension(salt=salt, choices=choices, columns=columns), message


def accept(
    context: bytes, punctured: SecretBytes, message: bytes, batch: int, chooser: DeviceId
) -> SecretBytes:
    """S's columns ζ_j = ψ_j + β_j·Δ. Whether the check passes tells R something of Δ: so a failure is a cheat."""
    require(len(message) == ot.extension_size(batch), "OT-3.1 extension length", chooser)
    columns = ot.accept(context, punctured, message, batch)
    if columns is None:
        raise ProtocolAbort("OT-3.2 consistency", chooser, cheat=True)
    return columns
