"""kill -9 of each node at every store commit and at every message sent or received, then a restart.

A vault is never shown as ready by halves, the node comes back by itself, and the operation completes or fails with a
reason that names the node that fell silent. Of a pair set-up both sides have the same, and of a vault all the same
epoch, at the latest after one more reset or refresh. The default run takes one point of each, ``make crash`` one in
sixteen (its matrix cuts the power at every one), ``make kills`` all of them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from quorate.cli.cluster import Cluster
from tests.crash.harness import (
    CEREMONIES,
    PROPOSER,
    RESET_WITH,
    WEIGHTS,
    count_points,
    crash_at,
    crashing_cluster,
)

MATRIX = [
    (ceremony, victim)
    for ceremony in CEREMONIES
    for victim in WEIGHTS
    if ceremony != "resetting" or victim in (PROPOSER, RESET_WITH)
]


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with crashing_cluster(tmp_path) as nodes:
        yield nodes


@pytest.mark.parametrize(
    "stride", [pytest.param(16, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.kills)]
)
@pytest.mark.parametrize(("ceremony", "victim"), MATRIX)
async def test_a_kill_at_any_point_leaves_everything_sound(
    cluster: Cluster, ceremony: str, victim: str, stride: int
) -> None:
    request = CEREMONIES[ceremony]
    points = await count_points(cluster, victim, request)
    assert points
    crashes = [await crash_at(cluster, victim, number, request) for number in range(1, points + 1, stride)]
    assert any(crash.died_at for crash in crashes)
    assert not [str(crash) for crash in crashes if crash.complaints]


@pytest.mark.xdist_group("crash")
async def test_a_kill_in_the_middle_leaves_everything_sound(cluster: Cluster) -> None:
    for ceremony, victim in (
        ("keygen", "alice"),
        ("keygen", "bob"),
        ("signing", "alice"),
        ("signing", "bob"),
        ("multiplying", "bob"),
        ("resetting", "bob"),
        ("refreshing", "bob"),
    ):
        points = await count_points(cluster, victim, CEREMONIES[ceremony])
        crash = await crash_at(cluster, victim, points // 2, CEREMONIES[ceremony])
        assert not crash.complaints, str(crash)
