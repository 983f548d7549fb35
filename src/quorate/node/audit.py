"""The audit chain of this node as lines, whether the node runs or is at rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quorate.ceremony.audit import AuditVerdict
from quorate.ceremony.audit_export import head_line, line_of
from quorate.node.founding import opened
from quorate.rpc.upkeep import AuditPage
from quorate.storage import SqliteLedger


def audit_page(ledger: SqliteLedger, *, after: int, limit: int) -> AuditPage:
    """The head is of before the records were read."""
    head = ledger.audit_head()
    entries = ledger.audit_entries(after=after, limit=limit) if limit else ()
    return AuditPage(
        device=ledger.identity.device, records=tuple(map(line_of, entries)), head=head_line(head)
    )


class RestingChain:
    """Asked as a running node is."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger

    async def audit(self, *, after: int = 0, limit: int = 200) -> AuditPage:
        return audit_page(self._ledger, after=after, limit=limit)

    async def examine_audit(self) -> AuditVerdict:
        return self._ledger.verify_audit()


@contextmanager
def at_rest(home: Path) -> Iterator[RestingChain]:
    with opened(home) as ledger:
        yield RestingChain(ledger)
