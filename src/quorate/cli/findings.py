"""Findings as one line each for people, one object each for programs, and an exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

import typer

from quorate.cli.output import Output, escape
from quorate.rpc.findings import Finding, Level

MARKS = {Level.OK: "[green]✓[/]", Level.WARNING: "[yellow]![/]", Level.PROBLEM: "[red]✗[/]"}


def show(output: Output, findings: Iterable[Finding]) -> None:
    for finding in findings:
        text = f"{MARKS[finding.level]} [bold]{escape(finding.check)}[/]  {escape(finding.said)}"
        if finding.level is not Level.OK:
            text += f" [dim]({escape(finding.code)})[/]"
        if finding.remedy:
            text += f"\n    [dim]→ {escape(finding.remedy)}[/]"
        output.show(asdict(finding), text)


def end(findings: Sequence[Finding]) -> None:
    """Exit code 1 if there is a problem."""
    if any(finding.level is Level.PROBLEM for finding in findings):
        raise typer.Exit(1)
