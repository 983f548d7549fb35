"""Which policy the governing vault has put in force: what proves it, what is kept of it, and who may be ahead of us.

docs/spec/policy.md (PG). Nothing in here reads a policy's rules: that is the approver's (``ports.Rulebook``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from quorate.ceremony.ports import Ledger
from quorate.ceremony.rulebook import PolicyRow, ServedPolicy
from quorate.ceremony.toil import Toil
from quorate.ceremony.vaults import Vaults
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations.kinds import PolicyChange
from quorate.operations.request_json import PolicyFacts
from quorate.protocols.policy import PolicyHead, SignedPolicy, policy_digest
from quorate.wire.codec import decode, encode

log = structlog.get_logger()

NO_GOVERNING = "PG-1.1 governing: this node has no governing vault: [policy] names none"
AHEAD = 64  # versions that a proposal may pass over, because nodes gave their shares for others


@dataclass(frozen=True, slots=True, kw_only=True)
class Governing:
    """The vault that signs this node's policies. ``key``: its Ed25519 public key, where this node was told it; who
    never was a signer of the vault knows it from nowhere else."""

    vault: VaultId
    key: bytes = b""


class Unread:
    """The rulebook of a node that has no governing vault: nothing is put in force there."""

    def read(self, policy: bytes) -> PolicyFacts:  # noqa: ARG002
        raise UsageError(NO_GOVERNING, code="NO_GOVERNING_VAULT")

    def served(self) -> Sequence[ServedPolicy]:
        return ()


class Policies:
    """Of one node. What others showed of later policies is forgotten with the process, and shown again."""

    def __init__(self, ledger: Ledger, me: DeviceId, governing: Governing | None = None) -> None:
        """``UsageError`` if this node's policies are signed, and not by this vault."""
        self._ledger, self._me, self.governing = ledger, me, governing
        self._vaults = Vaults(ledger, me)
        self._verified: tuple[PolicyRow, PolicyHead] | None = None
        self._shown: PolicyHead | None = None
        self._heard: set[DeviceId] = set()
        self.toil = Toil()
        held = ledger.policies()[-1:]
        if governing is None and not held:
            ledger.policy()  # raises where there was one, and it was taken away
        if held and (governing is None or governing.vault != held[0].vault):
            named = "no vault" if governing is None else f"vault {governing.vault}"
            raise UsageError(
                f"PG-3.1 signed: version {held[0].version} of this node's policy is signed by vault {held[0].vault},"
                f" and [policy] names {named}",
                code="POLICY_WRONG_VAULT",
            )
        self._check_key()

    # --- what is in force

    def in_force(self) -> PolicyRow | None:
        """The signed policy that counts; None before the first. ``Corrupt`` or ``UsageError`` for what the store should
        not hold."""
        row = self._ledger.policy()
        if row is not None and (self._verified is None or row is not self._verified[0]):
            head = signed_policy(row).head
            self.check(head)
            self._verified = row, head
        return row

    def base(self) -> tuple[int, bytes]:
        """Version and digest of the signed policy in force; (0, b"") before the first."""
        if self.in_force() is None or self._verified is None:
            return 0, b""
        return self._verified[1].version, self._verified[1].digest

    def proposal(
        self, policy: bytes, *, version: int | None, epoch: int, certificate: bytes, memo: str
    ) -> PolicyChange:
        """The request to put a policy in force after the present one, as the governing vault at this epoch."""
        after, replaces = self.base()
        return PolicyChange(
            vault=self.require_governing().vault, epoch=epoch, certificate=certificate, after=after, replaces=replaces,
            version=version or self.next_version(), policy=policy, memo=memo,
        )  # fmt: skip

    def next_version(self) -> int:
        """The lowest that this node can sign a policy of above all that it gave a share for, so that none of these can
        come into force later; where others refuse that, because too many were passed over, the lowest of all."""
        after, given = self.base()[0], self._ledger.policy_shares()
        above = 1 + max((after, *given))
        possible = range(after + 1, after + AHEAD + 1)
        return above if above in possible else next((each for each in possible if each not in given), above)

    def take(self, signed: SignedPolicy, signers: tuple[DeviceId, ...] = (), *, at_ms: int) -> bool:
        """Put a policy in force, if it proves itself; whether it was not already, nor a later one. Blocking."""
        self.check(signed.head)
        row = PolicyRow(
            version=signed.version, vault=VaultId(signed.vault), policy=signed.policy, certificate=signed.certificate,
            signature=signed.signature, signers=signers, at_ms=at_ms,
        )  # fmt: skip
        if not self._ledger.add_policy(row):
            return False
        log.warning("policy in force", version=row.version, digest=policy_digest(row.policy).hex())
        return True

    # --- what proves it

    def check(self, head: PolicyHead) -> None:
        """``UsageError`` unless the governing vault signed it."""
        governing = self.require_governing()
        if head.vault != governing.vault:
            raise UsageError(
                f"PG-2.2 vault: signed by vault {head.vault}; this node is governed by {governing.vault}",
                code="POLICY_WRONG_VAULT",
            )
        require_signature(head, self.public_key())

    def public_key(self) -> bytes:
        """The governing vault's, on Ed25519: no reshare changes it."""
        governing = self.require_governing()
        return self._recorded_key() or governing.key or self._no_key(governing)

    # --- who may be ahead

    @property
    def head(self) -> PolicyHead | None:
        """The highest that is known to be signed, whether or not we hold the policy."""
        held = self._verified if self.in_force() is not None else None
        return self.behind or (held[1] if held is not None else None)

    @property
    def behind(self) -> PolicyHead | None:
        """PG-3.3 behind: a later policy than ours that was shown to be signed."""
        shown = self._shown
        return shown if shown is not None and shown.version > self.base()[0] else None

    def note(self, peer: DeviceId, head: PolicyHead | None) -> None:
        """What a peer says is in force. ``UsageError`` if it proves nothing."""
        known = max(self.base()[0], self._shown.version if self._shown is not None else 0)
        if head is not None and head.version > known:
            self.check(head)
            self._shown = head
            log.error("policy behind", peer=peer, version=head.version, here=self.base()[0])
        self._heard.add(peer)

    @property
    def unheard(self) -> bool:
        """PG-3.4 heard: whether there are other signers of the governing vault, and none of them has said since we
        started which policy it holds."""
        others = self.signers - {self._me}
        return bool(others) and not others & self._heard

    @property
    def signers(self) -> frozenset[DeviceId]:
        """Of the governing vault as it is now, if we are one; else empty."""
        vault = None if self.governing is None else self._vaults.newest_vault(self.governing.vault)
        if vault is None or self._me not in vault.sharing.devices:
            return frozenset()
        return frozenset(vault.sharing.devices)

    # --- what may be proposed

    def require_base(self, request: PolicyChange) -> None:
        """``UsageError`` unless it changes the policy in force here (PG-1.1 to PG-1.3)."""
        governing = self.require_governing()
        if request.vault != governing.vault:
            raise UsageError(
                f"PG-1.1 governing: this node is governed by vault {governing.vault}, not {request.vault}",
                code="POLICY_WRONG_VAULT",
            )
        version, digest = self.base()
        if (ahead := self.behind) is not None or request.after > version:
            later = ahead.version if ahead is not None else request.after
            raise UsageError(
                f"PG-1.2 base: this node holds version {version}, and there is version {later}",
                code="POLICY_BEHIND",
            )
        if (request.after, request.replaces) != (version, digest):
            raise UsageError(
                f"PG-1.2 base: it replaces version {request.after}, and version {version} is in force here",
                code="POLICY_SUPERSEDED",
            )
        if not version < request.version <= version + AHEAD:
            raise UsageError(
                f"PG-1.3 version: {request.version} does not follow {version}", code="POLICY_VERSION"
            )
        given = self._ledger.policy_shares().get(request.version)
        if given is not None and given != policy_digest(request.policy):
            raise UsageError(
                f"PG-1.3 version: this node gave its share for another policy of version {request.version}: propose"
                f" version {self.next_version()}",
                code="POLICY_VERSION_SPENT",
            )

    def require_governing(self) -> Governing:
        if self.governing is None:
            raise UsageError(NO_GOVERNING, code="NO_GOVERNING_VAULT")
        return self.governing

    def _recorded_key(self) -> bytes:
        vault = None if self.governing is None else self._vaults.newest_vault(self.governing.vault)
        return b"" if vault is None else vault.record.key(Curve.ED25519).public_key

    def _check_key(self) -> None:
        recorded = self._recorded_key()
        if self.governing is not None and recorded and self.governing.key not in (b"", recorded):
            raise UsageError(
                f"PG-2.2 vault: [policy] key is not that of vault {self.governing.vault}, which is {recorded.hex()}",
                code="POLICY_WRONG_VAULT",
            )

    def _no_key(self, governing: Governing) -> bytes:
        raise UsageError(
            f"PG-2.2 vault: this node never was a signer of vault {governing.vault}: set [policy] key, its Ed25519 key",
            code="NO_GOVERNING_VAULT",
        )


def require_whole(signed: SignedPolicy, digest: bytes) -> None:
    """Before the signature is looked at: that there is one, and that the policy is the one it is said to be for."""
    if not any(signed.signature):
        raise UsageError(f"PG-2.3 signed: version {signed.version} has no signature", code="POLICY_UNSIGNED")
    if policy_digest(signed.policy) != digest:
        raise UsageError(
            f"PG-2.1 bytes: the policy was changed after it was signed as version {signed.version}: its digest is"
            f" {policy_digest(signed.policy).hex()}",
            code="POLICY_EDITED",
        )
    try:
        decode(SignedPolicy, encode(signed))
    except EncodingError as error:
        raise UsageError(f"the signed policy is malformed: {error}", code="MALFORMED") from None


def require_signature(head: PolicyHead, public_key: bytes) -> None:
    if not head.verify(public_key):
        raise UsageError(
            f"PG-2.4 signature: vault {head.vault} did not sign this policy as version {head.version}",
            code="POLICY_FORGED",
        )


def signed_policy(row: PolicyRow) -> SignedPolicy:
    return SignedPolicy(
        vault=row.vault,
        version=row.version,
        policy=row.policy,
        certificate=row.certificate,
        signature=row.signature,
    )
