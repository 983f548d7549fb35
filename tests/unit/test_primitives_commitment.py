import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.primitives.commitment import commit, opens
from quorate.primitives.domains import Domain

BLINDER = bytes(range(32))


def test_a_commitment_opens_to_what_was_committed() -> None:
    made = commit(Domain.KEYGEN_COMMIT, b"sid", "alice", opening=[b"x", 3], blinder=BLINDER)
    assert opens(made, Domain.KEYGEN_COMMIT, b"sid", "alice", opening=[b"x", 3], blinder=BLINDER)


def test_a_commitment_opens_to_nothing_else() -> None:
    made = commit(Domain.KEYGEN_COMMIT, b"sid", "alice", opening=b"x", blinder=BLINDER)
    assert not opens(made, Domain.KEYGEN_COMMIT, b"sid", "alice", opening=b"y", blinder=BLINDER)
    assert not opens(made, Domain.KEYGEN_COMMIT, b"sid", "bob", opening=b"x", blinder=BLINDER)
    assert not opens(made, Domain.KEYGEN_COMMIT, b"sid", opening=b"x", blinder=BLINDER)
    assert not opens(made, Domain.KEYGEN_RID, b"sid", "alice", opening=b"x", blinder=BLINDER)
    assert not opens(made, Domain.KEYGEN_COMMIT, b"sid", "alice", opening=b"x", blinder=bytes(32))
    assert not opens(made[:-1], Domain.KEYGEN_COMMIT, b"sid", "alice", opening=b"x", blinder=BLINDER)


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_moving_bytes_between_context_and_opening_changes_the_commitment(
    a: list[bytes], b: list[bytes]
) -> None:
    first = commit(Domain.KEYGEN_COMMIT, *a, opening=b, blinder=BLINDER)
    assert first != commit(Domain.KEYGEN_COMMIT, *a, b"", opening=b, blinder=BLINDER)
    assert (first == commit(Domain.KEYGEN_COMMIT, *b, opening=a, blinder=BLINDER)) == (a == b)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_blinder_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        commit(Domain.KEYGEN_COMMIT, opening=b"x", blinder=bytes(size))
    assert not opens(bytes(32), Domain.KEYGEN_COMMIT, opening=b"x", blinder=bytes(size))
