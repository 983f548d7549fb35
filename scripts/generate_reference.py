"""Write docs/reference from the code. With --check, change nothing and fail if a page is stale."""

from __future__ import annotations

import sys
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram

from quorate.node.metrics import Metrics
from quorate.reasons import REASONS

TARGET = Path(__file__).resolve().parent.parent / "docs" / "reference"

REASONS_HEAD = """\
# Reason codes

Every refusal and failure carries one of these: in `google.rpc.ErrorInfo.reason` of a gRPC status, in an operation's
`reason`, in `--json` errors, in `/readyz`, in logs and in metrics. A code never changes its meaning.

| code | what it means | what to do |
|---|---|---|
"""
METRICS_HEAD = """\
# Metrics

A node serves them at `/metrics` on the metrics port (`[metrics]` in `quorate.toml`, 2112 unless set otherwise), in the
text format of Prometheus. Each node counts what it took part in, from its start on. `vault` is an id, `name` and `peer`
are names, `reason` is one of the [reason codes](reasons.md), or empty for what succeeded.

| name | type | labels | what it tells |
|---|---|---|---|
"""
METRICS_TAIL = """
Those named `...Requests...Counter` and `VSStart` have the names that dashboards of other virtual signers use.
"""


def generate() -> dict[str, str]:
    """The pages, file name to text."""
    return {"metrics.md": metrics_page(), "reasons.md": reasons_page()}


def reasons_page() -> str:
    rows = (
        f"| `{code}` | {cell(reason.meaning)} | {cell(reason.remedy)} |\n" for code, reason in REASONS.items()
    )
    return REASONS_HEAD + "".join(rows)


def metrics_page() -> str:
    metrics = Metrics()
    rows = []
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = ", ".join(labels_of(metrics, family.name))
        rows.append(f"| `{name}` | {family.type} | {labels} | {cell(family.documentation)} |\n")
    return METRICS_HEAD + "".join(rows) + METRICS_TAIL


def labels_of(metrics: Metrics, name: str) -> tuple[str, ...]:
    """A metric without samples shows its labels nowhere but in itself."""
    own = (each for each in vars(metrics).values() if isinstance(each, Counter | Gauge | Histogram))
    return next((tuple(each._labelnames) for each in own if each._name == name), ())  # noqa: SLF001


def cell(text: str) -> str:
    return text.replace("|", r"\|")


def main() -> int:
    pages = generate()
    if "--check" in sys.argv[1:]:
        stale = [name for name, text in pages.items() if held(name) != text]
        for name in stale:
            sys.stderr.write(f"docs/reference/{name} is stale: run scripts/generate_reference.py\n")
        return 1 if stale else 0
    TARGET.mkdir(exist_ok=True)
    for name, text in pages.items():
        (TARGET / name).write_text(text)
    return 0


def held(name: str) -> str:
    path = TARGET / name
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
