import hashlib
import pickle
from collections import Counter

import pytest

from quorate.errors import Bug
from quorate.native.memory import SecretBytes
from quorate.primitives.drbg import Drbg, hedged
from quorate.primitives.transcript import Field


def seeded(byte: int = 7) -> Drbg:
    return Drbg(SecretBytes.of(bytes([byte]) * 32))


def test_the_same_seed_and_requests_give_the_same_bytes() -> None:
    first, second = seeded(), seeded()
    assert [first.public(n) for n in (1, 64, 200)] == [second.public(n) for n in (1, 64, 200)]
    assert first.secret(32) == second.secret(32)


def test_another_seed_gives_other_bytes() -> None:
    assert seeded(1).public(32) != seeded(2).public(32)


def test_output_never_repeats_across_requests_purposes_and_forks() -> None:
    rng = seeded()
    outputs = [rng.public(32), rng.public(32), rng.secret(32).reveal(), seeded().secret(32).reveal()]
    outputs += [rng.fork("a").public(32), rng.fork("b").public(32)]
    assert len(set(outputs)) == len(outputs)


def test_a_long_output_has_no_repeated_block() -> None:
    output = seeded().public(64 * 50)
    assert len({output[n : n + 64] for n in range(0, len(output), 64)}) == 50


def test_a_short_output_is_not_a_prefix_of_what_follows() -> None:
    rng = seeded()
    assert rng.public(16) + rng.public(16) != seeded().public(32)


def test_a_fork_does_not_depend_on_what_was_drawn_before() -> None:
    rng = seeded()
    rng.public(100)
    assert rng.fork("nonces").public(32) == seeded().fork("nonces").public(32)


def test_a_label_forks_once() -> None:
    rng = seeded()
    rng.fork("nonces")
    with pytest.raises(Bug, match="repeat"):
        rng.fork("nonces")


def test_numbers_below_a_bound_cover_it() -> None:
    rng = seeded()
    drawn = Counter(rng.below(6) for _ in range(600))
    assert set(drawn) == set(range(6))
    assert all(50 < count < 150 for count in drawn.values())


def written(purpose: bytes, request: bytes, block: int) -> bytes:
    """What is hashed, by hand, so that replays of recorded seeds stay valid."""
    fields = b"l" + (4).to_bytes(8, "big")
    for text in (b"quorate/v1/drbg", purpose):
        fields += b"s" + len(text).to_bytes(8, "big") + text
    size = (block.bit_length() + 7) // 8
    return fields + request + b"i" + size.to_bytes(8, "big") + block.to_bytes(size, "big")


def test_the_construction_is_keyed_blake2b_over_a_transcript() -> None:
    key, first = bytes([7]) * 32, b"i" + (1).to_bytes(8, "big") + b"\x01"
    for purpose in (b"public", b"secret"):
        blocks = b"".join(hashlib.blake2b(written(purpose, first, n), key=key).digest() for n in range(300))
        for size in (0, 1, 63, 64, 65, 64 * 300 - 1, 64 * 300):
            drawn = seeded().public(size) if purpose == b"public" else seeded().secret(size).reveal()
            assert drawn == blocks[:size]
    label = b"s" + (6).to_bytes(8, "big") + b"nonces"
    forked = hashlib.blake2b(written(b"fork", label, 0), key=key).digest()
    assert seeded().fork("nonces").public(64) == Drbg(SecretBytes.of(forked)).public(64)


@pytest.mark.parametrize("size", [0, 15, 65])
def test_a_seed_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="16 to 64 bytes"):
        Drbg(SecretBytes(size))


def test_a_generator_is_neither_stored_nor_shown() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(seeded())
    assert repr(seeded()) == "<Drbg>"


def test_hedged_randomness_repeats_only_where_both_the_randomness_and_the_context_do() -> None:
    def first(seed: int, *context: Field) -> bytes:
        return hedged(Drbg(SecretBytes.of(bytes([seed] * 32))), *context).public(32)

    assert first(1, b"session", 2) == first(1, b"session", 2)
    outputs = [
        first(1, b"session", 2),
        first(2, b"session", 2),
        first(1, b"session", 3),
        first(1, b"session"),
    ]
    assert len(set(outputs)) == len(outputs)
