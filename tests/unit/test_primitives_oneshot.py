import copy
import pickle

import pytest

from quorate.errors import ConsumedError
from quorate.primitives.oneshot import OneShot


def test_a_one_shot_gives_its_value_once() -> None:
    shot = OneShot([1, 2], name="nonce 7")
    assert shot.take() == [1, 2]
    with pytest.raises(ConsumedError, match="nonce 7 was used already"):
        shot.take()


def test_a_burnt_one_shot_gives_nothing() -> None:
    shot = OneShot("k", name="nonce")
    shot.burn()
    assert shot.spent
    with pytest.raises(ConsumedError):
        shot.take()


def test_an_error_after_taking_does_not_put_the_value_back() -> None:
    shot = OneShot(0, name="nonce")
    with pytest.raises(ZeroDivisionError):
        _ = 1 // shot.take()
    with pytest.raises(ConsumedError):
        shot.take()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_one_shot_is_not_duplicated(duplicate: object) -> None:
    with pytest.raises(TypeError, match="neither copied nor stored"):
        duplicate(OneShot("k", name="nonce"))  # type: ignore[operator]


def test_a_one_shot_does_not_show_its_value() -> None:
    assert "31337" not in repr(OneShot(31337, name="nonce"))
