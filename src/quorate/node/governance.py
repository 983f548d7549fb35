"""From a node's configuration and store to the policies that its governing vault signed."""

from __future__ import annotations

from quorate.ceremony.policies import Governing, Policies
from quorate.identifiers import VaultId
from quorate.node.config import Settings
from quorate.storage import SqliteLedger


def policies_of(settings: Settings, ledger: SqliteLedger) -> Policies:
    """``UsageError`` if the store holds policies of another vault than the one configured, or the key is not its."""
    named = settings.policy
    governing = None if named is None else Governing(vault=VaultId(named.vault), key=bytes.fromhex(named.key))
    return Policies(ledger, ledger.identity.device, governing)
