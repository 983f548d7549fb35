"""Signing: voted on by the threshold, and what a session of it runs, with this node's say before a share leaves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from quorate.ceremony import descriptions, results
from quorate.ceremony.agreement import Agreement
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Electorate
from quorate.ceremony.journal import known_row
from quorate.ceremony.ports import OperationRow
from quorate.ceremony.procedures.procedure import Basis, Procedure, Run, Shown
from quorate.ceremony.session import Patience
from quorate.ceremony.statements import Parties
from quorate.ceremony.vaults import Vault
from quorate.ceremony.views import SignatureView
from quorate.curves import Randomness
from quorate.errors import Denied, EncodingError, ProtocolAbort, UsageError
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations import payload, request_json
from quorate.operations.addresses import ethereum_account
from quorate.operations.digests import signing_digest
from quorate.operations.kinds import Operation, Signature
from quorate.operations.request_json import Json
from quorate.operations.signatures import split, verifies
from quorate.operations.transactions.actions import Payer
from quorate.primitives.drbg import Drbg
from quorate.protocols.ecdsa.batch import sign_batch
from quorate.protocols.ecdsa.sign import MAX_MESSAGES
from quorate.protocols.eddsa import frost
from quorate.wire.codec import Message, decode, encode
from quorate.wire.net import Net

T = TypeVar("T")

MULTIPLICATION = 0.05  # seconds: ten times what one message takes with one peer on a busy machine

Kept = Annotated[bytes, Meta(min_length=64, max_length=65)]
"""A signature: 64 bytes, and for ECDSA the recovery id after them."""


class Signatures(Message):
    """One per message, in order. ``signers`` is who made them, as this node saw it."""

    signers: Parties
    signatures: Annotated[tuple[Kept, ...], Meta(min_length=1, max_length=1000)]


class Signing(Procedure):
    def __init__(self, context: Context, operation: Operation, request: Signature) -> None:
        super().__init__(context, operation)
        self.request = request

    @property
    def vault(self) -> VaultId:
        return VaultId(self.request.vault)

    @property
    def signs_with(self) -> VaultId:
        return self.vault

    def admit(self) -> None:
        vault, proposer = self._live(), self.operation.proposer
        if not vault.ready:
            waiting = ", ".join(map(self.context.name_of, vault.missing_acknowledgements))
            raise UsageError(
                f"CE-1.6 epoch: vault {vault.name} awaits the acknowledgement of {waiting}",
                code="VAULT_NOT_READY",
            )
        if proposer not in vault.sharing.devices:
            raise UsageError(
                f"CE-1.5 membership: the proposer ({proposer}) is not in the roster", code="NOT_IN_ROSTER"
            )
        try:
            payload.messages(self.request.signing)
            vault.key(self.request.signing)
        except UsageError as error:
            raise UsageError(f"CE-1.7 payload: {error}", code=error.code) from None

    def request_json(self) -> Json:
        vault = descriptions.described(self.context, self.operation, self._live())
        return request_json.sign_json(self.operation, vault)

    def payer(self) -> Payer | None:
        if self.request.signing.algorithm.curve is not Curve.SECP256K1:
            return None
        return Payer(account=ethereum_account(self._public_key()), tokens=self.context.tokens)

    def electorate(self) -> Electorate:
        shared = self._live().sharing
        return Electorate({seat.device: seat.weight for seat in shared.seats}, shared.threshold)

    def concerned(self) -> frozenset[DeviceId]:
        """The roster that it was proposed to."""
        vaults = self.context.vaults
        held = vaults.held(self.vault, self.request.certificate) or vaults.get(self.vault)
        return frozenset(held.sharing.devices)

    def stage(self) -> str:
        return "sign"

    def basis(self, stage: str) -> Basis:
        if stage != "sign":
            raise UsageError(f"CE-3.8 stage: {stage} is no stage of signing", code="WRONG_STAGE")
        vault = self._live()
        return Basis(
            sharing=vault.sharing, vault=vault.id, previous=vault.certificate_hash, epoch=vault.epoch
        )

    def multiplying(self, stage: str) -> Vault | None:  # noqa: ARG002 - there is one stage
        if self.request.signing.algorithm.curve is not Curve.SECP256K1:
            return None
        return self.context.vaults.get(self.vault)

    def patience(self, parties: Collection[DeviceId]) -> Patience:
        """A session that multiplies for a batch has as much longer as that is work, and a party that says nothing may
        be at work on one chunk."""
        usual, signing = self.context.limits.patience, self.request.signing
        if signing.algorithm.curve is not Curve.SECP256K1:
            return usual
        message, count = MULTIPLICATION * (len(parties) - 1), len(signing.data)
        return replace(
            usual,
            silence=usual.silence + message * min(count, MAX_MESSAGES),
            deadline=usual.deadline + message * count,
        )

    def protocol(self, agreement: Agreement, setups: Mapping[DeviceId, bytes]) -> Run:
        rng = Drbg(self.context.entropy.secret(32))
        return lambda net: self._sign(net, agreement, setups, rng)

    async def _sign(
        self, net: Net, agreement: Agreement, setups: Mapping[DeviceId, bytes], rng: Randomness
    ) -> tuple[bytes, ...]:
        """The signatures in the form that nodes keep, one for each message. ``setups`` names the pair set-ups
        journalled for this session."""
        context, signing = self.context, self.request.signing
        curve, vault = signing.algorithm.curve, self._live()
        quorum = context.vaults.quorum(vault, curve, agreement.parties)
        key = vault.key(signing)
        tweak = key.tweak if key.depth else None
        messages, release = payload.messages(signing), self._release(agreement)
        if curve is Curve.ED25519:
            return await frost.sign(net, quorum, messages, tweak, rng, release)
        digests = [signing_digest(signing.algorithm, message) for message in messages]
        read = context.pairs.reader(vault, setups)
        signing_batch = sign_batch(net, quorum, digests, tweak, read, rng, release)
        signed = await ending_setups(context, setups, signing_batch)
        return tuple(signature.compact + bytes([signature.recovery_id]) for signature in signed)

    def _release(self, agreement: Agreement) -> Callable[[], None]:
        context, operation = self.context, self.operation

        def release() -> None:
            """Right before a share leaves: still wanted, still approved, of the epoch that lives, and journalled
            (rules CE-4)."""
            if context.steady.expired(known_row(context, operation.id)):
                raise Denied("the operation expired before the share left", approver="", rule="CE-4.1 expiry")
            if not context.ledger.release(operation.id, agreement.attempt, operation.digest):
                raise Denied("no approval of this attempt is journalled", approver="", rule="CE-4.2 approval")

        return release

    def keep(self, agreement: Agreement, result: object) -> None:
        if isinstance(result, tuple):
            kept = Signatures(signers=agreement.parties, signatures=result)
            results.complete(self.context, self.operation.id, encode(kept))

    def believe(self, sender: DeviceId, result: bytes) -> None:  # noqa: ARG002 - signatures from anywhere do
        """Rule CE-5.1: signatures complete the operation if they verify."""
        try:
            shown = decode(Signatures, result)
        except EncodingError as error:
            raise UsageError(f"CE-5.1 signatures: {error}", code="MALFORMED") from None
        signing = self.request.signing
        messages, key = payload.messages(signing), self._public_key()
        good = len(messages) == len(shown.signatures) and all(
            verifies(signing.algorithm, key, message, signature)
            for message, signature in zip(messages, shown.signatures, strict=True)
        )
        if not good:
            raise UsageError("CE-5.1 signatures: a signature shown does not verify", code="BAD_SIGNATURE")
        results.complete(self.context, self.operation.id, result)

    def shown(self, row: OperationRow) -> Shown:
        if not row.result:
            return Shown(vault=row.vault)
        held, signing = decode(Signatures, row.result), self.request.signing
        key = self._public_key()
        views = tuple(
            SignatureView(
                algorithm=signing.algorithm.value,
                message=message,
                signature=signature,
                public_key=key,
                recovery_id=recovery_id,
            )
            for message, (signature, recovery_id) in zip(
                payload.messages(signing), map(split, held.signatures), strict=True
            )
        )
        return Shown(vault=row.vault, signers=tuple(map(DeviceId, held.signers)), signatures=views)

    def _live(self) -> Vault:
        return self.context.vaults.require_live(self.vault, self.request.epoch, self.request.certificate)

    def _public_key(self) -> bytes:
        """The same in every epoch, also in one that we are no signer of."""
        vaults = self.context.vaults
        held = vaults.newest_vault(self.vault) or vaults.get(self.vault)
        return held.key(self.request.signing).public_key


async def ending_setups(
    context: Context, setups: Mapping[DeviceId, bytes], protocol: Coroutine[Any, None, T]
) -> T:
    """Run ``protocol``; where a peer cheats in a way that tells it something of our set-up with it, the set-up is over,
    on disk too, before this node says anything more (rule CE-6.3)."""
    try:
        return await protocol
    except ProtocolAbort as failure:
        if failure.cheat:
            context.pairs.end([setups[culprit] for culprit in failure.culprits], str(failure))
        raise
