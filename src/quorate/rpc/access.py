"""Who may call what: one table. What no line here allows is denied, to everybody.

Reading is anybody's who has a role on the vault. Asking, deciding and administering are three roles, so that no stolen
credential does two of them: who administers over the network makes nobody that approves or administers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from quorate.ceremony.views import Caller
from quorate.errors import UsageError
from quorate.rpc import failures
from quorate.storage.clients import Client, Grant

OWNS = "owner"  # the role of whoever can open the Unix socket: everything, everywhere


class Reach(Enum):
    VAULTS = auto()  # what it shows and touches are the vaults of the grant
    NODE = auto()  # it concerns the whole node: the grant must be for every vault


class Repeat(Enum):
    """Why a call may be made again when its answer was lost."""

    READS = auto()  # it changes nothing
    KEYED = auto()  # the request has an idempotency key
    SETTLES = auto()  # the same request again finds done what it asks for


@dataclass(frozen=True, slots=True)
class Rule:
    """``at_once``: how many such calls the node takes at a time, whoever makes them."""

    roles: frozenset[str]
    reach: Reach
    repeat: Repeat
    at_once: int | None = None


_ADMIN = frozenset({"admin"})
_SIGNER = frozenset({"signer"})
_APPROVER = frozenset({"approver"})
_ANYONE = frozenset({"admin", "signer", "approver", "viewer"})

RULES: Mapping[str, Rule] = {
    "quorate.v1.VaultService.CreateVault": Rule(_ADMIN, Reach.NODE, Repeat.KEYED),
    "quorate.v1.VaultService.GetVault": Rule(_ANYONE, Reach.VAULTS, Repeat.READS),
    "quorate.v1.VaultService.ListVaults": Rule(_ANYONE, Reach.VAULTS, Repeat.READS),
    "quorate.v1.VaultService.PairReset": Rule(_ADMIN, Reach.VAULTS, Repeat.KEYED),
    "quorate.v1.VaultService.Reshare": Rule(_ADMIN, Reach.VAULTS, Repeat.KEYED),
    "quorate.v1.VaultService.GetHistory": Rule(_ANYONE, Reach.VAULTS, Repeat.READS),
    "quorate.v1.VaultService.EraseEarlier": Rule(_ADMIN, Reach.VAULTS, Repeat.SETTLES),
    "quorate.v1.VaultService.ReleaseVault": Rule(_ADMIN, Reach.VAULTS, Repeat.SETTLES),
    "quorate.v1.SigningService.Sign": Rule(_SIGNER, Reach.VAULTS, Repeat.KEYED),
    "quorate.v1.SigningService.BatchSign": Rule(_SIGNER, Reach.VAULTS, Repeat.KEYED),
    "quorate.v1.SigningService.SignTransaction": Rule(_SIGNER, Reach.VAULTS, Repeat.KEYED),
    "quorate.v1.SigningService.GetSignature": Rule(_SIGNER, Reach.VAULTS, Repeat.READS),
    "quorate.v1.PolicyService.ChangePolicy": Rule(_ADMIN, Reach.NODE, Repeat.KEYED),
    "quorate.v1.PolicyService.GetPolicy": Rule(_ANYONE, Reach.NODE, Repeat.READS),
    "quorate.v1.PolicyService.ListPolicies": Rule(_ANYONE, Reach.NODE, Repeat.READS),
    "quorate.v1.PolicyService.InstallPolicy": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES),
    "quorate.v1.OperationService.GetOperation": Rule(_ANYONE, Reach.VAULTS, Repeat.READS),
    "quorate.v1.OperationService.ListOperations": Rule(_ANYONE, Reach.VAULTS, Repeat.READS),
    "quorate.v1.OperationService.WaitOperation": Rule(_ANYONE, Reach.VAULTS, Repeat.READS),
    "quorate.v1.OperationService.WatchOperations": Rule(_ANYONE, Reach.VAULTS, Repeat.READS),
    # A signer cancels what it asked for itself, an admin anything on its vaults.
    "quorate.v1.OperationService.CancelOperation": Rule(_SIGNER | _ADMIN, Reach.VAULTS, Repeat.SETTLES),
    "quorate.v1.OperationService.GetApprovalRequest": Rule(_ANYONE, Reach.VAULTS, Repeat.READS),
    "quorate.v1.OperationService.GetReceipt": Rule(_SIGNER, Reach.VAULTS, Repeat.READS),
    "quorate.v1.ApprovalService.ListPending": Rule(_APPROVER, Reach.VAULTS, Repeat.READS),
    # And never on what it asked for itself (PD-1.4).
    "quorate.v1.ApprovalService.Decide": Rule(_APPROVER, Reach.VAULTS, Repeat.SETTLES),
    "quorate.v1.AdminService.GetStatus": Rule(_ADMIN, Reach.NODE, Repeat.READS),
    "quorate.v1.AdminService.ListPeers": Rule(_ADMIN, Reach.NODE, Repeat.READS),
    "quorate.v1.AdminService.AddPeer": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES),
    "quorate.v1.AdminService.RemovePeer": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES),
    "quorate.v1.AdminService.TryApprover": Rule(_ADMIN, Reach.NODE, Repeat.READS, at_once=2),
    "quorate.v1.AdminService.ListDecisions": Rule(_ADMIN, Reach.NODE, Repeat.READS),
    "quorate.v1.AdminService.Examine": Rule(_ADMIN, Reach.NODE, Repeat.READS, at_once=2),
    "quorate.v1.AdminService.ListClients": Rule(_ADMIN, Reach.NODE, Repeat.READS),
    "quorate.v1.AdminService.AddClient": Rule(_ADMIN, Reach.NODE, Repeat.KEYED, at_once=2),
    "quorate.v1.AdminService.RotateClient": Rule(_ADMIN, Reach.NODE, Repeat.KEYED, at_once=2),
    "quorate.v1.AdminService.RevokeClient": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES),
    "quorate.v1.AdminService.GetCertificates": Rule(_ADMIN, Reach.NODE, Repeat.READS),
    "quorate.v1.AdminService.RotateCertificate": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES, at_once=2),
    "quorate.v1.AdminService.SetAddress": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES, at_once=2),
    "quorate.v1.AdminService.Reload": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES, at_once=2),
    "quorate.v1.AdminService.Seal": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES, at_once=2),
    "quorate.v1.AdminService.Unseal": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES, at_once=2),
    "quorate.v1.AdminService.CreateBackups": Rule(_ADMIN, Reach.NODE, Repeat.SETTLES, at_once=2),
    "quorate.v1.AdminService.ListBackups": Rule(_ADMIN, Reach.NODE, Repeat.READS, at_once=2),
    "quorate.v1.AdminService.ListAudit": Rule(_ADMIN, Reach.NODE, Repeat.READS, at_once=4),
    "quorate.v1.AdminService.ExamineAudit": Rule(_ADMIN, Reach.NODE, Repeat.READS, at_once=1),
}

# Only on the Unix socket: who stole a credential does not undo what was done against it.
OWNERS_ALONE = frozenset({"quorate.v1.AdminService.Unseal"})
SHOWS_SIGNATURES = "quorate.v1.SigningService.GetSignature"
OWNERS_TO_GIVE = frozenset({"admin", "approver"})  # roles that only the owner of the Unix socket gives
_STRENGTH = (OWNS, "admin", "signer", "approver", "viewer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """What one call of one client may show and touch: ``grants`` are those of its roles that allow the method,
    ``signing`` those that let it have signatures."""

    client: str
    grants: tuple[Grant, ...]
    signing: tuple[Grant, ...] = ()

    @property
    def everywhere(self) -> bool:
        return any(grant.everywhere for grant in self.grants)

    @property
    def owns(self) -> bool:
        return any(grant.role == OWNS for grant in self.grants)

    def covers(self, *vault: str) -> bool:
        """Whether the vault with this id, or this name, is one it may use."""
        return any(grant.covers(*vault) for grant in self.grants)

    def shows_signatures(self, *vault: str) -> bool:
        return any(grant.covers(*vault) for grant in self.signing)

    def caller(self, *vault: str) -> Caller:
        """Who asks, as the ceremonies know it: by its strongest role here, or on this vault."""
        roles = {grant.role for grant in self.grants if not vault or grant.covers(*vault)}
        return Caller(client=self.client, role=next((each for each in _STRENGTH if each in roles), ""))


def permit(client: Client, method: str) -> Permit:
    """``method`` is its full name in the descriptor. ``UsageError`` NOT_ALLOWED if nothing allows it."""
    rule = RULES.get(method)
    grants = _granting(client, rule)
    if rule is None or not grants:
        held = ", ".join(sorted(client.roles))
        raise UsageError(
            f"{client.id} has the role {held}, which may not call {method}", code=failures.NOT_ALLOWED
        )
    if method in OWNERS_ALONE and not any(grant.role == OWNS for grant in grants):
        raise UsageError(
            f"{client.id} may not call {method}: only the owner of the node's Unix socket does",
            code=failures.NOT_ALLOWED,
        )
    if rule.reach is Reach.NODE:
        grants = tuple(grant for grant in grants if grant.everywhere)
        if not grants:
            raise UsageError(
                f"{client.id} is for some vaults only, and {method} concerns the whole node",
                code=failures.NOT_ALLOWED,
            )
    return Permit(client=client.id, grants=grants, signing=_granting(client, RULES.get(SHOWS_SIGNATURES)))


def require_to_give(giver: Permit, roles: Collection[str]) -> None:
    """Nobody raises itself: over the network no client is made, or given a new secret, that could approve what this
    one had asked, or could administer after it was revoked."""
    kept = OWNERS_TO_GIVE & frozenset(roles)
    if kept and not giver.owns:
        raise UsageError(
            f"{giver.client} may not make credentials of the role {', '.join(sorted(kept))}: only the owner of the"
            " node's Unix socket does",
            code=failures.NOT_ALLOWED,
        )


def _granting(client: Client, rule: Rule | None) -> tuple[Grant, ...]:
    if rule is None:
        return ()
    return tuple(grant for grant in client.grants if grant.role == OWNS or grant.role in rule.roles)
