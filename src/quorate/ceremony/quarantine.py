"""Vaults that this node takes no part in: the one refusal of whoever may not be what it was.

docs/spec/quarantine.md. A share from a backup may be one that a refresh made worthless, and a store that
was set back has forgotten what it signed. Until the other members have shown what they hold, neither is used.
"""

from __future__ import annotations

import structlog

from quorate.ceremony.confinement import Confined, QuarantineShelf, Why
from quorate.ceremony.vaults import Vaults
from quorate.errors import Quarantined
from quorate.identifiers import DeviceId, VaultId
from quorate.operations.kinds import Operation, Reshare

log = structlog.get_logger()

EVER = 2**32  # above every epoch

WORDS = {
    Why.RESTORED: "restored from a backup, and not yet reconciled with every other signer",
    Why.SET_BACK: "in a store that was set back, and not yet reconciled with every other signer",
    Why.SHARE_LOST: "at an epoch of which this node has no share: refresh the vault",
}


class Quarantine:
    """Thread-safe. What ends it is in ``reconciling``, and in the ledger, as a new sharing comes to live."""

    def __init__(self, ledger: QuarantineShelf, vaults: Vaults, me: DeviceId) -> None:
        self._ledger, self._vaults, self._me = ledger, vaults, me

    def of(self, vault: VaultId | None) -> Confined | None:
        return None if vault is None else self._ledger.quarantine().get(vault)

    def require_free(self, vault: VaultId | None) -> None:
        """QU-1.1 quarantine: ``Quarantined`` where this node takes no part."""
        if (confined := self.of(vault)) is not None:
            raise Quarantined(f"QU-1.1 quarantine: vault {vault} is {WORDS[confined.cause]}")

    def admit(self, operation: Operation, vault: VaultId | None) -> None:
        """QU-1.2 receiver: what this node may vote on in quarantine is a new sharing that it gets a share of."""
        request = operation.request
        if isinstance(request, Reshare) and self._me in {member.device for member in request.members}:
            return
        self.require_free(vault)

    def enter(self, cause: Why, why: str, *vaults: VaultId) -> None:
        """Take no part any more in these vaults, or in any that is known here: durably, with the end of every session
        under them. Blocking."""
        affected = vaults or tuple(vault.id for vault in self._vaults.known())
        if not self._ledger.confine(affected, cause):
            return
        log.critical(
            "QU-1.1 quarantine: this node takes no part", cause=cause.value, why=why, vaults=affected
        )
        for vault in affected:
            for halt in self._vaults.at_work(vault, EVER):
                halt(f"QU-1.1 quarantine: {why}")
            self._vaults.forget_earlier(vault, EVER)
