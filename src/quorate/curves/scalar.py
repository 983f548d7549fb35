"""Numbers modulo a group's order: public ones, secret ones, and many secret ones in one piece of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NoReturn, Self

from quorate.errors import Bug
from quorate.native import scalars
from quorate.native.memory import SecretBytes, concatenate

if TYPE_CHECKING:
    from quorate.curves.group import Group


class Scalar:
    """A public number modulo the group's order, from 0 up to it. ``bytes`` gives its 32 bytes in the group's
    order. Immutable. (Not a dataclass: the codec would write one field by field.)"""

    __slots__ = ("group", "value")

    group: Final[Group]
    value: Final[int]

    def __init__(self, group: Group, value: int) -> None:
        self.group = group
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scalar):
            return NotImplemented
        return self.group is other.group and self.value == other.value

    def __hash__(self) -> int:
        return hash((self.group.curve, self.value))

    def __repr__(self) -> str:
        return f"Scalar({self.group.curve}, {self.value})"

    def __add__(self, other: Scalar) -> Scalar:
        if not isinstance(other, Scalar):
            return NotImplemented
        require_one_group(self.group, other.group)
        return self.group.scalar_of(self.value + other.value)

    def __sub__(self, other: Scalar) -> Scalar:
        if not isinstance(other, Scalar):
            return NotImplemented
        require_one_group(self.group, other.group)
        return self.group.scalar_of(self.value - other.value)

    def __mul__(self, other: Scalar) -> Scalar:
        if not isinstance(other, Scalar):
            return NotImplemented
        require_one_group(self.group, other.group)
        return self.group.scalar_of(self.value * other.value)

    def __truediv__(self, other: Scalar) -> Scalar:
        """``ZeroDivisionError`` for zero."""
        if not isinstance(other, Scalar):
            return NotImplemented
        return self * other.inverse()

    def __neg__(self) -> Scalar:
        return self.group.scalar_of(-self.value)

    def inverse(self) -> Scalar:
        """``ZeroDivisionError`` for zero."""
        if self.value == 0:
            raise ZeroDivisionError("zero has no inverse")
        return self.group.scalar_of(pow(self.value, -1, self.group.order))

    def is_zero(self) -> bool:
        return self.value == 0

    def __int__(self) -> int:
        return self.value

    def __bytes__(self) -> bytes:
        return self.value.to_bytes(scalars.SIZE, self.group.byteorder)


class SecretScalar:
    """A secret number modulo the group's order, in memory that C owns; constant-time in all it does.

    What it makes with public numbers is secret. ``with`` wipes it at the end; else the last reference does.
    """

    __slots__ = ("_memory", "group")

    def __init__(self, group: Group, memory: SecretBytes) -> None:
        """``memory`` holds one canonical scalar and becomes this object's own; see
        ``Group.secret_scalar``."""
        self.group = group
        self._memory = memory

    @property
    def memory(self) -> SecretBytes:
        """For the other classes of ``curves``."""
        return self._memory

    def __add__(self, other: Scalar | SecretScalar) -> SecretScalar:
        if not isinstance(other, (Scalar, SecretScalar)):
            return NotImplemented
        return SecretScalar(self.group, scalars.add(self.group.curve, self._memory, _operand(self, other)))

    __radd__ = __add__

    def __sub__(self, other: Scalar | SecretScalar) -> SecretScalar:
        if not isinstance(other, (Scalar, SecretScalar)):
            return NotImplemented
        return SecretScalar(
            self.group, scalars.subtract(self.group.curve, self._memory, _operand(self, other))
        )

    def __rsub__(self, other: Scalar) -> SecretScalar:
        if not isinstance(other, Scalar):
            return NotImplemented
        return SecretScalar(
            self.group, scalars.subtract(self.group.curve, _operand(self, other), self._memory)
        )

    def __mul__(self, other: Scalar | SecretScalar) -> SecretScalar:
        if not isinstance(other, (Scalar, SecretScalar)):
            return NotImplemented
        return SecretScalar(
            self.group, scalars.multiply(self.group.curve, self._memory, _operand(self, other))
        )

    __rmul__ = __mul__

    def __neg__(self) -> SecretScalar:
        return self.group.scalar_of(0) - self

    def inverse(self) -> SecretScalar:
        """``ZeroDivisionError`` for zero."""
        if self.is_zero():
            raise ZeroDivisionError("zero has no inverse")
        return SecretScalar(self.group, scalars.invert(self.group.curve, self._memory))

    def is_zero(self) -> bool:
        return scalars.is_zero(self._memory)

    def reveal(self) -> bytes:
        """The 32 bytes, for private messages and sealing only."""
        return self._memory.reveal()

    def publish(self) -> Scalar:
        """This number as a public one: for what a protocol computes in secret and then sends to everyone."""
        return self.group.scalar(self._memory.reveal())

    def wipe(self) -> None:
        self._memory.wipe()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SecretScalar):
            return self.group is other.group and self._memory == other._memory
        if isinstance(other, Scalar):
            return self.group is other.group and self._memory == bytes(other)
        return NotImplemented

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return f"SecretScalar({self.group.curve}, redacted)"

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a secret scalar has no such conversion; see SecretScalar.reveal and publish")

    __bool__ = __bytes__ = __int__ = __index__ = __hash__ = _refuse
    __reduce_ex__ = __copy__ = __deepcopy__ = _refuse


class SecretVector:
    """Secret scalars side by side in one piece of memory, for work on all of them in one call."""

    __slots__ = ("_memory", "group")

    def __init__(self, group: Group, memory: SecretBytes) -> None:
        """``memory`` holds canonical scalars and becomes this object's own; see ``Group.secret_vector``."""
        scalars.count(memory)
        self.group = group
        self._memory = memory

    @property
    def memory(self) -> SecretBytes:
        """For the other classes of ``curves``."""
        return self._memory

    def __len__(self) -> int:
        return scalars.count(self._memory)

    @classmethod
    def of(cls, elements: Sequence[SecretScalar]) -> SecretVector:
        """Copies of at least one."""
        group = elements[0].group
        require_one_group(group, *[element.group for element in elements])
        return cls(group, concatenate([element.memory for element in elements]))

    def __getitem__(self, position: int) -> SecretScalar:
        """A copy of one, counted from 0."""
        if not 0 <= position < len(self):
            raise IndexError(f"no scalar {position} among {len(self)}")
        start = scalars.SIZE * position
        return SecretScalar(self.group, self._memory.part(start, start + scalars.SIZE))

    def __iter__(self) -> Iterator[SecretScalar]:
        return (self[position] for position in range(len(self)))

    def __add__(self, other: SecretVector) -> SecretVector:
        """Element by element; both of one length."""
        if not isinstance(other, SecretVector):
            return NotImplemented
        require_one_group(self.group, other.group)
        return SecretVector(self.group, scalars.add(self.group.curve, self._memory, other._memory))

    def __sub__(self, other: SecretVector) -> SecretVector:
        """Element by element; both of one length."""
        if not isinstance(other, SecretVector):
            return NotImplemented
        require_one_group(self.group, other.group)
        return SecretVector(self.group, scalars.subtract(self.group.curve, self._memory, other._memory))

    def __mul__(self, other: SecretVector) -> SecretVector:
        """Element by element; both of one length."""
        if not isinstance(other, SecretVector):
            return NotImplemented
        require_one_group(self.group, other.group)
        return SecretVector(self.group, scalars.multiply(self.group.curve, self._memory, other._memory))

    def inner(self, weights: Sequence[Scalar]) -> SecretScalar:
        """The sum of the elements, each times its public weight."""
        require_one_group(self.group, *[weight.group for weight in weights])
        joined = b"".join(map(bytes, weights))
        return SecretScalar(self.group, scalars.inner(self.group.curve, self._memory, joined))

    def reveal(self) -> bytes:
        """32 bytes each, for private messages and sealing only."""
        return self._memory.reveal()

    def secret(self) -> SecretBytes:
        """A copy of the memory, 32 bytes each, for sealing."""
        return self._memory.part(0, len(self._memory))

    def wipe(self) -> None:
        self._memory.wipe()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretVector):
            return NotImplemented
        return self.group is other.group and self._memory == other._memory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return f"SecretVector({self.group.curve}, {len(self)}, redacted)"

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a secret vector has no such conversion; see SecretVector.reveal")

    __bytes__ = __hash__ = _refuse
    __reduce_ex__ = __copy__ = __deepcopy__ = _refuse


def _operand(first: SecretScalar, other: Scalar | SecretScalar) -> scalars.Operand:
    require_one_group(first.group, other.group)
    return bytes(other) if isinstance(other, Scalar) else other.memory


def require_one_group(group: Group, *others: Group) -> None:
    """Values of two groups never meet but by a mistake of ours."""
    for other in others:
        if other is not group:
            raise Bug(f"a value of {group.curve} met one of another group")
