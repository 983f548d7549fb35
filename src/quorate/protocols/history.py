"""Which epoch may follow which: the chain of a vault's certificates, docs/spec/reshare.md, rules RS-3.

Whoever holds a chain can check it alone, from the epoch that made the keys to the last.
"""

from __future__ import annotations

from collections.abc import Sequence

from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.protocols.certificate import Certificate, EpochRecord
from quorate.protocols.sharing import told_apart


def follows(record: EpochRecord, previous: EpochRecord) -> None:
    """Returns if ``record`` may be the epoch after ``previous``; else ``UsageError`` names the rule it breaks. Whether
    its signatures are right is another question: ``Certificate.verify``."""
    place = f"vault {record.vault}, epoch {record.epoch}"
    if record.previous != previous.hash:
        raise _refused(f"RS-3.1 previous: {place} does not follow the certificate {previous.hash.hex()}")
    if (record.vault, record.epoch) != (previous.vault, previous.epoch + 1):
        raise _refused(f"RS-3.2 epoch: {place} after vault {previous.vault}, epoch {previous.epoch}")
    for new, old in zip(record.keys, previous.keys, strict=True):
        if (new.public_key, new.chain_code) != (old.public_key, old.chain_code):
            raise _refused(f"RS-3.3 keys: {place} has another {new.curve} key or chain code")
    known = {place.device: place.identity_key for place in previous.roster}
    for device, key in record.signers.items():
        if not told_apart((*known.items(), (device, key))):
            raise _refused(
                f"RS-3.4 identity: {place} has {device} under another identity key, or that of another"
            )
    dealers = [DeviceId(dealer.device) for dealer in record.dealers]
    if not set(dealers) <= known.keys():
        raise _refused(f"RS-3.5 dealers: {place} was dealt by others than members of the epoch before")
    weight, needed = previous.sharing.weight_of(dealers), previous.sharing.handover_weight
    if weight < needed:
        raise _refused(f"RS-3.6 weight: {place} was dealt by a weight of {weight}, and takes {needed}")


def line_of(certificates: Sequence[Certificate]) -> list[Certificate]:
    """From the newest back, each after the one it names: what was overtaken by a sibling is left out."""
    if not certificates:
        raise _refused("the history is empty")
    by_hash = {each.hash: each for each in certificates}
    line = [max(certificates, key=lambda each: (each.record.epoch, each.record.attempt))]
    while (before := by_hash.get(line[-1].record.previous)) is not None:
        line.append(before)
    return line[::-1]


def check_line(line: Sequence[Certificate]) -> None:
    """As ``verify_chain``, for a line that need not begin with epoch 0: a signer that joined later may know no more."""
    if line[0].record.epoch == 0:
        verify_chain(line)
        return
    for place, each in enumerate(line):
        if not each.verify():
            raise _refused(f"RS-3.7 signatures: epoch {each.record.epoch}: a signature is missing or wrong")
        if place:
            follows(each.record, line[place - 1].record)


def verify_chain(certificates: Sequence[Certificate]) -> None:
    """Returns if these are a vault's certificates from epoch 0 on, each signed by all that must and following the one
    before; else ``UsageError`` names the first that is not, and the rule."""
    if not certificates or certificates[0].record.epoch != 0:
        raise _refused("RS-3.2 epoch: a history begins with epoch 0")
    for place, certificate in enumerate(certificates):
        record = certificate.record
        if not certificate.verify():
            raise _refused(
                f"RS-3.7 signatures: vault {record.vault}, epoch {record.epoch}: a signature is missing or wrong"
            )
        if place:
            follows(record, certificates[place - 1].record)


def _refused(message: str) -> UsageError:
    return UsageError(message, code="BAD_CERTIFICATE")
