"""What a command prints: people get rich text, programs one JSON object per line. Progress goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType

from quorate.errors import Aborted, Denied, PeerError, QuorateError, UsageError

REMEDIES = {
    "STORE_LOCKED": "check [key] in quorate.toml: it must name the passphrase or key file of `quorate init`",
    "STORE_CORRUPT": "stop this node and restore its store; the other signers are not affected",
    "UNAUTHENTICATED": "make new credentials with `quorate client add`",
}


WIDTH = 400
PEER_REMEDY = "check that the peer runs and that its address is right: `quorate peer list`"


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

    def note(self, text: str) -> None:
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
        remedy = PEER_REMEDY if isinstance(error, PeerError) else REMEDIES.get(code, "")
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
        self.err.print(str(error), markup=False)
        if remedy:
            self.err.print(remedy, style="dim", markup=False)
