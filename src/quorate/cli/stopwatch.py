"""What the demo says to people: a line for each step, with the time it took."""

from __future__ import annotations

from time import perf_counter

from quorate.cli.output import Output


class Stopwatch:
    def __init__(self, output: Output) -> None:
        self._output = output
        self._start = self._last = perf_counter()

    def lap(self, what: str, mark: str = "[green]✓[/]") -> None:
        now = perf_counter()
        took, self._last = now - self._last, now
        spent = f"{took:.1f} s" if took >= 1 else f"{took * 1000:.0f} ms"
        self._output.note(f"{mark} {what} [dim]{spent}[/]")

    def detail(self, text: str) -> None:
        self._output.note(f"  [dim]{text}[/]")

    def total(self) -> float:
        return perf_counter() - self._start
