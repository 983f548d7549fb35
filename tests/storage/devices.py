"""Devices, certificates and stores for the tests, the same at every run but for the certificates' keys."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from quorate.ceremony.identity import Identity, card_of
from quorate.native.memory import SecretBytes
from quorate.storage import KeyFile, SqliteLedger

NOW = 1_762_527_062_984  # 2025-11-07T14:51:02.984Z


class Seeded:
    """Randomness that is none."""

    def __init__(self, seed: str) -> None:
        self._stream, self._at = seed.encode(), 0

    def public(self, size: int) -> bytes:
        self._at += 1
        return hashlib.shake_256(b"%s/%d" % (self._stream, self._at)).digest(size)

    def secret(self, size: int) -> SecretBytes:
        return SecretBytes.of(self.public(size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    identity: Identity
    certificate: str
    tls_key: bytes

    def card(
        self,
        *,
        name: str = "",
        address: str = "",
        certificate: str = "",
        hardware_id: str = "hw-1",
        rev: int = 1,
    ) -> str:
        name = name or self.identity.name
        address = address or f"{self.identity.name}.example:7100"
        return card_of(self.identity, name, address, certificate or self.certificate, hardware_id, rev, NOW)


@cache
def device(name: str) -> Device:
    identity = Identity.generate(Seeded(name), name)
    certificate, key = make_certificate(of=identity.device)
    return Device(identity=identity, certificate=certificate, tls_key=key)


def make_certificate(
    kind: str = "p256", *, of: str = "device", names: Sequence[str] | None = None, key_pem: bytes = b""
) -> tuple[str, bytes]:
    """A self-signed certificate in a device's name, for these DNS names or that one, and its key, PEM."""
    curves = {"p256": ec.SECP256R1(), "secp256k1": ec.SECP256K1()}
    key: Any = (
        serialization.load_pem_private_key(key_pem, None)
        if key_pem
        else ed25519.Ed25519PrivateKey.generate()
        if kind == "ed25519"
        else ec.generate_private_key(curves[kind])
    )
    names = [f"{of}.quorate"] if names is None else names
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{of}.quorate")])
    start = dt.datetime(2025, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36500))
        .add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), critical=False)
        .sign(key, None if kind == "ed25519" else hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private


def key_file(directory: Path) -> KeyFile:
    path = directory / "key"
    if not path.exists():
        path.write_bytes(hashlib.sha256(b"the node key").digest())
        path.chmod(0o600)
    return KeyFile(path)


def create(
    directory: Path,
    name: str = "alice",
    on_commit: Callable[[str], None] | None = None,
    now_ms: Callable[[], int] = lambda: NOW,
) -> SqliteLedger:
    """A new store at ``directory``/store.db, under ``key_file(directory)``, its clock at ``NOW`` or as given."""
    made = device(name)
    return SqliteLedger.create(
        directory / "store.db",
        key_file(directory),
        identity=made.identity,
        address=f"{name}.example:7100",
        hardware_id="hw-1",
        certificate_pem=made.certificate,
        tls_key=SecretBytes.of(made.tls_key),
        on_commit=on_commit,
        now_ms=now_ms,
    )


def restore(directory: Path, schema: int) -> None:
    """Put alice's store there as a release of that schema left it: ``test_store_setups.sharing`` PENDING with shares,
    and nothing else. Its file is never made again."""
    frozen = Path(__file__).parent / "stores" / f"schema-{schema}.sql"
    key_file(directory)
    with contextlib.closing(sqlite3.connect(directory / "store.db")) as connection:
        connection.executescript(frozen.read_text())


def reopen(directory: Path) -> SqliteLedger:
    return SqliteLedger.open(directory / "store.db", key_file(directory), now_ms=lambda: NOW)
