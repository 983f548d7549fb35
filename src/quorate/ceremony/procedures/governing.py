"""Changing the policy: voted on by the governing vault's threshold, and signed with its own key.

docs/spec/policy.md (PG). Every node builds the message that is signed from its own records.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

from quorate.ceremony import descriptions, results
from quorate.ceremony.agreement import Agreement
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Electorate
from quorate.ceremony.journal import known_row
from quorate.ceremony.ports import OperationRow
from quorate.ceremony.procedures.procedure import Basis, Procedure, Run, Shown
from quorate.ceremony.statements import Parties
from quorate.ceremony.vaults import Vault
from quorate.errors import Denied, EncodingError, UsageError
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations import request_json
from quorate.operations.kinds import Operation, PolicyChange
from quorate.operations.request_json import Json
from quorate.primitives.drbg import Drbg
from quorate.protocols.policy import SignedPolicy, policy_digest, sign_policy
from quorate.wire.codec import Bytes64, Message, decode, encode
from quorate.wire.net import Net


class PolicySignature(Message):
    """What a policy change comes to. ``signers`` is whose signature it is, as this node saw it."""

    signers: Parties
    signature: Bytes64


class Governance(Procedure):
    def __init__(self, context: Context, operation: Operation, request: PolicyChange) -> None:
        super().__init__(context, operation)
        self.request = request

    @property
    def vault(self) -> VaultId:
        return VaultId(self.request.vault)

    @property
    def signs_with(self) -> VaultId:
        return self.vault

    def study(self) -> None:
        """Only what is proposed by a signer, and could be admitted: reading is work."""
        policies = self.context.policies
        if self.operation.proposer in policies.signers:
            try:
                policies.require_base(self.request)
            except UsageError:
                return  # ``admit`` says so
            with policies.toil.of(DeviceId(self.operation.proposer)):
                self.context.rulebook.read(self.request.policy)

    def admit(self) -> None:
        context, request = self.context, self.request
        context.policies.require_base(request)
        vault, proposer = self._live(), self.operation.proposer
        if not vault.ready:
            waiting = ", ".join(map(context.name_of, vault.missing_acknowledgements))
            raise UsageError(
                f"CE-1.6 epoch: vault {vault.name} awaits the acknowledgement of {waiting}",
                code="VAULT_NOT_READY",
            )
        if proposer not in vault.sharing.devices:
            raise UsageError(
                f"CE-1.5 membership: the proposer ({proposer}) is not in the roster", code="NOT_IN_ROSTER"
            )
        context.rulebook.read(request.policy)

    def request_json(self) -> Json:
        context, request = self.context, self.request
        vault = descriptions.described(context, self.operation, self._live())
        return request_json.policy_change_json(self.operation, vault, context.rulebook.read(request.policy))

    def electorate(self) -> Electorate:
        shared = self._live().sharing
        return Electorate({seat.device: seat.weight for seat in shared.seats}, shared.threshold)

    def concerned(self) -> frozenset[DeviceId]:
        """The roster that it was proposed to."""
        vaults = self.context.vaults
        held = vaults.held(self.vault, self.request.certificate) or vaults.get(self.vault)
        return frozenset(held.sharing.devices)

    def require_current(self) -> None:
        if not self._in_force():
            self.context.policies.require_base(self.request)
        super().require_current()

    def stage(self) -> str:
        return "policy"

    def basis(self, stage: str) -> Basis:
        if stage != "policy":
            raise UsageError(f"CE-3.8 stage: {stage} is no stage of a policy change", code="WRONG_STAGE")
        self.context.policies.require_base(self.request)
        vault = self._live()
        return Basis(
            sharing=vault.sharing, vault=vault.id, previous=vault.certificate_hash, epoch=vault.epoch
        )

    def exclusive(self, stage: str) -> Hashable:  # noqa: ARG002 - there is one stage
        return ("policy", self.vault)

    def protocol(self, agreement: Agreement, setups: Mapping[DeviceId, bytes]) -> Run:  # noqa: ARG002
        rng = Drbg(self.context.entropy.secret(32))
        return lambda net: self._sign(net, agreement, rng)

    async def _sign(self, net: Net, agreement: Agreement, rng: Drbg) -> bytes:
        request = self.request
        quorum = self.context.vaults.quorum(self._live(), Curve.ED25519, agreement.parties)
        digest = policy_digest(request.policy)
        return await sign_policy(net, quorum, request.version, digest, rng, self._release(agreement))

    def _release(self, agreement: Agreement) -> Callable[[], None]:
        context, operation, request = self.context, self.operation, self.request
        digest = policy_digest(request.policy)

        def release() -> None:
            """Right before a share leaves: as for any signature (rules CE-4), for no two policies of a version, and
            while what it replaces is still in force."""
            context.policies.require_base(request)
            if context.steady.expired(known_row(context, operation.id)):
                raise Denied("the operation expired before the share left", approver="", rule="CE-4.1 expiry")
            if not context.ledger.release_policy(
                operation.id, agreement.attempt, operation.digest, version=request.version, policy=digest
            ):
                raise Denied("no approval of this attempt is journalled", approver="", rule="CE-4.2 approval")

        return release

    def keep(self, agreement: Agreement, result: object) -> None:
        if isinstance(result, bytes):
            self.complete(PolicySignature(signers=agreement.parties, signature=result))

    def settle(self) -> None:
        held = self.context.policies.in_force()
        if held is not None and self._in_force():
            self._ended(PolicySignature(signers=held.signers, signature=held.signature))

    def believe(self, sender: DeviceId, result: bytes) -> None:  # noqa: ARG002 - a signature from anywhere does
        """Rule CE-5.1: a signature completes the operation if it verifies, and then puts the policy in force."""
        try:
            shown = decode(PolicySignature, result)
        except EncodingError as error:
            raise UsageError(f"CE-5.1 signatures: {error}", code="MALFORMED") from None
        self.complete(shown)

    def complete(self, shown: PolicySignature) -> None:
        """Put the policy in force, if the signature is the governing vault's for it, and end the operation. A later one
        stays in force. Blocking."""
        request = self.request
        signed = SignedPolicy(
            vault=request.vault, version=request.version, policy=request.policy, certificate=request.certificate,
            signature=shown.signature,
        )  # fmt: skip
        signers = tuple(map(DeviceId, shown.signers))
        self.context.policies.take(signed, signers, at_ms=self.context.clock.now_ms())
        self._ended(shown)

    def _in_force(self) -> bool:
        held = self.context.policies.in_force()
        return held is not None and (held.version, held.policy) == (self.request.version, self.request.policy)

    def _ended(self, made: PolicySignature) -> None:
        results.complete(self.context, self.operation.id, encode(made))

    def shown(self, row: OperationRow) -> Shown:
        signers = decode(PolicySignature, row.result).signers if row.result else ()
        return Shown(vault=row.vault, signers=tuple(map(DeviceId, signers)))

    def _live(self) -> Vault:
        return self.context.vaults.require_live(self.vault, self.request.epoch, self.request.certificate)
