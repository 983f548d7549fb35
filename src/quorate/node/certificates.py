"""The certificates in a node's store, as TLS takes them."""

from __future__ import annotations

from collections.abc import Callable

from quorate.native.memory import SecretBytes
from quorate.node.config import Settings
from quorate.rpc.tls import TlsIdentity, create_authority, issue
from quorate.rpc.trust import Earlier
from quorate.storage import SqliteLedger

EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to


def own_identity(ledger: SqliteLedger) -> TlsIdentity:
    certificate, key = ledger.tls()
    return TlsIdentity(certificate, key.reveal())


def earlier_identities(ledger: SqliteLedger, now: Callable[[], tuple[int, float]]) -> tuple[Earlier, ...]:
    """The certificates before, for peers whose card is of then."""
    wall_ms, monotonic = now()
    return tuple(
        Earlier(
            each.rev,
            TlsIdentity(each.certificate_pem, each.tls_key.reveal()),
            monotonic + (each.until_ms - wall_ms) / 1000,
        )
        for each in ledger.retiring()
    )


def client_authority(ledger: SqliteLedger) -> TlsIdentity:
    """What this node's clients trust, made when it is first asked for."""
    held = ledger.client_authority()
    if held is None:
        made = create_authority(ledger.me.device)
        ledger.keep_client_authority(made.certificate_pem, SecretBytes.of(made.private_key_pem))
        return client_authority(ledger)
    certificate, key = held
    return TlsIdentity(certificate, key.reveal())


def issue_client_certificate(ledger: SqliteLedger, settings: Settings) -> TlsIdentity:
    """A new one for the client port. It is kept nowhere: the next start makes another."""
    hosts = [settings.client.address.rpartition(":")[0].strip("[]"), settings.client.bind.strip("[]")]
    return issue(client_authority(ledger), [host for host in dict.fromkeys(hosts) if host not in EVERYWHERE])
