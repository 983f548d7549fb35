"""What ``--help`` says is what was written: Rich takes words in brackets for markup, and shows nothing of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import typer
from typer.core import TyperCommand, TyperGroup
from typer.testing import CliRunner

from quorate.cli.main import program

BRACKETS = re.compile(r"\[[^\]]*\]")


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        elif isinstance(command, TyperCommand):
            yield (*path, name), command


def test_help_shows_what_is_written_in_brackets() -> None:
    app = program([])
    seen = 0
    for path, command in commands(typer.main.get_group(app)):
        shown = CliRunner(env={"COLUMNS": "400"}).invoke(app, [*path, "--help"])
        assert shown.exit_code == 0, path
        said = " ".join(shown.stdout.split())
        for text in (command.help, *(getattr(each, "help", None) for each in command.params)):
            for words in BRACKETS.findall((text or "").replace("\\[", "[")):
                assert " ".join(words.split()) in said, (path, words)
                seen += 1
    assert seen > 20
