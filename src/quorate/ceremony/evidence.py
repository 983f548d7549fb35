"""What proves that a signature was approved: signed statements, and the checks of them that need no node.

docs/spec/receipts.md, section RC-1. Nothing here is anybody's word but that of whoever signed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quorate.ceremony.statements import Proposal, Vote, hear
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.operations import payload
from quorate.operations.addresses import ethereum_account
from quorate.operations.derivation import ExtendedKey, derive
from quorate.operations.effect import Action
from quorate.operations.kinds import Operation, Signature, SignTransaction
from quorate.operations.reading import effect_of
from quorate.operations.signatures import EcdsaSignature, split, verifies
from quorate.operations.tokens import Tokens
from quorate.operations.transactions import evm
from quorate.operations.transactions.actions import Payer
from quorate.operations.transactions.purposes import require_purpose
from quorate.protocols.certificate import Certificate, EpochRecord
from quorate.protocols.trial import tried
from quorate.wire.codec import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """As a receipt carries it: the signed proposal, the certificate of the epoch that signed, the trial signatures
    over it (empty where none are kept), signed votes, and for each message its signature, 64 bytes, of ECDSA with the
    recovery id behind them."""

    proposal: bytes
    certificate: bytes
    trial: bytes
    votes: tuple[bytes, ...]
    signatures: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What the reader knows of the vault from elsewhere: the hash of its certificate, or one of its own public keys.
    Neither: the vault that the receipt names is taken for what it is."""

    certificate: bytes = b""
    public_key: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What sound evidence shows. ``key`` is the one that signed, ``votes`` are by voter, in order."""

    operation: Operation
    request: Signature
    record: EpochRecord
    votes: Mapping[DeviceId, Vote]
    key: ExtendedKey
    messages: tuple[bytes, ...]
    actions: tuple[Action, ...]
    signatures: tuple[bytes, ...]
    tried: bool

    @property
    def approved_weight(self) -> int:
        return sum(
            place.weight for place in self.record.roster
            if (vote := self.votes.get(DeviceId(place.device))) is not None and vote.verdict == "approve"
        )  # fmt: skip

    def transaction(self, signature: bytes) -> bytes:
        """The signed transaction, where one was asked for."""
        if not isinstance(self.request, SignTransaction):
            return b""
        [message] = self.messages
        compact, recovery_id = split(signature)
        return evm.read(message).signed(EcdsaSignature.of(compact, recovery_id or 0))


def prove(evidence: Evidence, anchor: Anchor) -> Proven:
    """``UsageError`` BAD_RECEIPT names the first rule that does not hold, and of what."""
    record = _record(evidence.certificate)
    vouched = _trial(record, evidence.trial)
    _require_anchor(record, anchor, tried=vouched)
    operation, request = _operation(evidence.proposal, record)
    votes = _votes(evidence.votes, operation, record)
    root = record.key(request.signing.algorithm.curve)
    try:
        key = derive(root.curve, root.public_key, root.chain_code, request.signing.derivation_path)
        proven = Proven(
            operation=operation, request=request, record=record, votes=votes, key=key,
            messages=payload.messages(request.signing), actions=effect_of(operation, _payer(key)).actions,
            signatures=evidence.signatures, tried=vouched,
        )  # fmt: skip
        if isinstance(request, SignTransaction):
            [message] = proven.messages
            require_purpose(request.purpose, request.claim, evm.read(message), proven.actions)
    except UsageError as error:
        raise bad(f"RC-1.6 operation: what it asks for is not signed: {error}") from None
    if proven.approved_weight < record.threshold:
        raise bad(f"RC-1.8 weight: approved weight {proven.approved_weight} of {record.threshold} needed")
    _require_signatures(proven)
    return proven


def bad(why: str) -> UsageError:
    return UsageError(why, code="BAD_RECEIPT")


def _record(shown: bytes) -> EpochRecord:
    try:
        certificate = decode(Certificate, shown)
        for curve in Curve:
            certificate.record.commitment(curve)
    except EncodingError as error:
        raise bad(f"RC-1.2 certificate: it does not read: {error}") from None
    if not certificate.verify():
        raise bad("RC-1.2 certificate: a signer's signature is missing or wrong")
    return certificate.record


def _trial(record: EpochRecord, shown: bytes) -> bool:
    if shown and not tried(record, shown):
        raise bad("RC-1.3 trial: the vault's keys have not signed for this certificate")
    return bool(shown)


def _require_anchor(record: EpochRecord, anchor: Anchor, *, tried: bool) -> None:
    if anchor.certificate and record.hash != anchor.certificate:
        raise bad(
            f"RC-1.4 vault: it is by certificate {record.hash.hex()}, not by {anchor.certificate.hex()}"
        )
    if not anchor.public_key:
        return
    if anchor.public_key not in {key.public_key for key in record.keys}:
        raise bad(f"RC-1.4 vault: {anchor.public_key.hex()} is no key of vault {record.vault}")
    if not (tried or anchor.certificate):
        raise bad("RC-1.4 vault: nothing shows that the vault's keys know this certificate: give its hash")


def _operation(proposal: bytes, record: EpochRecord) -> tuple[Operation, Signature]:
    try:
        proposer, said = hear(Proposal, proposal, record.signers.get)
    except UsageError as error:
        raise bad(f"RC-1.5 proposal: {error}") from None
    operation, request = said.operation, said.operation.request
    if proposer != operation.proposer:
        raise bad(f"RC-1.5 proposal: it is signed by {proposer}, who did not propose it")
    if not isinstance(request, Signature):
        raise bad(f"RC-1.6 operation: {operation.kind} asks for no signature")
    if (request.vault, request.epoch, request.certificate) != (record.vault, record.epoch, record.hash):
        raise bad("RC-1.6 operation: it is for another epoch than the certificate's, or another vault")
    return operation, request


def _votes(shown: tuple[bytes, ...], operation: Operation, record: EpochRecord) -> Mapping[DeviceId, Vote]:
    roster = {DeviceId(place.device): place.identity_key for place in record.roster}
    votes: dict[DeviceId, Vote] = {}
    for number, signed in enumerate(shown):
        try:
            voter, vote = hear(Vote, signed, roster.get)
        except UsageError as error:
            raise bad(f"RC-1.7 votes: vote {number + 1}: {error}") from None
        if (vote.operation, vote.digest) != (operation.id, operation.digest):
            raise bad(f"RC-1.7 votes: that of {voter} is on another operation")
        if votes and voter <= max(votes):
            raise bad(f"RC-1.7 votes: that of {voter} is out of order, or there twice")
        votes[voter] = vote
    return votes


def _payer(key: ExtendedKey) -> Payer | None:
    """Without anybody's token list: what is read is what everybody reads."""
    if key.curve is not Curve.SECP256K1:
        return None
    return Payer(account=ethereum_account(key.public_key), tokens=Tokens())


def _require_signatures(proven: Proven) -> None:
    messages, signatures = proven.messages, proven.signatures
    if len(messages) != len(signatures):
        raise bad(f"RC-1.9 signatures: {len(signatures)} for {len(messages)} messages")
    algorithm, key = proven.request.signing.algorithm, proven.key.public_key
    for number, (message, signature) in enumerate(zip(messages, signatures, strict=True), start=1):
        if not verifies(algorithm, key, message, signature):
            raise bad(f"RC-1.9 signatures: signature {number} is not the vault's over message {number}")
    try:
        for signature in signatures:
            proven.transaction(signature)
    except (UsageError, EncodingError) as error:
        raise bad(f"RC-1.9 signatures: no transaction takes it: {error}") from None
