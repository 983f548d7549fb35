"""The guide to changing signers: its commands, run in their order against running nodes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cluster.conftest import Command, Signers, new_vault
from tests.docs.readme_commands import blocks

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "resharing.md").read_text()
COMMANDS = [line for language, _, body in blocks(GUIDE) if language == "sh" for line in body.splitlines()]


async def test_the_commands_of_the_guide_do_what_it_says(
    signers: Signers, quorate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await new_vault(signers.cluster, "treasury")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUORATE_HOME", str(signers["alice"].home))
    epochs = []
    for line in COMMANDS:
        command, _, file = line.partition(" > ")
        program, *arguments = shlex.split(command)
        assert program == "quorate"
        said = await quorate(*arguments)
        assert said.code == 0, f"{line}: {said.err}"
        if file:
            Path(file).write_text(said.out)  # noqa: ASYNC240 - nothing else runs
        shown = await quorate("vault", "show", "treasury", "--json")
        epochs.append((shown.lines[0]["epoch"], shown.lines[0]["threshold"], shown.lines[0]["state"]))
    changes = [now for before, now in zip([(0, 3, "ready"), *epochs], epochs, strict=False) if now != before]
    assert changes == [(1, 4, "ready"), (2, 4, "ready"), (3, 4, "ready")]
