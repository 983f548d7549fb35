"""Views of the client side to protobuf and back. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TypeVar

from quorate.ceremony.audit import AuditVerdict, Flaw
from quorate.ceremony.identity import read_card
from quorate.ceremony.ports import Decided, Decision, DecisionRow, SetupState, State, Verdict
from quorate.ceremony.rulebook import PolicyRow, PolicyView, ServedPolicy
from quorate.ceremony.views import (
    AskedView,
    Cause,
    NodeStatus,
    OperationView,
    SetupView,
    SignatureView,
    SignerView,
    VaultView,
    VoteView,
)
from quorate.identifiers import Curve, DeviceId, OperationId, VaultId
from quorate.operations.kinds import TRANSACTIONS
from quorate.protocols.policy import policy_digest
from quorate.rpc._pb import admin_pb2, node_pb2, types_pb2
from quorate.rpc.findings import Examination, Finding, Level, Pair
from quorate.rpc.registry import Access
from quorate.rpc.upkeep import BackupFile, Certificates, Earlier
from quorate.storage.clients import EVERY, Client, Credential, Grant

K = TypeVar("K")

CURVES = {
    Curve.SECP256K1: types_pb2.CURVE_SECP256K1,
    Curve.ED25519: types_pb2.CURVE_ED25519,
}
VAULT_STATES = {
    "pending": types_pb2.VAULT_STATE_PENDING,
    "active": types_pb2.VAULT_STATE_ACTIVE,
    "ready": types_pb2.VAULT_STATE_READY,
    "quarantined": types_pb2.VAULT_STATE_QUARANTINED,
}
PURPOSES = {
    kind.value: types_pb2.OperationKind.Value(f"OPERATION_KIND_{kind.name}") for kind in sorted(TRANSACTIONS)
}
KINDS = {
    "create-vault": types_pb2.OPERATION_KIND_CREATE_VAULT,
    "sign": types_pb2.OPERATION_KIND_SIGN,
    "batch-sign": types_pb2.OPERATION_KIND_BATCH_SIGN,
    "pair-reset": types_pb2.OPERATION_KIND_PAIR_RESET,
    "reshare": types_pb2.OPERATION_KIND_RESHARE,
    "policy-change": types_pb2.OPERATION_KIND_POLICY_CHANGE,
} | PURPOSES
SETUP_STATES = {state: types_pb2.SetupState.Value(f"SETUP_STATE_{state.value}") for state in SetupState}
STATES = {state: types_pb2.OperationState.Value(f"OPERATION_STATE_{state.value}") for state in State}
VERDICTS = {
    "": types_pb2.VERDICT_UNSPECIFIED,
    "approve": types_pb2.VERDICT_APPROVE,
    "reject": types_pb2.VERDICT_REJECT,
    "abstain": types_pb2.VERDICT_ABSTAIN,
}
LEVELS = {level: admin_pb2.FindingLevel.Value(f"FINDING_LEVEL_{level.name}") for level in Level}


def _named(table: Mapping[K, int], value: int) -> K:
    """The name of an enum value; one this version does not know is a ValueError, never a default."""
    for name, number in table.items():
        if number == value:
            return name
    raise ValueError(f"the node answered with enum value {value}, which this version does not know")


def policy_to_pb(view: PolicyView) -> node_pb2.Policy:
    return node_pb2.Policy(
        served=[
            node_pb2.ServedPolicy(
                section=each.section, source=each.source, policy=each.policy, refused=each.refused
            )
            for each in view.served
        ],
        signed=None if view.signed is None else signed_policy_to_pb(view.signed),
        latest=view.latest,
        vault=view.vault,
        public_key=view.public_key,
    )


def policy_from_pb(message: node_pb2.Policy) -> PolicyView:
    return PolicyView(
        served=tuple(
            ServedPolicy(section=each.section, source=each.source, policy=each.policy, refused=each.refused)
            for each in message.served
        ),
        signed=signed_policy_from_pb(message.signed) if message.HasField("signed") else None,
        latest=message.latest,
        vault=message.vault,
        public_key=message.public_key,
    )


def signed_policy_to_pb(row: PolicyRow) -> node_pb2.SignedPolicy:
    return node_pb2.SignedPolicy(
        vault=row.vault,
        version=row.version,
        policy=row.policy,
        certificate=row.certificate,
        signature=row.signature,
        digest=policy_digest(row.policy),
        signers=row.signers,
        in_force_ms=row.at_ms,
    )


def signed_policy_from_pb(message: node_pb2.SignedPolicy) -> PolicyRow:
    return PolicyRow(
        version=message.version,
        vault=VaultId(message.vault),
        policy=message.policy,
        certificate=message.certificate,
        signature=message.signature,
        signers=tuple(map(DeviceId, message.signers)),
        at_ms=message.in_force_ms,
    )


def vault_to_pb(view: VaultView) -> types_pb2.Vault:
    return types_pb2.Vault(
        id=view.id,
        name=view.name,
        epoch=view.epoch,
        certificate_hash=view.certificate_hash,
        threshold=view.threshold,
        signers=[
            types_pb2.Signer(device=each.device, name=each.name, weight=each.weight, online=each.online)
            for each in view.signers
        ],
        state=VAULT_STATES[view.state],
        public_keys=[
            types_pb2.PublicKey(
                curve=CURVES[curve],
                public_key=view.public_keys.get(curve, b""),
                chain_code=view.chain_codes.get(curve, b""),
                xpub=view.xpubs.get(curve, ""),
            )
            for curve in Curve
            if curve in view.public_keys or curve in view.chain_codes or curve in view.xpubs
        ],
        setups=[
            types_pb2.PairSetup(
                device=each.device,
                name=each.name,
                generation=each.generation,
                state=SETUP_STATES[each.state],
            )
            for each in view.setups
        ],
    )


def vault_from_pb(message: types_pb2.Vault) -> VaultView:
    keys = {_named(CURVES, each.curve): each for each in message.public_keys}
    return VaultView(
        id=VaultId(message.id),
        name=message.name,
        epoch=message.epoch,
        certificate_hash=message.certificate_hash,
        threshold=message.threshold,
        signers=tuple(
            SignerView(device=DeviceId(each.device), name=each.name, weight=each.weight, online=each.online)
            for each in message.signers
        ),
        state=_named(VAULT_STATES, message.state),
        public_keys={curve: each.public_key for curve, each in keys.items() if each.public_key},
        chain_codes={curve: each.chain_code for curve, each in keys.items() if each.chain_code},
        xpubs={curve: each.xpub for curve, each in keys.items() if each.xpub},
        setups=tuple(
            SetupView(
                device=DeviceId(each.device),
                name=each.name,
                generation=each.generation,
                state=_named(SETUP_STATES, each.state),
            )
            for each in message.setups
        ),
    )


def signature_to_pb(view: SignatureView) -> types_pb2.Signature:
    return types_pb2.Signature(
        algorithm=view.algorithm,
        message=view.message,
        signature=view.signature,
        public_key=view.public_key,
        recovery_id=view.recovery_id,
        transaction=view.transaction,
    )


def signature_from_pb(message: types_pb2.Signature) -> SignatureView:
    return SignatureView(
        algorithm=message.algorithm,
        message=message.message,
        signature=message.signature,
        public_key=message.public_key,
        recovery_id=message.recovery_id if message.HasField("recovery_id") else None,
        transaction=message.transaction,
    )


def operation_to_pb(view: OperationView, *, signatures: bool = True) -> types_pb2.Operation:
    """``signatures=False`` leaves them out, as lists do: all of them may be more than an answer holds."""
    return types_pb2.Operation(
        id=view.id,
        kind=KINDS[view.kind],
        vault=view.vault,
        state=STATES[view.state],
        created_ms=view.created_ms,
        expires_ms=view.expires_ms,
        proposer=view.proposer,
        votes=[
            types_pb2.Vote(
                device=each.device,
                name=each.name,
                weight=each.weight,
                verdict=VERDICTS[each.verdict],
                approver=each.approver,
                rule=each.rule,
            )
            for each in view.votes
        ],
        approved_weight=view.approved_weight,
        threshold=view.threshold,
        attempt=view.attempt,
        reason=view.reason,
        detail=view.detail,
        culprits=view.culprits,
        signature_may_exist=view.signature_may_exist,
        signers=view.signers,
        signatures=[signature_to_pb(each) for each in view.signatures] if signatures else [],
        phase=view.phase,
    )


def operation_from_pb(message: types_pb2.Operation) -> OperationView:
    return OperationView(
        id=OperationId(message.id),
        kind=_named(KINDS, message.kind),
        vault=VaultId(message.vault) if message.HasField("vault") else None,
        state=_named(STATES, message.state),
        created_ms=message.created_ms,
        expires_ms=message.expires_ms,
        proposer=DeviceId(message.proposer),
        votes=tuple(
            VoteView(
                device=DeviceId(each.device),
                name=each.name,
                weight=each.weight,
                verdict=_named(VERDICTS, each.verdict),
                approver=each.approver,
                rule=each.rule,
            )
            for each in message.votes
        ),
        approved_weight=message.approved_weight,
        threshold=message.threshold,
        attempt=message.attempt,
        reason=message.reason,
        detail=message.detail,
        culprits=tuple(DeviceId(each) for each in message.culprits),
        signature_may_exist=message.signature_may_exist,
        signers=tuple(DeviceId(each) for each in message.signers),
        signatures=tuple(signature_from_pb(each) for each in message.signatures),
        phase=message.phase,
    )


def asked_to_pb(view: AskedView) -> node_pb2.ApprovalRequest:
    return node_pb2.ApprovalRequest(
        operation=view.operation, digest=view.digest, request=view.request, pending=view.pending
    )


def asked_from_pb(message: node_pb2.ApprovalRequest) -> AskedView:
    return AskedView(
        operation=OperationId(message.operation),
        digest=message.digest,
        request=message.request,
        pending=message.pending,
    )


def status_to_pb(view: NodeStatus) -> admin_pb2.NodeStatus:
    return admin_pb2.NodeStatus(
        device=view.device,
        name=view.name,
        version=view.version,
        started_ms=view.started_ms,
        boot=view.boot,
        peers=[
            admin_pb2.PeerStatus(device=device, connected=connected)
            for device, connected in sorted(view.peers.items())
        ],
        vaults=[vault_to_pb(each) for each in view.vaults],
        unfinished=view.unfinished,
        not_ready=[
            admin_pb2.NotReady(code=cause.code, detail=cause.detail, vault=cause.vault)
            for cause in view.not_ready
        ],
        warnings=[
            admin_pb2.NotReady(code=cause.code, detail=cause.detail, vault=cause.vault)
            for cause in view.warnings
        ],
    )


def _cause(told: admin_pb2.NotReady) -> Cause:
    vault = VaultId(told.vault) if told.HasField("vault") else None
    return Cause(code=told.code, detail=told.detail, vault=vault)


def status_from_pb(message: admin_pb2.NodeStatus) -> NodeStatus:
    return NodeStatus(
        device=DeviceId(message.device),
        name=message.name,
        version=message.version,
        started_ms=message.started_ms,
        boot=message.boot,
        peers={DeviceId(each.device): each.connected for each in message.peers},
        vaults=tuple(vault_from_pb(each) for each in message.vaults),
        unfinished=message.unfinished,
        not_ready=tuple(map(_cause, message.not_ready)),
        warnings=tuple(map(_cause, message.warnings)),
    )


def grant_to_pb(grant: Grant) -> admin_pb2.Grant:
    return admin_pb2.Grant(role=grant.role, vaults=() if grant.everywhere else grant.vaults)


def grant_from_pb(message: admin_pb2.Grant) -> Grant:
    return Grant(message.role, tuple(message.vaults) or (EVERY,))


def access_to_pb(access: Access) -> admin_pb2.ClientAccess:
    return admin_pb2.ClientAccess(
        endpoint=access.endpoint, secret=access.secret, certificate_pem=access.ca_pem
    )


def access_from_pb(message: admin_pb2.ClientAccess) -> Access:
    return Access(endpoint=message.endpoint, secret=message.secret, ca_pem=message.certificate_pem)


def client_to_pb(client: Client) -> admin_pb2.Client:
    return admin_pb2.Client(
        id=client.id,
        grants=map(grant_to_pb, client.grants),
        created_ms=client.created_ms,
        revoked_ms=client.revoked_ms,
        credentials=[
            admin_pb2.Credential(
                certificate_pin=each.pin or b"", created_ms=each.created_ms, until_ms=each.until_ms
            )
            for each in client.credentials
        ],
    )


def client_from_pb(message: admin_pb2.Client) -> Client:
    return Client(
        id=message.id,
        grants=tuple(map(grant_from_pb, message.grants)),
        created_ms=message.created_ms,
        revoked_ms=message.revoked_ms if message.HasField("revoked_ms") else None,
        credentials=tuple(
            Credential(
                pin=each.certificate_pin or None,
                created_ms=each.created_ms,
                until_ms=each.until_ms if each.HasField("until_ms") else None,
            )
            for each in message.credentials
        ),
    )


def finding_to_pb(finding: Finding) -> admin_pb2.Finding:
    return admin_pb2.Finding(
        check=finding.check,
        level=LEVELS[finding.level],
        code=finding.code,
        said=finding.said,
        remedy=finding.remedy,
    )


def finding_from_pb(message: admin_pb2.Finding) -> Finding:
    return Finding(
        check=message.check,
        level=_named(LEVELS, message.level),
        code=message.code,
        said=message.said,
        remedy=message.remedy,
    )


def verdict_to_pb(verdict: AuditVerdict) -> admin_pb2.AuditVerdict:
    flaws = [
        admin_pb2.AuditFlaw(sequence=max(each.sequence, 0), rule=each.rule, said=each.said)
        for each in verdict.flaws
    ]
    return admin_pb2.AuditVerdict(records=verdict.records, last=max(verdict.last, 0), flaws=flaws)


def verdict_from_pb(message: admin_pb2.AuditVerdict) -> AuditVerdict:
    flaws = tuple(Flaw(sequence=each.sequence, rule=each.rule, said=each.said) for each in message.flaws)
    return AuditVerdict(records=message.records, last=message.last, flaws=flaws)


def examination_to_pb(examination: Examination) -> admin_pb2.Examination:
    return admin_pb2.Examination(
        findings=[finding_to_pb(each) for each in examination.findings],
        pairs=[
            admin_pb2.Pair(
                observer=pair.observer,
                peer=pair.peer,
                connected=pair.connected,
                rtt_us=None if pair.rtt is None else round(pair.rtt * 1e6),
                clock_offset_ms=None if pair.clock_offset is None else round(pair.clock_offset * 1000),
                version=pair.version,
                certificate_ends_ms=pair.certificate_ends_ms,
            )
            for pair in examination.pairs
        ],
    )


def examination_from_pb(message: admin_pb2.Examination) -> Examination:
    return Examination(
        findings=tuple(finding_from_pb(each) for each in message.findings),
        pairs=tuple(
            Pair(
                observer=pair.observer,
                peer=pair.peer,
                connected=pair.connected,
                rtt=pair.rtt_us / 1e6 if pair.HasField("rtt_us") else None,
                clock_offset=pair.clock_offset_ms / 1000 if pair.HasField("clock_offset_ms") else None,
                version=pair.version,
                certificate_ends_ms=pair.certificate_ends_ms
                if pair.HasField("certificate_ends_ms")
                else None,
            )
            for pair in message.pairs
        ),
    )


def decided_to_pb(decided: Decided) -> admin_pb2.Decision:
    row = decided.row
    return admin_pb2.Decision(
        number=decided.number, operation=row.operation, digest=row.digest,
        verdict=row.decision.verdict.name.lower(), approver=row.decision.approver, rule=row.decision.rule,
        explanation=row.decision.explanation, at_ms=row.at_ms, effect=decided.effect.decode(), counts=decided.counts,
    )  # fmt: skip


def decided_from_pb(pb: admin_pb2.Decision) -> Decided:
    said = Decision(
        verdict=Verdict[pb.verdict.upper()], approver=pb.approver, rule=pb.rule, explanation=pb.explanation
    )
    row = DecisionRow(operation=OperationId(pb.operation), digest=pb.digest, decision=said, at_ms=pb.at_ms)
    return Decided(number=pb.number, row=row, effect=pb.effect.encode(), counts=pb.counts)


def certificates_to_pb(held: Certificates) -> admin_pb2.Certificates:
    return admin_pb2.Certificates(
        card=held.me.card,
        earlier=[
            admin_pb2.EarlierCertificate(
                rev=each.rev, certificate_pem=each.certificate_pem, until_ms=each.until_ms
            )
            for each in held.earlier
        ],
        awaited=held.awaited,
        authority_pem=held.authority_pem,
    )


def certificates_from_pb(told: admin_pb2.Certificates) -> Certificates:
    return Certificates(
        me=read_card(told.card),
        earlier=tuple(
            Earlier(rev=each.rev, certificate_pem=each.certificate_pem, until_ms=each.until_ms)
            for each in told.earlier
        ),
        awaited=tuple(map(DeviceId, told.awaited)),
        authority_pem=told.authority_pem,
    )


def backup_to_pb(file: BackupFile) -> admin_pb2.BackupFile:
    return admin_pb2.BackupFile(**asdict(file))


def backup_from_pb(told: admin_pb2.BackupFile) -> BackupFile:
    return BackupFile(
        path=told.path, vault=VaultId(told.vault), vault_name=told.vault_name, epoch=told.epoch,
        attempt=told.attempt, device=told.device, made=told.made, live=told.live,
    )  # fmt: skip
