"""The keys of a vault out of enough of its backups: the one place in the program where a key exists whole.

docs/spec/backup.md, rules BK-3. It runs offline, on somebody's own machine, after the nodes are lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quorate.curves import SecretScalar, group_of
from quorate.errors import Corrupt, UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.operations.derivation import ExtendedKey, derive
from quorate.protocols.certificate import EpochRecord
from quorate.protocols.quorum import Quorum
from quorate.recovery.backup import Held


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Keys:
    """Both private keys of a vault, each compared with its public key. ``signers``: whose shares they are made of."""

    record: EpochRecord
    vault_name: str
    signers: tuple[DeviceId, ...]
    secrets: Mapping[Curve, SecretScalar]

    def below(self, curve: Curve, path: str) -> tuple[ExtendedKey, SecretScalar]:
        """A key below the vault's own, public and private. ``UsageError`` for a path that leads to none."""
        key = self.record.key(curve)
        child = derive(curve, key.public_key, key.chain_code, path)
        secret = self.secrets[curve] + child.tweak
        require_key(secret, child.public_key, f"{curve} at {path or 'm'}")
        return child, secret

    def wipe(self) -> None:
        for secret in self.secrets.values():
            secret.wipe()


def of_one_epoch(backups: Sequence[Held], epoch: int | None = None) -> list[Held]:
    """One backup of each device, all of one epoch. ``UsageError`` where they are of several, or two claims of one:
    which of them is meant is not for a program to guess. ``epoch`` leaves out the others."""
    vaults = {each.record.vault for each in backups}
    if len(vaults) > 1:
        raise _refused("BK-3.1 one vault", "these are backups of different vaults", backups)
    chosen = [each for each in backups if epoch is None or each.record.epoch == epoch]
    if not chosen:
        raise _refused("BK-3.2 one epoch", f"none of these is of epoch {epoch}", backups)
    if len({each.record.hash for each in chosen}) > 1:
        which = (
            "; name the one that is meant with --epoch" if len({e.record.epoch for e in chosen}) > 1 else ""
        )
        raise _refused(
            "BK-3.2 one epoch", f"these are backups of different epochs or attempts{which}", chosen
        )
    return list({each.device: each for each in chosen}.values())


def rebuild(backups: Sequence[Held], epoch: int | None = None) -> Keys:
    """The keys. ``UsageError`` names the files and the weight they have where that is too little."""
    chosen = of_one_epoch(backups, epoch)
    record, devices = chosen[0].record, [each.device for each in chosen]
    weight, threshold = record.sharing.weight_of(devices), record.threshold
    if weight < threshold:
        raise _refused(
            "BK-3.3 weight",
            f"these have a weight of {weight}, and the vault's threshold is {threshold}",
            chosen,
        )
    secrets = {}
    for curve in Curve:
        quorums = [record.quorum(each.shares[curve], devices) for each in chosen]
        secrets[curve] = _whole(quorums)
        require_key(secrets[curve], record.key(curve).public_key, str(curve))
    return Keys(
        record=record, vault_name=chosen[0].label.vault_name, signers=tuple(sorted(devices)), secrets=secrets
    )


def require_key(secret: SecretScalar, public_key: bytes, what: str) -> None:
    """``Corrupt`` unless this is the private half of that key."""
    if bytes(secret * group_of(secret.group.curve).generator) != public_key:
        raise Corrupt(f"BK-3.4 key: what was rebuilt is not the private key of {what}: {public_key.hex()}")


def _whole(quorums: Sequence[Quorum]) -> SecretScalar:
    """The additive shares of a quorum, added up."""
    whole = quorums[0].secret
    for quorum in quorums[1:]:
        whole = whole + quorum.secret
    return whole


def _refused(rule: str, why: str, backups: Sequence[Held]) -> UsageError:
    files = "\n".join(
        f"  {each.source}: {each.label}, certificate {each.label.certificate[:16]}, weight {each.weight}"
        for each in backups
    )
    return UsageError(f"{rule}: {why}:\n{files}", code="CANNOT_RECOVER")
