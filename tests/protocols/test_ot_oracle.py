"""The oracle of oblivious transfer against what others say, and against itself: c + d = a·b."""

from __future__ import annotations

import random

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from tests.oracle import chacha, ellswift, ot

CONTEXT = bytes(range(32))


def test_elligator_swift_decodes_as_bip_324_says() -> None:
    assert f"{ellswift.x_of(0, 0):x}" == "edd1fd3e327ce90cc7a3542614289aee9682003e9cf7dcc9cf2ca9743be5aa0c"
    x, y = ellswift.decode(bytes(64))
    assert (y * y - x**3 - 7) % ellswift.P == 0
    assert y % 2 == 0


def test_the_key_stream_is_that_of_another_library() -> None:
    dice = random.Random(1)
    key, nonce = dice.randbytes(32), dice.randbytes(8)
    for start in (0, dice.getrandbits(48) << 16, 2**64 - 2**16):
        place = start.to_bytes(8, "little") + nonce
        theirs = Cipher(algorithms.ChaCha20(key, place), None).encryptor().update(bytes(144))
        assert chacha.chacha20(key, 144, nonce, start) == theirs
    assert chacha.chacha20(key, 144) == chacha.chacha20(key, 144, bytes(8), 0)


def test_a_base_transfer_gives_one_of_two_keys() -> None:
    dice = random.Random(2)
    for j, choice in ((0, 0), (255, 1)):
        t, s = dice.randrange(1, ot.Q), (dice.randrange(1, ot.Q), dice.randrange(1, ot.Q))
        r = ot.base_choose(CONTEXT, j, choice, t, dice.randbytes(128))
        answer, keys = ot.base_answer(CONTEXT, j, r, s)
        assert ot.base_finish(CONTEXT, j, choice, t, answer) == keys[choice] != keys[1 - choice]


def test_trees_miss_one_leaf_and_a_multiplication_adds_up() -> None:
    dice = random.Random(3)
    bits = [dice.randrange(2) for _ in range(ot.BASE_OTS)]
    keys = [(dice.randbytes(32), dice.randbytes(32)) for _ in bits]
    forest, message = ot.expand(CONTEXT, keys)
    mine = [pair[bit] for pair, bit in zip(keys, bits, strict=True)]
    seen = ot.puncture(CONTEXT, bits, mine, message)
    assert seen is not None
    punctured, missing = seen
    for full, known, star in zip(forest, punctured, missing, strict=True):
        assert [y for y in range(ot.LEAVES) if full[y] != known[y]] == [star]

    choice, g = dice.randbytes(64), ot.gadgets(CONTEXT)
    m1, v = ot.extend(CONTEXT, forest, dice.randbytes(32), choice, dice.randbytes(16))
    a = (dice.randrange(ot.Q), dice.randrange(ot.Q))
    answered = ot.respond(CONTEXT, g, punctured, missing, m1, [a], dice.randbytes(32), [dice.randrange(ot.Q)])
    assert answered is not None
    m2, ((c1, c2),) = answered
    received = ot.finish(CONTEXT, g, choice, v, m1, m2)
    assert received is not None
    ((d1, d2),) = received
    b = ot.product(g, choice, 0)
    assert [(c1 + d1) % ot.Q, (c2 + d2) % ot.Q] == [a[0] * b % ot.Q, a[1] * b % ot.Q]
