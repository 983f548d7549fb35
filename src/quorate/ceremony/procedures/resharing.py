"""Resharing: the keys of a vault go to a new roster, or, in a refresh, to the same one in new shares.

docs/spec/ceremony.md, section CE-7. Old members vote by weight, every new member must agree; a new one that has no
record of the vault checks the certificate that it is shown, and its approver reads what that binds it to.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cached_property

from quorate.ceremony import descriptions, journal
from quorate.ceremony.agreement import Agreement
from quorate.ceremony.book import LedgerBook
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Electorate
from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.procedures.founding import Founding, check_members
from quorate.ceremony.procedures.procedure import Basis, Run
from quorate.errors import EncodingError, StaleEpoch, UsageError
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations import request_json
from quorate.operations.kinds import Operation, Reshare
from quorate.operations.request_json import Json
from quorate.protocols.certificate import Certificate, EpochRecord
from quorate.protocols.quorum import Sharing, sharing_of
from quorate.protocols.reshare import Handover, reshare
from quorate.wire.codec import decode

LEAP = 1000  # attempts at an epoch that others may know of, and we do not
UNCERTAIN = (
    "this node signed epoch {}, which comes to live if somebody holds all signatures and shows them, unless another"
    " reshare or refresh is made"
)


class Resharing(Founding):
    founding = "reshare"

    def __init__(self, context: Context, operation: Operation, request: Reshare, shown: bytes = b"") -> None:
        """``shown``: the certificate beside a proposal that is not journalled yet."""
        super().__init__(context, operation)
        self.request = request
        self._shown = shown

    @property
    def vault(self) -> VaultId:
        return VaultId(self.request.vault)

    # --- the epoch that is replaced

    @cached_property
    def former(self) -> EpochRecord:
        """From our own records; where we have none of it, from the certificate shown with the proposal."""
        request = self.request
        held = self.context.vaults.record(self.vault, request.certificate)
        if held is None:
            held = self._introduced()
        if (held.vault, held.epoch) != (request.vault, request.epoch):
            raise StaleEpoch(
                f"CE-7.1 epoch: vault {request.vault} is at epoch {held.epoch} by that certificate"
            )
        return held

    def _introduced(self) -> EpochRecord:
        """CE-7.2 introduction: every signature is right, and the hash is the one that was voted on."""
        row = self.context.ledger.operation(self.operation.id)
        shown = self._shown or (
            journal.proposal_of(self.context, row).certificate if row is not None else b""
        )
        try:
            certificate = decode(Certificate, shown)
        except EncodingError as error:
            raise UsageError(f"CE-7.2 introduction: {error}", code="BAD_CERTIFICATE") from None
        if certificate.hash != self.request.certificate or not certificate.verify():
            raise UsageError(
                "CE-7.2 introduction: the certificate shown is not the one to be replaced, or is not signed by all",
                code="BAD_CERTIFICATE",
            )
        return certificate.record

    @property
    def joining(self) -> bool:
        return self.context.me not in self.former.sharing.devices

    def require_current(self) -> None:
        """CE-7.1 epoch: what is replaced is the epoch that lives here, or, for who joins, none that lived here.
        One not tried is replaced once nobody will try it any more: who spoils a trial must not hold the keys."""
        if self.made is not None:
            return
        request, vaults = self.request, self.context.vaults
        if not self.joining:
            vault = vaults.require_live(self.vault, request.epoch, request.certificate)
            made = self.context.ledger.operation(vault.operation)
            if not vault.ready and made is not None and made.state not in FINAL:
                waiting = ", ".join(map(self.context.name_of, vault.missing_acknowledgements))
                raise UsageError(
                    f"CE-7.1 epoch: vault {vault.name} awaits the acknowledgement of {waiting}",
                    code="VAULT_NOT_READY",
                )
            return
        newest = vaults.newest(self.vault)
        if newest is not None:  # we were a member once
            if newest.epoch > request.epoch:
                raise StaleEpoch(f"CE-7.1 epoch: vault {self.vault} is at epoch {newest.epoch} here")
            if [(key.public_key, key.chain_code) for key in newest.keys] != [
                (key.public_key, key.chain_code) for key in self.former.keys
            ]:
                raise UsageError("CE-7.2 introduction: our own record has other keys", code="BAD_CERTIFICATE")

    # --- before it runs

    def admit(self) -> None:
        context, request = self.context, self.request
        former, proposer = self.former, DeviceId(self.operation.proposer)
        self.require_current()
        check_members(context, request.members)
        for seat in former.sharing.seats:
            device = seat.device
            if context.key_of(device) not in (None, seat.identity_key):
                raise UsageError(
                    f"CE-1.4 roster: {device} has another identity key on its card", code="WRONG_IDENTITY"
                )
        for device, who in ((context.me, "this node"), (proposer, "the proposer")):
            if device not in self.concerned():
                raise UsageError(
                    f"CE-1.5 membership: {who} ({device}) is in neither roster", code="NOT_IN_ROSTER"
                )
        if not self.joining and request.name != context.vaults.get(self.vault).name:
            raise UsageError("CE-7.3 name: the vault has another name here", code="WRONG_NAME")
        known = context.vaults.attempts(self.vault, request.epoch + 1)
        if not known <= request.after <= known + LEAP:
            raise UsageError(
                f"CE-7.4 attempts: {known} attempts at this epoch are known here, not {request.after}: ask again",
                code="ATTEMPT_NOT_RISING",
            )
        self.sharing()

    def request_json(self) -> Json:
        context, former, request = self.context, self.former, self.request
        vault = descriptions.recorded(context, self.operation, former, request.name)
        weights = {DeviceId(member.device): member.weight for member in request.members}
        proposed = descriptions.signers(context, self.operation, weights)
        return request_json.reshare_json(self.operation, vault, proposed, joining=self.joining)

    def electorate(self) -> Electorate:
        """CE-7.5 franchise: old weight enough to hand over, and every member of the new roster, changed or not."""
        old = self.former.sharing
        members = frozenset(DeviceId(member.device) for member in self.request.members)
        weights = dict.fromkeys(members, 0) | {seat.device: seat.weight for seat in old.seats}
        return Electorate(weights, old.handover_weight, members)

    def concerned(self) -> frozenset[DeviceId]:
        members = frozenset(DeviceId(member.device) for member in self.request.members)
        return members.union(self.former.sharing.devices)

    def sharing(self) -> Sharing:
        request = self.request
        return sharing_of(request.members, request.threshold, allow_sole_signer=request.allow_sole_signer)

    # --- stages

    def stage(self) -> str:
        """After the trial only those that leave have something to say."""
        made = self.made
        if made is not None and not set(made.missing_acknowledgements) & set(made.sharing.devices):
            return ""
        return super().stage()

    def founding_basis(self) -> Basis:
        request = self.request
        self.require_current()
        return Basis(
            sharing=self.sharing(), vault=self.vault, previous=request.certificate, epoch=request.epoch + 1,
            former=self.former.sharing,
        )  # fmt: skip

    def exclusive(self, stage: str) -> Hashable:
        return ("reshare", self.vault) if stage == self.founding else None

    def founding_protocol(self, agreement: Agreement) -> Run:
        context, request = self.context, self.request
        dealers = frozenset(agreement.dealers)
        shares = None
        if context.me in dealers:
            vault = context.vaults.require_live(self.vault, request.epoch, request.certificate)
            shares = {curve: context.vaults.quorum(vault, curve, agreement.dealers) for curve in Curve}
        handover = Handover(previous=self.former, dealers=dealers, target=agreement.sharing, shares=shares)
        return lambda net: reshare(
            net,
            handover,
            context.entropy,  # what is kept for years never passes through Python's memory
            LedgerBook(context, self.operation.id),
            attempt=request.after + agreement.attempt,
            sign=context.identity.sign,
        )

    # --- its end

    def phase(self) -> str:
        made = self.made
        if made is None:
            signed = any(not each.active for each in self.context.vaults.made_by(self.operation.id))
            return "everybody's signature on the new epoch" if signed else "the dealers and the new signers"
        if missing := made.missing_acknowledgements:
            return f"the acknowledgement of {', '.join(map(self.context.name_of, missing))}"
        return ""

    def aftermath(self) -> str:
        made = self.made
        if made is None:
            signed = self.context.vaults.made_by(self.operation.id)
            return f"; {UNCERTAIN.format(signed[-1].epoch)}" if signed else ""
        waiting = ", ".join(map(self.context.name_of, made.missing_acknowledgements))
        return (
            f"; epoch {made.epoch} lives, but waits for the acknowledgement of {waiting}, and for its sake the one"
            " before is not erased: another reshare or refresh does without"
        )
