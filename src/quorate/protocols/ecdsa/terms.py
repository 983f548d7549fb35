"""What all signers of a session must agree on, and each signer's share of the secret under those terms.

docs/spec/ecdsa.md, "Notation" and "Shares".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quorate.curves import SECP256K1, Point, Scalar, SecretScalar
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, SessionId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.protocols.ot.setup import PairSetup
from quorate.protocols.quorum import Quorum

VERSION = 1
DIGEST_SIZE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """``hash`` binds all else: every commitment of the session and every share of zero is made under it.

    ``digests`` are what is signed, 32 bytes each, made by whoever asks; ``tweak`` is what leads from the quorum's key
    to ``public_key``, zero if nothing does. ``chunk`` tells the parts of a long batch apart, which share all else but
    their digests, and may share those.
    """

    quorum: Quorum
    sid: SessionId
    chunk: int
    digests: tuple[bytes, ...]
    tweak: Scalar
    public_key: Point
    hash: bytes

    def identity_key(self, device: DeviceId) -> bytes:
        return next(seat.identity_key for seat in self.quorum.seats if seat.device == device)


def agree(
    quorum: Quorum, sid: SessionId, digests: Sequence[bytes], tweak: Scalar | None, chunk: int = 0
) -> Terms:
    """The terms of a session, as one of its signers sees them; ``UsageError`` for what cannot be signed."""
    for each in digests:
        if len(each) != DIGEST_SIZE:
            raise UsageError(f"ECDSA signs digests of {DIGEST_SIZE} bytes, not {len(each)}")
    public_key = tweaked(quorum.public_key, tweak)
    place: Field = [VERSION, quorum.vault, quorum.epoch, quorum.certificate]
    signers: Field = [
        [seat.identity_key, seat.weight, seat.indices.start, len(seat.indices)] for seat in quorum.seats
    ]
    return Terms(
        quorum=quorum,
        sid=sid,
        chunk=chunk,
        digests=tuple(digests),
        tweak=tweak or SECP256K1.scalar_of(0),
        public_key=public_key,
        hash=digest(Domain.ECDSA_TERMS, place, sid, chunk, signers, bytes(public_key), tuple(digests)),
    )


def tweaked(public_key: Point, tweak: Scalar | None) -> Point:
    """PK' = PK + τ·G."""
    if tweak is None:
        return public_key
    child = public_key + tweak * SECP256K1.generator
    if child.is_identity:
        raise UsageError("this derivation leads to no key: choose another path")
    return child


def share_of(terms: Terms, setups: Mapping[DeviceId, PairSetup]) -> SecretScalar:
    """sk_i = x_i^S + ζ_i, and the tweak at the first signer: additive shares of the key of ``terms``, which no two
    sessions have in common."""
    quorum = terms.quorum
    share = quorum.secret
    for peer, setup in setups.items():
        with _zero(terms, peer, setup) as zero:
            share = share + zero if peer < quorum.me else share - zero
    return share + terms.tweak if quorum.me == quorum.devices[0] else share + SECP256K1.scalar_of(0)


def _zero(terms: Terms, peer: DeviceId, setup: PairSetup) -> SecretScalar:
    """What the later of the two adds and the earlier subtracts."""
    pair: Field = [terms.identity_key(device) for device in sorted((terms.quorum.me, peer))]
    seed = setup.zero_seed.reveal()
    with SecretBytes.of(digest(Domain.ECDSA_ZERO, terms.hash, setup.id, pair, seed, size=48)) as wide:
        return SECP256K1.reduce_secret(wide)
