"""What makes an epoch: a session that ends in a certificate, then a trial signature by all of its roster, and then the
acknowledgements of all who signed the certificate."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, ClassVar

from quorate.ceremony import lineage, results
from quorate.ceremony.agreement import Agreement
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Electorate
from quorate.ceremony.ports import OperationRow
from quorate.ceremony.procedures.procedure import Basis, Procedure, Run, Shown
from quorate.ceremony.procedures.signing import ending_setups
from quorate.ceremony.vaults import Vault
from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations.kinds import Member, device_id
from quorate.primitives.drbg import Drbg
from quorate.protocols import trial
from quorate.protocols.trial import Trial
from quorate.wire.codec import decode
from quorate.wire.net import Net


class Founding(Procedure):
    unanimous = True
    by_certificate = True
    founding: ClassVar[str]
    """The stage that ends in a certificate."""

    @abstractmethod
    def founding_basis(self) -> Basis: ...

    @abstractmethod
    def founding_protocol(self, agreement: Agreement) -> Run: ...

    @property
    def made(self) -> Vault | None:
        """The epoch that this operation has made, once it is certified here."""
        active = [vault for vault in self.context.vaults.made_by(self.operation.id) if vault.active]
        return active[-1] if active else None

    def stage(self) -> str:
        return self.founding if self.made is None else "trial"

    def basis(self, stage: str) -> Basis:
        made = self.made
        if stage == self.founding:
            if made is not None:
                raise UsageError("CE-3.8 stage: this operation has made its epoch", code="ALREADY_CERTIFIED")
            return self.founding_basis()
        if stage != "trial" or made is None:
            raise UsageError(f"CE-3.8 stage: {stage} is not what comes next here", code="WRONG_STAGE")
        if made.ready:
            raise UsageError(
                "CE-3.8 stage: all acknowledgements are in; no more trials", code="ALREADY_READY"
            )
        return Basis(sharing=made.sharing, vault=made.id, previous=made.certificate_hash, epoch=made.epoch)

    def company(self, stage: str) -> Electorate:
        made = self.made
        if stage != "trial" or made is None:
            return self.electorate()
        weights = {seat.device: seat.weight for seat in made.sharing.seats}
        return Electorate(weights, sum(weights.values()))

    def multiplying(self, stage: str) -> Vault | None:
        return self.made if stage == "trial" else None

    def protocol(self, agreement: Agreement, setups: Mapping[DeviceId, bytes]) -> Run:
        context = self.context
        if agreement.stage == self.founding:
            return self.founding_protocol(agreement)
        vault = context.vaults.get(VaultId(agreement.vault or ""))
        quorums = {curve: context.vaults.quorum(vault, curve, agreement.parties) for curve in Curve}
        read, rng = context.pairs.reader(vault, setups), Drbg(context.entropy.secret(32))

        def tried(net: Net) -> Coroutine[Any, None, Trial]:
            trying = trial.trial(net, vault.record, quorums, read, rng, context.identity.sign)
            return ending_setups(context, setups, trying)

        return tried

    def keep(self, agreement: Agreement, result: object) -> None:
        if isinstance(result, Trial):
            lineage.keep_trial(self.context, self.context.vaults.get(VaultId(agreement.vault or "")), result)

    def settle(self) -> None:
        if (made := self.made) is not None:
            lineage.settle(self.context, made.id)

    def shown(self, row: OperationRow) -> Shown:
        made = decode(results.Made, row.result).vault if row.result else None
        return Shown(vault=VaultId(made) if made else self.vault)


def check_members(context: Context, members: Iterable[Member]) -> None:
    """Rule CE-1.4: each member of a new roster is who its card here says."""
    for member in members:
        if device_id(member.identity_key) != member.device:
            raise UsageError(
                f"CE-1.4 roster: {member.device} is not the id of the key beside it", code="WRONG_IDENTITY"
            )
        if context.peer(DeviceId(member.device)).identity_key != member.identity_key:
            raise UsageError(
                f"CE-1.4 roster: {member.device} has another identity key on its card", code="WRONG_IDENTITY"
            )
