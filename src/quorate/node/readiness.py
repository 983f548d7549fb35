"""Whether this node can do its part, and for each vault, why not: the one answer behind health, probes and status."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from quorate.ceremony.confinement import Why
from quorate.ceremony.greetings import Acquaintance
from quorate.ceremony.ports import Decision, Verdict
from quorate.ceremony.statements import VaultHead
from quorate.ceremony.vaults import Vault
from quorate.ceremony.versions import SPOKEN, Versions
from quorate.ceremony.views import Cause
from quorate.errors import StoreError
from quorate.identifiers import DeviceId

QUARANTINED = "QUARANTINED"
STORE_SET_BACK = "STORE_SET_BACK"
SHARE_LOST = "SHARE_LOST"
CODES = {Why.RESTORED: QUARANTINED, Why.SET_BACK: STORE_SET_BACK, Why.SHARE_LOST: SHARE_LOST}
DOUBT = 300.0  # seconds that an approver's failure counts for; after that nobody knows


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What readiness is judged by, as far as this node knows it. ``connected`` and ``heard`` are of the peers."""

    me: DeviceId
    approver: str
    decision: Decision | None  # the approver's last, and how long ago
    decided: float
    store: StoreError | None
    set_back: str  # why our audit chain is not the one that we signed; empty if it is
    paired: Mapping[bytes, frozenset[DeviceId]]  # by certificate hash: with whom we have a live pair set-up
    connected: frozenset[DeviceId]
    heard: Mapping[DeviceId, Acquaintance]
    names: Mapping[DeviceId, str]
    tolerance: float  # seconds that clocks may be apart
    speaks: Versions = SPOKEN  # this node, of the protocol
    confined: Mapping[str, tuple[Why, str]] = field(
        default_factory=dict
    )  # vaults in quarantine: why, what it awaits
    peers_set_back: Mapping[DeviceId, str] = field(default_factory=dict)  # in words

    def name(self, device: DeviceId) -> str:
        return self.names.get(device, device)


def of_node(standing: Standing) -> Iterator[Cause]:
    """What keeps this node from its part in any vault."""
    if standing.store is not None:
        yield Cause(code=standing.store.reason, detail=str(standing.store))
    if standing.set_back:
        yield Cause(code="AUDIT_SET_BACK", detail=standing.set_back)
    if standing.approver == "none":
        yield Cause(code="NO_APPROVER", detail="no approver is configured: every operation is refused")
    elif (
        (decision := standing.decision) is not None
        and decision.verdict is Verdict.REFUSE
        and standing.decided < DOUBT
    ):
        said = f"{standing.decided:.0f} s ago the approver {decision.approver} gave no usable answer"
        yield Cause(code="APPROVER_UNAVAILABLE", detail=f"{said}: {decision.rule}")


def of_vault(vault: Vault, standing: Standing) -> Iterator[Cause]:
    """What keeps one vault from being signed with here, beside what concerns the whole node."""
    if (confined := standing.confined.get(vault.id)) is not None:
        cause, awaits = confined
        yield Cause(code=CODES[cause], detail=awaits, vault=vault.id)
    if missing := vault.missing_acknowledgements:
        waits = ", ".join(standing.name(device) for device in missing)
        yield Cause(code="VAULT_NOT_READY", detail=f"awaits the acknowledgement of {waits}", vault=vault.id)
    for device in vault.sharing.devices:
        head = _head(vault, device, standing)
        if head is not None and head.epoch > vault.epoch:
            behind = f"{standing.name(device)} is at epoch {head.epoch}, this node at {vault.epoch}"
            yield Cause(code="STALE_EPOCH", detail=behind, vault=vault.id)
        elif head is not None and head.epoch == vault.epoch and head.certificate != vault.certificate_hash:
            other = f"{standing.name(device)} has another certificate for epoch {head.epoch}"
            yield Cause(code="EPOCH_CONFLICT", detail=other, vault=vault.id)
    online, away = online_weight(vault, standing), away_from(vault, standing)
    if online < vault.sharing.threshold:
        missed = ", ".join(standing.name(device) for device in away)
        yield Cause(
            code="NOT_ENOUGH_WEIGHT",
            detail=f"online weight {online} of {vault.sharing.threshold} needed; not here or not level: {missed}",
            vault=vault.id,
        )
    else:
        yield from _of_protocols(vault, standing, away)
        yield from _of_clocks(vault, standing, away)
        yield from _of_pairs(vault, standing, away)


