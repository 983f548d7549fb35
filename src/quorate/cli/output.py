"""What a command prints: people get rich text, programs one JSON object per line. Progress goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich import markup
from rich.console import Console, RenderableType

from quorate.errors import Aborted, Denied, QuorateError, UsageError
from quorate.reasons import REASONS

WIDTH = 400
SELF_EVIDENT = frozenset(
    {"INVALID_REQUEST", "PEER_ERROR", "REMOTE_ERROR"}
)  # the message says what there is to say


def plain(text: str) -> str:
    """Text that others wrote, for a person's terminal: what does not print, and so could command it or turn around what
    is read, shows as Python writes it. Line ends stay."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode()
        for each in text
    )


def escape(text: str) -> str:
    """A value within a line of Rich's markup: ``plain``, and neither markup nor a line of its own."""
    return markup.escape(plain(text).replace("\n", "\\n"))


class Output:
    """``json`` picks the form. Tables and results go to stdout, everything else to stderr."""

    def __init__(self, *, json: bool) -> None:
        self.json = json
        # Wide: a key or an id that is cut off at the edge of a terminal is of no use.
        self.out = Console(highlight=False, soft_wrap=True, width=WIDTH)
        self.err = Console(stderr=True, highlight=False, soft_wrap=True)

    def show(self, record: Mapping[str, Any], human: RenderableType) -> None:
        """A result: ``record`` for programs, ``human`` for people."""
        if self.json:
            self.line(record)
        else:
            self.out.print(human)

    def line(self, record: Mapping[str, Any]) -> None:
        sys.stdout.write(json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def note(self, text: RenderableType) -> None:
        if not self.json:
            self.err.print(text)

    @contextmanager
    def progress(self, text: str) -> Iterator[Callable[[str], None]]:
        """A spinner while something slow runs, on a terminal only. Yields what changes its text."""
        if self.json or not self.err.is_terminal:
            yield lambda _: None
            return
        with self.err.status(text) as status:
            yield status.update

    @staticmethod
    def code_of(error: QuorateError) -> str:
        """The stable reason, which some errors narrow."""
        return str(getattr(error, "code", error.reason))

    def fail(self, error: QuorateError) -> None:
        """One clear line: what, who, what to do."""
        code = self.code_of(error)
        remedy = REASONS[code].remedy if code in REASONS and code not in SELF_EVIDENT else ""
        if self.json:
            fields: dict[str, Any] = {"error": code, "message": str(error)}
            if remedy:
                fields["remedy"] = remedy
            if peer := getattr(error, "peer", None):
                fields["peer"] = peer
            if isinstance(error, Aborted) and error.culprits:
                fields["culprits"] = sorted(error.culprits)
            if isinstance(error, Denied):
                fields |= {"approver": error.approver, "rule": error.rule}
            sys.stderr.write(json.dumps(fields, ensure_ascii=False) + "\n")
            return
        kind = (
            "usage" if isinstance(error, UsageError) else "denied" if isinstance(error, Denied) else "error"
        )
        self.err.print(f"[bold red]{kind}:[/] ", end="")
        self.err.print(plain(str(error)), markup=False)
        if remedy:
            self.err.print(remedy, style="dim", markup=False)
