"""Vaults and signers as approvers are told of them, from this node's own records and cards."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.ceremony import journal
from quorate.ceremony.context import Context
from quorate.ceremony.vaults import Vault
from quorate.identifiers import Curve, DeviceId
from quorate.operations.derivation import xpub
from quorate.operations.kinds import Operation
from quorate.operations.request_json import SignerFacts, VaultFacts
from quorate.protocols.certificate import EpochRecord

SPELLED = {"approve": "approved", "reject": "rejected", "abstain": "abstain"}


def signers(
    context: Context, operation: Operation, weights: Mapping[DeviceId, int]
) -> tuple[SignerFacts, ...]:
    """In order of device id, each with what is known of its vote on the operation."""
    verdicts = journal.verdicts(context, operation)
    peers = {device: context.peer(device) for device in weights}
    return tuple(
        SignerFacts(
            device=device,
            uuid=peers[device].uuid,
            name=peers[device].name,
            client_record=peers[device].client_record,
            weight=weight,
            vote=SPELLED.get(verdicts.get(device, ""), ""),  # type: ignore[arg-type]
        )
        for device, weight in sorted(weights.items())
    )


def described(context: Context, operation: Operation, vault: Vault) -> VaultFacts:
    weights = {seat.device: seat.weight for seat in vault.sharing.seats}
    return VaultFacts(
        id=vault.id,
        name=vault.name,
        epoch=vault.epoch,
        threshold=vault.sharing.threshold,
        signers=signers(context, operation, weights),
        xpubs=xpubs(vault.record),
    )


def xpubs(record: EpochRecord) -> Mapping[Curve, str]:
    return {key.curve: xpub(key.curve, key.public_key, key.chain_code) for key in record.keys}
