"""What must be true of every vault once all nodes are back and have talked."""

from __future__ import annotations

import asyncio
from time import monotonic

from quorate.ceremony.audit import Witness
from quorate.ceremony.ports import EpochRow, EpochState
from quorate.errors import QuorateError
from quorate.identifiers import Curve, VaultId
from quorate.protocols.certificate import EpochRecord
from quorate.wire.codec import decode
from tests.crash.mortal import MortalNode, MortalWorld

SHARING = (EpochState.SIGNED, EpochState.ACTIVE, EpochState.RETIRED)


async def everything(world: MortalWorld, patience: float) -> list[str]:
    """What is wrong for good: an epoch may take ``patience`` seconds to be known to all."""
    ends = monotonic() + patience
    while wrong := unsettled(world):
        if monotonic() > ends:
            return wrong + forks(world) + broken_chains(world)
        await asyncio.sleep(0.05)
    return forks(world) + broken_chains(world)


def unsettled(world: MortalWorld) -> list[str]:
    """One live epoch of each vault, at all who signed it, with all its shares, acknowledged; and nothing before it."""
    rows = {name: world[name].ledger.epochs() for name in world.nodes}
    vaults = {row.vault for held in rows.values() for row in held if row.state is EpochState.ACTIVE}
    wrong = []
    for vault in sorted(vaults):
        live = {
            name: row for name, held in rows.items() for row in held
            if row.vault == vault and row.state is EpochState.ACTIVE
        }  # fmt: skip
        newest = max(live.values(), key=lambda row: (row.epoch, row.attempt))
        record = decode(EpochRecord, newest.record)
        signers = {world.of(device).name for device in record.signers}
        for name, row in live.items():
            if row.record_hash != newest.record_hash:
                wrong.append(f"{vault}: epoch {row.epoch} lives at {name}, epoch {newest.epoch} elsewhere")
        for name in signers:
            if name not in live:
                wrong.append(f"{vault}: epoch {newest.epoch} does not live at {name}, which signed it")
            else:
                wrong += incomplete(world[name], live[name], record)
        wrong += [
            f"{vault}: {name} keeps shares of epoch {row.epoch}"
            for name, held in rows.items() for row in held
            if row.vault == vault and row.epoch < newest.epoch and row.state in SHARING and name in signers
        ]  # fmt: skip
    return wrong


def incomplete(node: MortalNode, row: EpochRow, record: EpochRecord) -> list[str]:
    wrong = []
    missing = [device for device in record.signers if device not in row.acknowledgements]
    if missing:
        wrong.append(f"{row.vault}: {node.name} lacks acknowledgements of {missing}")
    if node.device not in record.sharing.devices:
        return wrong
    for curve in Curve:
        try:
            node.ledger.share(VaultId(row.vault), row.epoch, row.attempt, curve)
        except QuorateError as error:
            wrong.append(f"{row.vault}: {node.name} lost its share: {error}")
    return wrong


def broken_chains(world: MortalWorld) -> list[str]:
    """What is wrong with the audit chains, held also against what the others hold of them."""
    wrong = []
    for name, node in world.nodes.items():
        seen = [
            Witness(who=other.name, head=head)
            for other in world.nodes.values()
            if (held := other.ledger.peer_heads().get(node.device)) is not None
            for head in (held.confirmed, held.highest)
        ]
        wrong += [f"{name}: {flaw}" for flaw in node.ledger.verify_audit(seen).flaws]
    return wrong


def forks(world: MortalWorld) -> list[str]:
    """Two certificates for one (epoch, attempt)."""
    seen: dict[tuple[str, int, int], bytes] = {}
    wrong = []
    for name in world.nodes:
        for row in world[name].ledger.epochs():
            key = (row.vault, row.epoch, row.attempt)
            if row.certificate and seen.setdefault(key, row.record_hash) != row.record_hash:
                wrong.append(f"{name} has another certificate for {key}")
    return wrong
