from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.rpc.fake_node import Served
from tests.rpc.loopback import LoopbackNode, introduce


@pytest.fixture
async def pair() -> AsyncIterator[tuple[LoopbackNode, LoopbackNode]]:
    """Two nodes that know each other, with both links up."""
    nodes = LoopbackNode("a"), LoopbackNode("b")
    for node in nodes:
        await node.start()
    await introduce(nodes)
    yield nodes
    for node in nodes:
        await node.stop()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A node's client side over a fake node."""
    # The path of a Unix socket is short, and pytest's own directories are not.
    with tempfile.TemporaryDirectory(prefix="q") as home:
        node = Served(Path(home))
        await node.start()
        yield node
        await node.stop()
