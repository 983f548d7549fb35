from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

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
