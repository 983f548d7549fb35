from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.ceremony.world import World


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Alice, bob and carol, running, each with the others' cards, no vault yet."""
    made = World(tmp_path, ("alice", "bob", "carol"))
    await made.start()
    yield made
    await made.stop()
