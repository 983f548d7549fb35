"""Signing a transaction: read by every node, for what it is said to be for, and given back ready to be sent."""

from __future__ import annotations

from dataclasses import replace

from quorate.ceremony import descriptions
from quorate.ceremony.context import Context
from quorate.ceremony.ports import OperationRow
from quorate.ceremony.procedures.procedure import Shown
from quorate.ceremony.procedures.signing import Signing
from quorate.errors import UsageError
from quorate.identifiers import Curve, VaultId
from quorate.operations import payload, request_json
from quorate.operations.addresses import account_of, ethereum_account
from quorate.operations.effect import Action
from quorate.operations.kinds import Algorithm, Kind, Operation, SignTransaction
from quorate.operations.reading import effect_of
from quorate.operations.request_json import Json
from quorate.operations.signatures import EcdsaSignature
from quorate.operations.transactions import evm
from quorate.operations.transactions.evm import Transaction
from quorate.operations.transactions.purposes import require_purpose


class Transacting(Signing):
    def __init__(self, context: Context, operation: Operation, request: SignTransaction) -> None:
        super().__init__(context, operation, request)
        self.transaction_request = request

    def admit(self) -> None:
        super().admit()
        request = self.transaction_request
        if request.signing.algorithm is not Algorithm.ESKEC256:
            raise UsageError(
                f"CE-1.7 payload: a transaction is signed with ESKEC256, not {request.signing.algorithm}",
                code="UNSUPPORTED_ALGORITHM",
            )
        try:
            actions = self._actions()
            require_purpose(request.purpose, request.claim, self._transaction(), actions)
            self._require_vault(actions)
        except UsageError as error:
            raise UsageError(f"CE-1.7 payload: {error}", code=error.code) from None

    def request_json(self) -> Json:
        vault = descriptions.described(self.context, self.operation, self._live())
        return request_json.sign_json(self.operation, vault, actions=self._actions())

    def shown(self, row: OperationRow) -> Shown:
        """With the signed transaction, as it is sent to the chain."""
        shown = super().shown(row)
        return replace(
            shown,
            signatures=tuple(
                replace(
                    view,
                    transaction=self._transaction().signed(
                        EcdsaSignature.of(view.signature, view.recovery_id or 0)
                    ),
                )
                for view in shown.signatures
            ),
        )

    def _transaction(self) -> Transaction:
        [message] = payload.messages(self.request.signing)
        return evm.read(message)

    def _actions(self) -> tuple[Action, ...]:
        return effect_of(self.operation, self.payer()).actions

    def _require_vault(self, actions: tuple[Action, ...]) -> None:
        """A transfer between vaults pays the other one's own account. Who is no signer of that vault cannot know
        its account, and takes no word for it: a rule may let this kind pass where it lets no other."""
        request = self.transaction_request
        if (request.purpose is Kind.TRANSFER_BETWEEN) != bool(request.claim.vault):
            raise UsageError(
                "OP-8.3 vault: a transfer between vaults, and nothing else, names the vault that it pays",
                code="CLAIM_DISAGREES",
            )
        if not request.claim.vault:
            return
        vault = self.context.vaults.get(VaultId(request.claim.vault))
        account = ethereum_account(vault.record.key(Curve.SECP256K1).public_key)
        if account_of(actions[-1].receiver or "") != account:
            raise UsageError(
                f"OP-8.3 vault: {actions[-1].receiver} is not the account of vault {vault.name}",
                code="CLAIM_DISAGREES",
            )
