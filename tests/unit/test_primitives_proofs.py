from __future__ import annotations

import pytest

from quorate.curves import ED25519, SECP256K1, Group, SecretPolynomial
from quorate.errors import ConsumedError
from quorate.native.memory import SecretBytes
from quorate.primitives import feldman, schnorr
from quorate.primitives.drbg import Drbg

groups = pytest.mark.parametrize("group", [SECP256K1, ED25519], ids=lambda group: group.curve)


def seeded(label: str = "proofs") -> Drbg:
    return Drbg(SecretBytes.of(label.encode().ljust(32)))


@groups
def test_a_proof_convinces_of_its_own_statement_and_challenge_only(group: Group) -> None:
    rng = seeded()
    witness = group.random_secret(rng)
    statement = witness * group.generator
    move = schnorr.first_move(group, rng)
    e = schnorr.challenge(group, b"session", bytes(statement), bytes(move.point))
    z = schnorr.respond(move, e, witness)
    one = group.scalar_of(1)
    assert schnorr.verify(statement, move.point, e, z)
    assert not schnorr.verify(statement, move.point, e, z + one)
    assert not schnorr.verify(statement, move.point, e + one, z)
    assert not schnorr.verify(statement + group.generator, move.point, e, z)
    assert not schnorr.verify(statement, move.point + group.generator, e, z)


@groups
def test_a_first_move_answers_one_challenge(group: Group) -> None:
    rng = seeded()
    move, witness = schnorr.first_move(group, rng), group.random_secret(rng)
    schnorr.respond(move, group.scalar_of(1), witness)
    with pytest.raises(ConsumedError):
        schnorr.respond(move, group.scalar_of(2), witness)


@groups
def test_a_challenge_depends_on_every_field_of_its_context(group: Group) -> None:
    contexts = [(b"a", b"b"), (b"a", b"c"), (b"ab",), (b"a",), (b"a", "b"), ([b"a", b"b"],)]
    assert len({schnorr.challenge(group, *context) for context in contexts}) == len(contexts)


@groups
def test_power_sums_are_what_they_say(group: Group) -> None:
    weights = [group.scalar_of(w) for w in (3, group.order - 1, 0)]
    sums = feldman.power_sums(group, [1, 2, 1000], weights, 4)
    assert [int(s) for s in sums] == [(3 - 2**k) % group.order for k in range(4)]


@groups
def test_shares_fit_their_commitment_and_no_other(group: Group) -> None:
    rng, indices = seeded(), range(3, 8)
    f, other = (SecretPolynomial.random(group, 4, rng) for _ in range(2))
    blinders = feldman.blinders(group, len(indices), rng)
    sums = feldman.power_sums(group, indices, blinders, 4)
    assert feldman.fits(f.at(indices), f.commitment(), blinders, sums)
    assert not feldman.fits(f.at(range(4, 9)), f.commitment(), blinders, sums)
    assert not feldman.fits(other.at(indices), f.commitment(), blinders, sums)
    assert not feldman.fits(f.at(indices) + other.at(indices), f.commitment(), blinders, sums)


@groups
def test_coefficients_of_a_batch_check_are_fresh_and_wide(group: Group) -> None:
    rng = seeded()
    drawn = [int(b) for b in (*feldman.blinders(group, 20, rng), *feldman.blinders(group, 20, rng))]
    assert len(set(drawn)) == 40
    assert max(drawn) < 2**128
    assert max(drawn).bit_length() > 120
