"""The audit chains of this node and of its peers, as they hold each other to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from quorate.ceremony.ports import Peer
from quorate.identifiers import DeviceId
from quorate.node.doctor.verdicts import fine, problem
from quorate.rpc.findings import Finding


def examine_chains(set_back: str, doubts: Mapping[DeviceId, str], peers: Sequence[Peer]) -> Iterator[Finding]:
    """``set_back``: why our own chain is not the one that we signed, empty if it is; ``doubts``: the same of peers."""
    if set_back:
        yield problem("audit chain", code="AUDIT_SET_BACK", said=set_back)
    else:
        yield fine("audit chain", "nobody holds a head of it that it does not have")
    for peer in peers:
        if (why := doubts.get(peer.device)) is not None:
            yield problem(
                f"audit chain of {peer.name}", code="PEER_AUDIT_SET_BACK", said=f"{peer.name} {why}"
            )
