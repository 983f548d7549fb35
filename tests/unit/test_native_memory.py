"""Secret bytes: compared, copied, wiped and never shown."""

from __future__ import annotations

import copy
import gc
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.errors import Bug
from quorate.native import memory
from quorate.native._native import ffi
from quorate.native.memory import SecretBytes, concatenate

SECRET = b"correct horse battery staple"


def test_new_memory_is_zero() -> None:
    for size in (0, 1, 32, 64, 65, 5000):
        assert SecretBytes(size).reveal() == bytes(size)


def test_memory_used_before_comes_back_zero() -> None:
    for _ in range(2):
        dirty = [SecretBytes.of(b"\xff" * size) for size in (1, 32, 64, 65, 5000) for _ in range(20)]
        assert all(SecretBytes(len(secret)) == bytes(len(secret)) for secret in dirty)
        del dirty
        gc.collect()


@given(st.binary(max_size=300))
def test_a_copy_reveals_what_was_put_in(data: bytes) -> None:
    secret = SecretBytes.of(data)
    assert secret.reveal() == data
    assert len(secret) == len(data)
    assert SecretBytes.of(bytearray(data)) == SecretBytes.of(memoryview(data))


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_equality_is_that_of_the_bytes(a: bytes, b: bytes) -> None:
    assert (SecretBytes.of(a) == SecretBytes.of(b)) is (a == b)
    assert (SecretBytes.of(a) == b) is (a == b)
    assert SecretBytes.of(a) == a
    assert (SecretBytes.of(a) != b) is (a != b)


def test_a_secret_is_not_equal_to_other_things() -> None:
    assert SecretBytes.of(b"1") != "1"
    assert SecretBytes(0) != 0
    assert SecretBytes.of(b"1") != 1


def test_no_view_of_a_secret_shows_it() -> None:
    secret = SecretBytes.of(SECRET)
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "horse" not in text
        assert "redacted" in text


@pytest.mark.parametrize(
    "convert",
    [bytes, int, hash, bool, list, iter, pickle.dumps, copy.copy, copy.deepcopy, lambda s: s[0], hex],
)
def test_no_conversion_takes_a_secret(convert: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        convert(SecretBytes.of(SECRET))


def test_a_secret_is_out_of_use_before_it_is_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """C wipes without the interpreter's lock: a thread that uses the secret then must not get zeros for it."""
    secret, refused = SecretBytes.of(b"secret"), []

    class Library:
        def quorate_wipe(self, *_: object) -> None:
            with pytest.raises(Bug):
                secret.reveal()
            refused.append(True)

    monkeypatch.setattr(memory, "lib", Library())
    secret.wipe()
    assert refused


def test_a_wiped_secret_is_gone() -> None:
    secret = SecretBytes.of(SECRET)
    below = secret.pointer
    secret.wipe()
    assert bytes(ffi.buffer(below, len(SECRET))) == bytes(len(SECRET))
    secret.wipe()


@pytest.mark.parametrize(
    "use",
    [SecretBytes.reveal, lambda s: s == b"x" * len(s), lambda s: s.part(0, 1), lambda s: concatenate((s,))],
)
def test_using_a_wiped_secret_is_a_bug(use: Callable[[SecretBytes], object]) -> None:
    secret = SecretBytes.of(SECRET)
    secret.wipe()
    with pytest.raises(Bug):
        use(secret)


def test_leaving_a_with_block_wipes() -> None:
    with SecretBytes.of(SECRET) as secret:
        assert secret == SECRET
    with pytest.raises(Bug):
        secret.reveal()


def test_an_error_in_a_with_block_wipes_too() -> None:
    with pytest.raises(KeyError), SecretBytes.of(SECRET) as secret:
        raise KeyError
    with pytest.raises(Bug):
        secret.reveal()


@given(st.binary(min_size=1, max_size=200), st.data())
def test_parts_put_together_make_the_whole(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data)))
    whole = SecretBytes.of(data)
    assert whole.part(0, cut) == data[:cut]
    assert concatenate((whole.part(0, cut), whole.part(cut, len(data)))) == data


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 29), (3, 2), (29, 29)])
def test_a_part_stays_within_the_whole(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="not a range"):
        SecretBytes.of(SECRET).part(start, stop)


def test_a_part_is_a_copy() -> None:
    whole = SecretBytes.of(SECRET)
    part = whole.part(0, 7)
    whole.wipe()
    assert part == b"correct"


def test_a_size_is_not_negative() -> None:
    with pytest.raises(ValueError, match="negative"):
        SecretBytes(-1)


def test_memory_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(MemoryError):
        SecretBytes(2**63)


def test_the_systems_randomness_fills_all_of_it() -> None:
    drawn = [SecretBytes.random(1000) for _ in range(2)]
    assert drawn[0] != drawn[1]
    assert all(any(secret.reveal()[i : i + 50]) for secret in drawn for i in range(0, 1000, 50))


def test_threads_get_memory_of_their_own() -> None:
    def work(mark: int) -> bool:
        data = bytes([mark]) * 40
        for _ in range(300):
            held = [SecretBytes.of(data * (1 + i % 3)) for i in range(10)]
            if any(secret != data * (1 + i % 3) for i, secret in enumerate(held)):
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(1, 9)))
