"""The vaults: does every signer hold the same epoch as this node, and is there weight enough?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType

from quorate.ceremony.confinement import Why
from quorate.ceremony.statements import VaultHead
from quorate.ceremony.vaults import Vault
from quorate.identifiers import DeviceId, VaultId
from quorate.node.doctor.peers import Mesh
from quorate.node.doctor.verdicts import fine, problem, warning
from quorate.node.readiness import CODES
from quorate.rpc.findings import Finding

NOTHING: Mapping[str, tuple[Why, str]] = MappingProxyType({})


def examine_vaults(
    vaults: Sequence[Vault], mesh: Mesh, confined: Mapping[str, tuple[Why, str]] = NOTHING
) -> Iterator[Finding]:
    """``confined``: the vaults that this node takes no part in, why, and what they await."""
    for vault in vaults:
        if (cause := confined.get(vault.id)) is not None:
            yield problem(f"vault {vault.name}", code=CODES[cause[0]], said=cause[1])
            continue
        findings = list(_differences(vault, mesh))
        yield from findings or (_fine(vault, mesh),)
    held = {vault.id for vault in vaults}
    for peer in mesh.peers:
        answer = mesh.answers.get(peer.device)
        for head in answer.heads.values() if answer else ():
            if head.vault not in held:
                yield problem(
                    f"vault {head.vault}",
                    code="STALE_EPOCH",
                    said=f"{peer.name} says this node is a signer of it (epoch {head.epoch}), and it is not here",
                )


def examine_starts(mesh: Mesh, set_back: Mapping[DeviceId, str]) -> Iterator[Finding]:
    names = {peer.device: peer.name for peer in mesh.peers}
    for device, how in set_back.items():
        said = f"its store is an old copy: it {how}"
        yield problem(f"peer {names.get(device, device)}", code="PEER_SET_BACK", said=said)


def _differences(vault: Vault, mesh: Mesh) -> Iterator[Finding]:
    check = f"vault {vault.name}"
    names = {peer.device: peer.name for peer in (mesh.me, *mesh.peers)}
    for device in vault.sharing.devices:
        if device not in names:
            yield problem(check, code="UNKNOWN_PEER", said=f"its signer {device} is no peer here")
        elif (answer := mesh.answers.get(device)) is not None:
            yield from _difference(check, vault, names[device], answer.heads.get(VaultId(vault.id)))
    online = _online(vault, {mesh.me.device, *mesh.answers})
    if online < vault.sharing.threshold:
        yield problem(
            check,
            code="NOT_ENOUGH_WEIGHT",
            said=f"weight {online} is online, {vault.sharing.threshold} are needed to sign",
        )
    if not vault.ready:
        yield warning(check, code="VAULT_NOT_READY", said=f"is {vault.state}, not ready")


def _difference(check: str, vault: Vault, name: str, head: VaultHead | None) -> Iterator[Finding]:
    if head is None:
        yield problem(check, code="STALE_EPOCH", said=f"{name} is a signer of it and does not hold it")
    elif head.epoch > vault.epoch:
        yield problem(
            check, code="STALE_EPOCH", said=f"this node is at epoch {vault.epoch}, {name} at {head.epoch}"
        )
    elif head.epoch < vault.epoch:
        yield warning(
            check, code="STALE_EPOCH", said=f"{name} is at epoch {head.epoch}, this node at {vault.epoch}"
        )
    elif head.certificate != vault.certificate_hash:
        yield problem(
            check, code="EPOCH_CONFLICT", said=f"{name} holds another certificate for epoch {vault.epoch}"
        )
    elif vault.ready and not head.ready:
        yield warning(check, code="VAULT_NOT_READY", said=f"{name} does not find it ready yet")


def _fine(vault: Vault, mesh: Mesh) -> Finding:
    online = _online(vault, {mesh.me.device, *mesh.answers})
    return fine(
        f"vault {vault.name}",
        f"ready, epoch {vault.epoch}; weight {online} is online, {vault.sharing.threshold} are needed to sign",
    )


def _online(vault: Vault, reached: Collection[DeviceId]) -> int:
    return sum(seat.weight for seat in vault.sharing.seats if seat.device in reached)
