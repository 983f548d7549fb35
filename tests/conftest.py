"""What holds for every test."""

import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# The same examples on every run, however slow the machine.
settings.register_profile("quorate", deadline=None, derandomize=True)
settings.load_profile("quorate")


DEPTH = sys.getrecursionlimit()


@pytest.fixture(autouse=True)
def as_deep_as_a_node() -> None:
    """A library of the tests (py_ecc) sets a limit at which Python crashes before it refuses to go deeper."""
    sys.setrecursionlimit(DEPTH)


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """A command run in this process may direct the log to its stderr, which is closed when its test ends."""
    yield
    structlog.reset_defaults()
