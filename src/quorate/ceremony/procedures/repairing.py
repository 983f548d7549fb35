"""Resetting a pair's set-up: the two vote on it, and make the next generation."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.ceremony import descriptions, reset_book, resets
from quorate.ceremony.agreement import Agreement
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Electorate
from quorate.ceremony.ports import OperationRow
from quorate.ceremony.procedures.procedure import Basis, Procedure, Run, Shown
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, VaultId
from quorate.operations import request_json
from quorate.operations.kinds import Operation, PairReset
from quorate.operations.request_json import Json, SetupFacts


class Repairing(Procedure):
    unanimous = True

    def __init__(self, context: Context, operation: Operation, request: PairReset) -> None:
        super().__init__(context, operation)
        self.request = request

    @property
    def vault(self) -> VaultId:
        return VaultId(self.request.vault)

    def admit(self) -> None:
        resets.check(self.context, self.operation, self.request)

    def request_json(self) -> Json:
        context, vault = self.context, resets.live(self.context, self.request)
        rows = resets.held(context, vault, resets.other(context, self.request))
        present = SetupFacts(generation=rows[-1].generation, state=rows[-1].state.value) if rows else None
        told = descriptions.described(context, self.operation, vault)
        return request_json.pair_reset_json(self.operation, told, present)

    def electorate(self) -> Electorate:
        sharing = resets.live(self.context, self.request).sharing
        weights = {DeviceId(device): sharing.seat(DeviceId(device)).weight for device in self.request.pair}
        return Electorate(weights, sum(weights.values()))

    def concerned(self) -> frozenset[DeviceId]:
        return frozenset(map(DeviceId, self.request.pair))

    def stage(self) -> str:
        return "pair"

    def basis(self, stage: str) -> Basis:
        if stage != "pair":
            raise UsageError(f"CE-3.8 stage: {stage} is no stage of a pair reset", code="WRONG_STAGE")
        vault = resets.live(self.context, self.request)
        resets.check_generation(self.context, vault, self.request)
        return Basis(
            sharing=vault.sharing, vault=vault.id, previous=vault.certificate_hash, epoch=vault.epoch
        )

    def exclusive(self, stage: str) -> tuple[object, ...]:  # noqa: ARG002 - there is one stage
        return (self.request.vault, self.request.pair)

    def protocol(self, agreement: Agreement, setups: Mapping[DeviceId, bytes]) -> Run:  # noqa: ARG002
        return reset_book.protocol(self.context, self.request)

    def keep(self, agreement: Agreement, result: object) -> None:  # noqa: ARG002 - the book has kept it
        self.settle()

    def settle(self) -> None:
        resets.settle(self.context, self.operation, self.request)

    def believe(self, sender: DeviceId, result: bytes) -> None:
        resets.believe(self.context, self.operation, self.request, sender, result)

    def shown(self, row: OperationRow) -> Shown:
        return Shown(vault=row.vault)
