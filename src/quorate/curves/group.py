"""Groups of prime order and their points, as algebra: ``k * G + e * P``.

Multiplying by a ``SecretScalar`` takes the same time for every scalar; by a ``Scalar`` it may not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from quorate.curves.scalar import Scalar, SecretScalar, SecretVector, require_one_group
from quorate.errors import Bug, EncodingError
from quorate.identifiers import Curve
from quorate.native import groups, scalars
from quorate.native.memory import SecretBytes


class Randomness(Protocol):
    """Where random bytes come from: the system, or a seeded stand-in."""

    def secret(self, size: int) -> SecretBytes: ...

    def public(self, size: int) -> bytes: ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Group:
    """A group of prime order. There is one object per curve, so ``is`` compares groups."""

    curve: Curve
    order: int
    point_size: int
    byteorder: Literal["big", "little"]
    generator: Point = field(init=False, repr=False)
    identity: Point = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "generator", Point(self, groups.generator(self.curve)))
        object.__setattr__(self, "identity", Point(self, groups.identity(self.curve)))

    # --- decoding, strict: one encoding per value, and EncodingError for all else

    def point(self, data: bytes) -> Point:
        """The point of prime order, other than the identity, that ``data`` (``point_size`` bytes) encodes."""
        point = groups.decode(self.curve, data)
        if point is None:
            raise EncodingError(f"{len(data)} bytes are not the encoding of a point of {self.curve}")
        return Point(self, point, data)

    def scalar(self, data: bytes) -> Scalar:
        """32 bytes of a number less than the order."""
        value = int.from_bytes(data, self.byteorder)
        if len(data) != scalars.SIZE or value >= self.order:
            raise EncodingError(f"{len(data)} bytes are not a canonical scalar of {self.curve}")
        return Scalar(self, value)

    def secret_scalar(self, data: bytes | SecretBytes) -> SecretScalar:
        """32 bytes of a secret number less than the order. Copied: the caller's remain the caller's to
        wipe."""
        if len(data) != scalars.SIZE:
            raise EncodingError(f"{len(data)} bytes are not a canonical scalar of {self.curve}")
        return SecretScalar(self, self._canonical(data))

    def secret_vector(self, data: bytes | SecretBytes) -> SecretVector:
        """32 bytes for each secret number less than the order. Copied as by ``secret_scalar``."""
        return SecretVector(self, self._canonical(data))

    def _canonical(self, data: bytes | SecretBytes) -> SecretBytes:
        memory = SecretBytes.of(data) if isinstance(data, bytes) else data.part(0, len(data))
        if len(memory) % scalars.SIZE or not scalars.are_canonical(self.curve, memory):
            raise EncodingError(f"these {len(data)} bytes are not canonical scalars of {self.curve}")
        return memory

    # --- numbers into scalars

    def scalar_of(self, value: int) -> Scalar:
        """Any integer, modulo the order."""
        return Scalar(self, value % self.order)

    def reduce(self, wide: bytes) -> Scalar:
        """The number these bytes (any length) are in the group's byte order, modulo the order."""
        return self.scalar_of(int.from_bytes(wide, self.byteorder))

    def reduce_secret(self, wide: SecretBytes) -> SecretScalar:
        """As ``reduce``, in constant time, for at most 64 bytes."""
        return SecretScalar(self, scalars.reduce(self.curve, wide, len(wide)))

    def random_secret(self, rng: Randomness) -> SecretScalar:
        """Uniform (within 2^-250) among the nonzero scalars."""
        while True:
            with rng.secret(64) as wide:
                scalar = self.reduce_secret(wide)
            if not scalar.is_zero():
                return scalar

    def random_secrets(self, rng: Randomness, count: int) -> SecretVector:
        """As many independent ones, drawn at once."""
        while True:
            with rng.secret(64 * count) as wide:
                vector = SecretVector(self, scalars.reduce(self.curve, wide, 64))
            if not scalars.have_zero(vector.memory):
                return vector

    # --- many points in one call

    def sum(self, points: Sequence[Point]) -> Point:
        """The sum of any number of points; the identity for none."""
        require_one_group(self, *[point.group for point in points])
        return Point(self, groups.add(self.curve, [point.data for point in points]))

    def combination(self, weights: Sequence[Scalar], points: Sequence[Point]) -> Point:
        """The sum of each point times its public weight. Time depends on the weights."""
        require_one_group(self, *[weight.group for weight in weights], *[point.group for point in points])
        joined = b"".join(map(bytes, weights))
        return Point(self, groups.combine_var(self.curve, joined, [point.data for point in points]))

    def commit(self, secrets: SecretVector) -> tuple[Point, ...]:
        """Each secret times the generator."""
        require_one_group(self, secrets.group)
        return tuple(Point(self, point) for point in groups.base(self.curve, secrets.memory))


class Point:
    """A point of a group of prime order. ``data`` is for ``curves`` alone; ``bytes`` gives the encoding,
    which the identity has none of (``Bug``), made when first asked for. Immutable. (Not a dataclass: the codec
    would write one field by field.)"""

    __slots__ = ("_encoded", "data", "group")

    group: Final[Group]
    data: Final[bytes]

    def __init__(self, group: Group, data: bytes, encoded: bytes | None = None) -> None:
        self.group = group
        self.data = data
        self._encoded = encoded

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Point):
            return NotImplemented
        return self.group is other.group and self.data == other.data

    def __hash__(self) -> int:
        return hash((self.group.curve, self.data))

    @property
    def is_identity(self) -> bool:
        return self.data == self.group.identity.data

    def __bytes__(self) -> bytes:
        if self._encoded is None:
            if self.is_identity:
                raise Bug("the identity has no encoding")
            self._encoded = groups.encode(self.group.curve, self.data)
        return self._encoded

    def __add__(self, other: Point) -> Point:
        if not isinstance(other, Point):
            return NotImplemented
        return self.group.sum((self, other))

    def __neg__(self) -> Point:
        return Point(self.group, groups.negate(self.group.curve, self.data))

    def __sub__(self, other: Point) -> Point:
        if not isinstance(other, Point):
            return NotImplemented
        return self + -other

    def __rmul__(self, scalar: Scalar | SecretScalar) -> Point:
        if isinstance(scalar, Scalar):
            return self.group.combination((scalar,), (self,))
        if isinstance(scalar, SecretScalar):
            require_one_group(self.group, scalar.group)
            return Point(self.group, groups.multiply(self.group.curve, scalar.memory, self.data))
        return NotImplemented

    def __repr__(self) -> str:
        return f"Point({self.group.curve}, {'identity' if self.is_identity else bytes(self).hex()})"