def _of_protocols(vault: Vault, standing: Standing, away: Collection[DeviceId]) -> Iterator[Cause]:
    """Nothing is begun with who speaks no protocol that we do (rule CE-1.13), or without one in common (CE-10.2)."""
    ours, here = standing.speaks, [seat for seat in vault.sharing.seats if seat.device not in away]
    said = {
        seat.device: known.versions for seat in here if (known := standing.heard.get(seat.device)) is not None
    }
    together = max(
        sum(seat.weight for seat in here if said.get(seat.device, ours).speak(version))
        for version in range(ours.oldest, ours.newest + 1)
    )
    if together < vault.sharing.threshold:
        apart = {device: versions for device, versions in said.items() if versions != ours}
        told = ", ".join(f"{standing.name(device)} {versions}" for device, versions in apart.items())
        yield Cause(
            code="PROTOCOL_MISMATCH",
            detail=f"this node speaks protocol {ours}, {told}: weight {together} of"
            f" {vault.sharing.threshold} needed has one in common",
            vault=vault.id,
        )


def _of_clocks(vault: Vault, standing: Standing, away: Collection[DeviceId]) -> Iterator[Cause]:
    """Who is too far from our own clock takes no proposal of ours, nor we of theirs (rule CE-1.12)."""
    apart = {
        seat.device: known.clock_offset or 0.0
        for seat in vault.sharing.seats
        if seat.device not in away
        and (known := standing.heard.get(seat.device)) is not None
        and known.clock_apart > standing.tolerance
    }
    together = online_weight(vault, standing) - sum(
        seat.weight for seat in vault.sharing.seats if seat.device in apart
    )
    if together < vault.sharing.threshold:
        told = ", ".join(
            f"{abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} {standing.name(device)}'s"
            for device, offset in apart.items()
        )
        yield Cause(
            code="CLOCK_OFF",
            detail=f"own clock is {told}: weight {together} of {vault.sharing.threshold} needed is with it",
            vault=vault.id,
        )


def _of_pairs(vault: Vault, standing: Standing, away: Collection[DeviceId]) -> Iterator[Cause]:
    """ECDSA takes a live pair set-up with each other signer: those who are here and have none do not count."""
    paired = standing.paired.get(vault.certificate_hash)
    if paired is None:
        return
    here = [seat for seat in vault.sharing.seats if seat.device not in away]
    able = sum(seat.weight for seat in here if seat.device == standing.me or seat.device in paired)
    if able < vault.sharing.threshold:
        lacking = [seat.device for seat in here if seat.device != standing.me and seat.device not in paired]
        names = ", ".join(standing.name(device) for device in lacking)
        yield Cause(
            code="NO_LIVE_SETUP",
            detail=f"ECDSA has weight {able} of {vault.sharing.threshold} needed: no live pair set-up with {names}",
            vault=vault.id,
        )


def warnings(standing: Standing) -> Iterator[Cause]:
    """What somebody should look at, and readiness does not turn on: else one peer could keep us from it."""
    for device, how in standing.peers_set_back.items():
        said = f"the store of {standing.name(device)} is an old copy: it {how}"
        yield Cause(code="PEER_SET_BACK", detail=said)


def online_weight(vault: Vault, standing: Standing) -> int:
    away = away_from(vault, standing)
    return sum(seat.weight for seat in vault.sharing.seats if seat.device not in away)


def away_from(vault: Vault, standing: Standing) -> tuple[DeviceId, ...]:
    """The signers that are not connected, or whose own word is that they do not hold this epoch, whole."""
    return tuple(
        device
        for device in vault.sharing.devices
        if device != standing.me and (device not in standing.connected or _behind(vault, device, standing))
    )


def _behind(vault: Vault, device: DeviceId, standing: Standing) -> bool:
    if device not in standing.heard:
        return False
    head = _head(vault, device, standing)
    return head is None or head.epoch < vault.epoch or not head.ready


def _head(vault: Vault, device: DeviceId, standing: Standing) -> VaultHead | None:
    """The vault as a peer last said it holds it."""
    known = standing.heard.get(device)
    return known.heads.get(vault.id) if known is not None else None
