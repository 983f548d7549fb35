"""The node's own certificates: the one on its card, those it replaced, and the authority behind its client port."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate

from quorate.ceremony.identity import Identity, card_of, read_card
from quorate.ceremony.ports import Peer
from quorate.errors import Corrupt, UsageError
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.storage.audit import AuditBook, acting, short
from quorate.storage.peers import keep_card
from quorate.storage.sealed import NodeSecret, Place, Sealer

MOST_RETIRING = 4


class Retiring(NamedTuple):
    """A certificate that was on our card up to ``rev``, and until when peers that hold such a card are served."""

    rev: int
    certificate_pem: str
    tls_key: SecretBytes
    until_ms: int


class CertificateShelf(AuditBook):
    """The part of the ledger that keeps what TLS shows."""

    _sealer: Sealer
    identity: Identity
    me: Peer
    _forget_peers: Callable[[], None]
    _secret: Callable[[NodeSecret], SecretBytes]

    def tls(self) -> tuple[str, SecretBytes]:
        """The certificate on our card and its private key, both PEM."""
        return self.me.certificate_pem, self._secret("tls-key")

    def renew_card(
        self,
        *,
        address: str | None = None,
        certificate_pem: str | None = None,
        tls_key: SecretBytes | None = None,
        above: int = 0,
        overlap_ms: int = 0,
    ) -> Peer:
        """ST-5.9 renewal: our card with another address, or another certificate and its key, and a rev above the one
        held and ``above``. A certificate that is replaced is kept for ``overlap_ms``, with its key."""
        if (certificate_pem is None) != (tls_key is None):
            raise UsageError("a new certificate comes with its key")
        held, now = self.me, self._now_ms()
        certificate = certificate_pem or held.certificate_pem
        sealed = retired = None
        if tls_key is not None:
            require_pair(certificate, tls_key)
            sealed = self._sealer.seal(_place(self._device), tls_key)
            retired = self._sealer.seal(_place(self._device, held.rev), self._secret("tls-key"))
        address = held.address if address is None else address
        rev = max(held.rev, above) + 1
        card = card_of(self.identity, held.name, address, certificate, held.hardware_id, rev, now)
        renewed, by = read_card(card), acting.get()

        def change(connection: sqlite3.Connection) -> None:
            keep_card(connection, renewed, now)
            self._tell(
                connection, "own card renewed", rev=renewed.rev, address=renewed.address,
                certificate=renewed.certificate_pin.hex(), by=by,
            )  # fmt: skip
            if sealed is None:
                return
            connection.execute("DELETE FROM retiring_certificates WHERE until_ms <= ?", (now,))
            if overlap_ms:
                row = (held.rev, held.certificate_pem, retired, now + overlap_ms)
                connection.execute("INSERT INTO retiring_certificates VALUES (?, ?, ?, ?)", row)
                (count,) = connection.execute("SELECT count(*) FROM retiring_certificates").fetchone()
                if count > MOST_RETIRING:
                    raise UsageError(
                        f"{count - 1} earlier certificates are still awaited by peers: bring these peers up, or rotate "
                        "without an overlap and add the new card there by hand"
                    )
            else:
                connection.execute("DELETE FROM retiring_certificates")
            connection.execute("UPDATE node SET tls_key = ?", (sealed,))

        self._database.write("renew_card", change)
        self._forget_peers()
        return renewed

    def retiring(self) -> Sequence[Retiring]:
        """The certificates that peers with an earlier card still expect, oldest first."""
        query = "SELECT rev, certificate, tls_key, until_ms FROM retiring_certificates WHERE until_ms > ? ORDER BY rev"
        now = self._now_ms()
        rows = self._database.read(lambda connection: connection.execute(query, (now,)).fetchall())
        found = []
        for rev, certificate, sealed, until_ms in rows:
            if not isinstance(sealed, bytes):
                raise Corrupt("retiring_certificates: a key does not read")
            key = self._sealer.open(_place(self._device, rev), sealed)
            found.append(Retiring(rev, str(certificate), key, until_ms))
        return found

    def retire(self) -> None:
        """Forget every certificate but the one on our card."""

        def change(connection: sqlite3.Connection) -> None:
            if retired := connection.execute("DELETE FROM retiring_certificates").rowcount:
                self._tell(connection, "earlier certificates retired", certificates=retired)

        self._database.write("retire", change)

    def client_authority(self) -> tuple[str, SecretBytes] | None:
        """The certificate that clients trust and its private key, both PEM; None before there is one."""
        row = self._database.read(
            lambda connection: connection.execute("SELECT certificate, key FROM client_authority").fetchone()
        )
        if row is None:
            return None
        certificate, sealed = row
        if not isinstance(sealed, bytes):
            raise Corrupt("client_authority: its key does not read")
        place = Place(device=self._device, kind="client-authority")
        return str(certificate), self._sealer.open(place, sealed)

    def keep_client_authority(self, certificate_pem: str, key: SecretBytes) -> None:
        """Once: credentials that were given out trust it."""
        require_pair(certificate_pem, key)
        sealed = self._sealer.seal(Place(device=self._device, kind="client-authority"), key)

        def change(connection: sqlite3.Connection) -> None:
            kept = connection.execute(
                "INSERT OR IGNORE INTO client_authority VALUES (1, ?, ?)", (certificate_pem, sealed)
            ).rowcount
            if kept:
                self._tell(connection, "client authority made", certificate=short(certificate_pem.encode()))

        self._database.write("keep_client_authority", change)


def _place(device: DeviceId, retired: int = 0) -> Place:
    """Of a TLS key: the node's row, or that of the last card it stood on."""
    return (
        Place(device=device, kind="retired-tls-key", epoch=retired)
        if retired
        else Place(device=device, kind="tls-key")
    )


def require_pair(certificate_pem: str, tls_key: SecretBytes) -> None:
    try:
        certified = load_pem_x509_certificate(certificate_pem.encode()).public_key()
        owned = load_pem_private_key(tls_key.reveal(), None).public_key()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        same = certified.public_bytes(*form) == owned.public_bytes(*form)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError(f"the TLS certificate or its key does not read: {type(error).__name__}") from None
    if not same:
        raise UsageError("the TLS key is not the certificate's")
