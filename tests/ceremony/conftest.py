from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.ceremony.world import World
from tests.protocols.ideal import deal_setups


@pytest.fixture
def real_setups() -> None:
    """Asked for by a test whose vaults make their pair set-ups as the product does, a tenth of a second each."""


@pytest.fixture(autouse=True)
def _setups(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "real_setups" not in request.fixturenames:
        deal_setups(monkeypatch)


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Alice, bob and carol, running, each with the others' cards, no vault yet."""
    made = World(tmp_path, ("alice", "bob", "carol"))
    await made.start()
    yield made
    await made.stop()
