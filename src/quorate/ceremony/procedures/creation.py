"""Creating a vault: everybody of the new roster votes, makes the keys together, and tries them."""

from __future__ import annotations

from quorate.ceremony import descriptions
from quorate.ceremony.agreement import Agreement
from quorate.ceremony.book import LedgerBook
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Electorate
from quorate.ceremony.procedures.founding import Founding, check_members
from quorate.ceremony.procedures.procedure import Basis, Run
from quorate.errors import UsageError
from quorate.identifiers import DeviceId
from quorate.operations import request_json
from quorate.operations.kinds import CreateVault, Operation, vault_id
from quorate.operations.request_json import Json
from quorate.protocols import keygen
from quorate.protocols.quorum import Sharing, sharing_of


class Creation(Founding):
    founding = "keygen"

    def __init__(self, context: Context, operation: Operation, request: CreateVault) -> None:
        super().__init__(context, operation)
        self.request = request

    @property
    def vault(self) -> None:
        return None

    def admit(self) -> None:
        context = self.context
        check_members(context, self.request.members)
        for device, who in ((context.me, "this node"), (self.operation.proposer, "the proposer")):
            if device not in self.concerned():
                raise UsageError(
                    f"CE-1.5 membership: {who} ({device}) is not in the roster", code="NOT_IN_ROSTER"
                )
        self.sharing()

    def request_json(self) -> Json:
        weights = {DeviceId(member.device): member.weight for member in self.request.members}
        told = descriptions.signers(self.context, self.operation, weights)
        return request_json.create_vault_json(self.operation, told)

    def electorate(self) -> Electorate:
        weights = {DeviceId(member.device): member.weight for member in self.request.members}
        return Electorate(weights, sum(weights.values()))

    def concerned(self) -> frozenset[DeviceId]:
        return frozenset(DeviceId(member.device) for member in self.request.members)

    def sharing(self) -> Sharing:
        request = self.request
        return sharing_of(request.members, request.threshold, allow_sole_signer=request.allow_sole_signer)

    def founding_basis(self) -> Basis:
        return Basis(sharing=self.sharing())

    def founding_protocol(self, agreement: Agreement) -> Run:
        context = self.context
        return lambda net: keygen.create(
            net,
            agreement.sharing,
            context.entropy,  # what is kept for years never passes through Python's memory
            LedgerBook(context, self.operation.id),
            vault=vault_id(agreement.ceremony_id),
            attempt=agreement.attempt,
            sign=context.identity.sign,
        )

    def aftermath(self) -> str:
        if self.stage() == self.founding:
            return ""
        return "; the new vault was made, and no other trial follows: make another vault"
