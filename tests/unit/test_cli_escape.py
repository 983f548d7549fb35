"""What others wrote cannot command the terminal of who reads it, least of all of who decides."""

from __future__ import annotations

import json

import pytest
from rich.console import Console, RenderableType

from quorate.ceremony.views import AskedView
from quorate.cli.output import escape, plain
from quorate.cli.views import asked_text
from quorate.identifiers import OperationId

HOSTILE = ["\x1b[2J\x1b[Hdoes  pays alice", "\x9b2J", "\u202egnp.exe", "\x1b]0;title\x07", "a\rb", "\ud800"]


def shown(what: RenderableType) -> str:
    console = Console(width=400, soft_wrap=True)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


@pytest.mark.parametrize("text", HOSTILE)
def test_what_does_not_print_is_shown_and_not_obeyed(text: str) -> None:
    assert plain(text).isprintable()
    assert shown(escape(text)).rstrip("\n").isprintable()
    assert plain(f"{text}\nnext").count("\n") == 1
    assert "\n" not in escape("a value\nand a line of its own")


def test_what_prints_stays_as_it_is() -> None:
    assert plain("Zürich 東京 [bold] €5\nnext") == "Zürich 東京 [bold] €5\nnext"
    assert shown(escape("[bold]x[/]")) == "[bold]x[/]\n"


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_a_memo_cannot_show_an_approver_another_transaction(text: str) -> None:
    """A memo is its caller's, and who may ask for a signature may not rewrite what the approver reads above it."""
    details: dict[str, object] = {"chain": "eip155:1", "actions": [], "feeLimit": None, "memo": text}
    asked = AskedView(
        operation=OperationId("a" * 24),
        digest=bytes(32),
        request=json.dumps({"tDetails": details}),
        pending=True,
    )
    assert all(line.isprintable() for line in shown(asked_text(asked)).split("\n"))
