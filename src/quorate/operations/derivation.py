"""Keys below a vault's own: paths, child keys, and extended public keys in the form wallets read.

docs/spec/operations.md, sections OP-1 and OP-2. BIP-32's public derivation on secp256k1, and the same construction on
Ed25519. All of it is public: whoever knows a key and its chain code knows every key below it.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from functools import lru_cache

import base58

from quorate.curves import Group, Point, Scalar, group_of
from quorate.errors import UsageError
from quorate.identifiers import Curve
from quorate.operations.digests import hash160

MAX_DEPTH = 255
HARDENED = 2**31

_INDEX = re.compile(r"0|[1-9][0-9]*")
_MARKED = re.compile(r"[0-9]+['hH]")
_VERSION = bytes.fromhex("0488b21e")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedKey:
    """A public key, the chain code that its children come from, and how it lies below the root.

    The key is the root's plus ``tweak``·G: the sum of every step's δ, zero at the root. ``parent`` is the parent's
    fingerprint, 4 bytes, and ``number`` which child of its parent it is: both zero at the root.
    """

    curve: Curve
    point: Point
    chain_code: bytes
    tweak: Scalar
    depth: int = 0
    parent: bytes = bytes(4)
    number: int = 0

    @property
    def public_key(self) -> bytes:
        """33 compressed bytes on secp256k1, 32 on Ed25519."""
        return bytes(self.point)

    @property
    def xpub(self) -> str:
        """BIP-32's serialisation. On Ed25519, which BIP-32 knows nothing of, each key stands as a root of its own."""
        if self.curve is Curve.ED25519:
            return xpub(self.curve, self.public_key, self.chain_code)
        place = bytes([self.depth]) + self.parent + self.number.to_bytes(4, "big")
        return xpub(self.curve, self.public_key, self.chain_code, place)


@lru_cache(maxsize=1024)
def derive(curve: Curve, public_key: bytes, chain_code: bytes, path: str = "") -> ExtendedKey:
    """The key that ``path`` leads to from this one. ``UsageError`` for a path that is none or leads to no key."""
    group = group_of(curve)
    key = ExtendedKey(
        curve=curve, point=group.point(public_key), chain_code=chain_code, tweak=group.scalar_of(0)
    )
    for index in parse_path(path):
        key = child(key, index)
    return key


def child(parent: ExtendedKey, index: int) -> ExtendedKey:
    """One step, to an index below 2^31. ``UsageError`` for the rare child that is no key."""
    group = group_of(parent.curve)
    expanded = expand(parent.chain_code, parent.public_key, index)
    delta = _delta(group, expanded[:32], index)
    point = parent.point + delta * group.generator
    if point.is_identity:
        raise UsageError(f"OP-2.3 identity: child {index} is no key; choose another", code="NO_SUCH_KEY")
    return ExtendedKey(
        curve=parent.curve, point=point, chain_code=expanded[32:], tweak=parent.tweak + delta,
        depth=parent.depth + 1, parent=hash160(parent.public_key)[:4], number=index,
    )  # fmt: skip


def parse_path(path: str) -> tuple[int, ...]:
    """The child numbers from the root down: ``m/0/5`` or ``M/0/5`` is (0, 5); ``m``, ``M`` and nothing are the root.

    ``UsageError`` for any other text, for hardened steps, and for more than 255.
    """
    if not path:
        return ()
    root, *steps = path.split("/")
    if root not in ("m", "M"):
        raise _not_a_path(path)
    if len(steps) > MAX_DEPTH:
        raise UsageError(
            f"OP-1.3 depth: a derivation path of {len(steps)} steps; at most {MAX_DEPTH}",
            code="DERIVATION_TOO_DEEP",
        )
    return tuple(_index(path, step) for step in steps)


def xpub(curve: Curve, public_key: bytes, chain_code: bytes, place: bytes = bytes(1 + 4 + 4)) -> str:
    """A key (33 compressed bytes on secp256k1; 32 on Ed25519, which a zero byte leads) in base58 with a checksum.

    ``place`` is depth, parent fingerprint and child number: all zero at the root. ``ValueError`` for a key or a chain
    code (32 bytes) of another length.
    """
    size = 33 if curve is Curve.SECP256K1 else 32
    if len(public_key) != size or len(chain_code) != 32:
        raise ValueError(f"{curve}: {len(public_key)} bytes of key and {len(chain_code)} of chain code")
    return base58.b58encode_check(_VERSION + place + chain_code + public_key.rjust(33, b"\0")).decode()


def read_xpub(curve: Curve, text: str) -> tuple[bytes, bytes]:
    """Key and chain code of what ``xpub`` made; ``ValueError`` for anything else."""
    read = base58.b58decode_check(text)
    key = read[45:] if curve is Curve.SECP256K1 else read[46:]
    if len(read) != 78 or xpub(curve, key, read[13:45], read[4:13]) != text:
        raise ValueError(f"no extended public key on {curve}")
    return key, read[13:45]


def expand(chain_code: bytes, public_key: bytes, index: int) -> bytes:
    """I of BIP-32: 64 bytes of HMAC-SHA512 over the key and the child's number."""
    return hmac.digest(chain_code, public_key + index.to_bytes(4, "big"), "sha512")


def _delta(group: Group, left: bytes, index: int) -> Scalar:
    """I_L as a scalar: as it is on secp256k1, where BIP-32 has no reduction, and modulo the order on Ed25519."""
    if group.curve is Curve.SECP256K1 and int.from_bytes(left, "big") >= group.order:
        raise UsageError(f"OP-2.1 range: child {index} is no key; choose another", code="NO_SUCH_KEY")
    delta = group.reduce(left)
    if delta.is_zero():
        raise UsageError(f"OP-2.2 zero: child {index} is its parent; choose another", code="NO_SUCH_KEY")
    return delta


def _index(path: str, step: str) -> int:
    if _INDEX.fullmatch(step) is None and _MARKED.fullmatch(step) is None:
        raise _not_a_path(path)
    # Nothing longer than the largest index is a number worth reading.
    if _MARKED.fullmatch(step) or len(step) > 10 or int(step) >= HARDENED:
        raise UsageError(
            f"OP-1.2 hardened: step {step[:20]} of a derivation path needs the private key, which is nowhere; "
            f"use indices below {HARDENED}",
            code="HARDENED_DERIVATION",
        )
    return int(step)


def _not_a_path(path: str) -> UsageError:
    return UsageError(
        f"OP-1.1 path: {path[:100]!r} is no derivation path; one looks like m/0/5", code="INVALID_DERIVATION"
    )
