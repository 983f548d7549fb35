"""Vaults and signers as approvers are told of them, from this node's own records and cards."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.ceremony import journal
from quorate.ceremony.context import Context
from quorate.ceremony.vaults import Vault
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations.derivation import xpub
from quorate.operations.kinds import Operation
from quorate.operations.request_json import SignerFacts, VaultFacts
from quorate.protocols.certificate import EpochRecord

SPELLED = {"approve": "approved", "reject": "rejected", "abstain": "abstain"}


def signers(
    context: Context, operation: Operation, weights: Mapping[DeviceId, int]
) -> tuple[SignerFacts, ...]:
    """In order of device id, each with what is known of its vote on the operation. Of a device whose card is not here
    only the id: one that a new member of a vault never meets."""
    verdicts, peers = journal.verdicts(context, operation), context.ledger.peers()

    def described_signer(device: DeviceId, weight: int) -> SignerFacts:
        card = peers.get(device)
        return SignerFacts(
            device=device,
            uuid=card.uuid if card else "",
            name=card.name if card else device,
            client_record=card.client_record if card else "",
            weight=weight,
            vote=SPELLED.get(verdicts.get(device, ""), ""),  # type: ignore[arg-type]
        )

    return tuple(described_signer(device, weight) for device, weight in sorted(weights.items()))


def described(context: Context, operation: Operation, vault: Vault) -> VaultFacts:
    return recorded(context, operation, vault.record, vault.name)


def recorded(context: Context, operation: Operation, record: EpochRecord, name: str) -> VaultFacts:
    """A vault as its record has it."""
    weights = {DeviceId(place.device): place.weight for place in record.roster}
    return VaultFacts(
        id=VaultId(record.vault),
        name=name,
        epoch=record.epoch,
        threshold=record.threshold,
        signers=signers(context, operation, weights),
        xpubs=xpubs(record),
        public_keys={key.curve: key.public_key for key in record.keys},
    )


def xpubs(record: EpochRecord) -> Mapping[Curve, str]:
    return {key.curve: xpub(key.curve, key.public_key, key.chain_code) for key in record.keys}
