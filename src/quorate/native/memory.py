"""Secret bytes in memory that C owns: out of swap and core dumps where the system allows, wiped on release.

What Python cannot promise stands in docs/threat-model.md: a ``bytes`` that a secret was copied from, or
revealed into, is the garbage collector's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Self

from quorate.errors import Bug
from quorate.native._native import ffi, lib


class SecretBytes:
    """A fixed number of secret bytes, zero at first.

    ``==`` compares with another one, or with ``bytes``, in constant time. Nothing reads it but ``reveal`` and
    the functions of ``native``. Using it after ``wipe`` is a ``Bug``.
    """

    __slots__ = ("_memory", "_size", "_wiped")

    def __init__(self, size: int) -> None:
        if size < 0:
            raise ValueError("a size is not negative")
        memory = lib.quorate_secret_new(size)
        if memory == ffi.NULL:
            raise MemoryError(f"no memory for {size} secret bytes")
        self._memory = ffi.gc(memory, lib.quorate_secret_free)
        self._size = size
        self._wiped = False

    @classmethod
    def of(cls, data: bytes | bytearray | memoryview) -> Self:
        """A copy of ``data``."""
        secret = cls(len(data))
        ffi.memmove(secret._memory, data, len(data))
        return secret

    @classmethod
    def random(cls, size: int) -> Self:
        """From the operating system, without a detour through Python's memory."""
        secret = cls(size)
        if not lib.quorate_random(secret._memory, size):
            raise OSError("the operating system gave no randomness")
        return secret

    @property
    def pointer(self) -> Any:
        """The address, for calls into C. Only ``native`` uses it."""
        if self._wiped:
            raise Bug("a secret was used after it was wiped")
        return self._memory

    def reveal(self) -> bytes:
        """A copy in ordinary memory: for private messages and for sealing, where the secret must leave."""
        return bytes(ffi.buffer(self.pointer, self._size))

    def part(self, start: int, stop: int) -> SecretBytes:
        """A copy of the bytes from ``start`` up to ``stop``."""
        if not 0 <= start <= stop <= self._size:
            raise ValueError(f"{start}..{stop} is not a range within {self._size} bytes")
        secret = SecretBytes(stop - start)
        ffi.memmove(secret._memory, ffi.cast("uint8_t *", self.pointer) + start, stop - start)
        return secret

    def wipe(self) -> None:
        """Zero it now. The memory itself goes back when the last reference does."""
        self._wiped = True  # first: another thread must not take the zeros for the secret
        lib.quorate_wipe(self._memory, self._size)

    def __len__(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SecretBytes):
            return self._size == other._size and bool(
                lib.quorate_equal(self.pointer, other.pointer, self._size)
            )
        if isinstance(other, bytes):
            return self._size == len(other) and bool(lib.quorate_equal(self.pointer, other, self._size))
        return NotImplemented

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return f"SecretBytes({self._size}, redacted)"

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("a secret has no such conversion; see SecretBytes.reveal")

    __bool__ = __bytes__ = __int__ = __index__ = __hash__ = __iter__ = __getitem__ = _refuse
    __reduce_ex__ = __copy__ = __deepcopy__ = _refuse


def concatenate(parts: Sequence[SecretBytes]) -> SecretBytes:
    """One secret of all the parts, in order."""
    whole = SecretBytes(sum(map(len, parts)))
    position = ffi.cast("uint8_t *", whole.pointer)
    for part in parts:
        ffi.memmove(position, part.pointer, len(part))
        position += len(part)
    return whole


def is_locked() -> bool:
    """Whether the system has agreed, so far, to keep all secret memory out of swap."""
    return bool(lib.quorate_memory_is_locked())


def keep_heap() -> None:
    """Have the process keep up to 16 MiB of heap it has freed, where its allocator can be asked to: a signature's
    messages of 50 KB would else give pages back and fault them in again."""
    lib.quorate_keep_heap()
