"""Any number of messages in one session: chunks that fit in memory and in a peer's patience, one after the other.

docs/spec/ecdsa.md, "Batches".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from quorate.curves import Randomness, Scalar
from quorate.errors import UsageError
from quorate.protocols.ecdsa.sign import MAX_MESSAGES, Setups, sign
from quorate.protocols.ecdsa.signature import Signature
from quorate.protocols.quorum import Quorum
from quorate.wire.net import Net

MAX_DIGESTS = 1000


async def sign_batch(
    net: Net,
    quorum: Quorum,
    digests: Sequence[bytes],
    tweak: Scalar | None,
    setups: Setups,
    rng: Randomness,
    release: Callable[[], None],
) -> tuple[Signature, ...]:
    """As ``sign``, for up to ``MAX_DIGESTS``: three rounds for every ``MAX_MESSAGES`` of them. ``setups`` and
    ``release`` are asked for each chunk anew, so what ends the session in between leaves the earlier chunks signed."""
    if not 1 <= len(digests) <= MAX_DIGESTS:
        raise UsageError(f"one batch signs 1 to {MAX_DIGESTS} digests, not {len(digests)}")
    signatures: list[Signature] = []
    for chunk, first in enumerate(range(0, len(digests), MAX_MESSAGES)):
        some = digests[first : first + MAX_MESSAGES]
        below = net.at(f"chunk-{chunk}")
        signatures += await sign(below, quorum, some, tweak, setups, rng, release, chunk=chunk)
        if first + MAX_MESSAGES < len(digests):  # the last goes with the session
            below.shed()
    return tuple(signatures)
