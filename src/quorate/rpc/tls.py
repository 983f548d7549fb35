"""The node's certificate and what trusts it. P-256, since gRPC's TLS takes no Ed25519 certificates.

A certificate is its own and only authority: it says nothing that the pin in the signed device card does not.
Trust is "this very key", so there is no chain, no expiry to watch, and no name beyond matching itself.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quorate.errors import UsageError
from quorate.identifiers import DeviceId

SUFFIX = ".quorate"
VALID_FROM = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
VALID_UNTIL = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)  # RFC 5280, 4.1.2.5: has no expiry


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """A node's certificate and its private key, both PEM. gRPC keeps a copy of the key while it serves."""

    certificate_pem: str
    private_key_pem: bytes = field(repr=False)

    @property
    def pin(self) -> bytes:
        return pin_of(self.certificate_pem)


def create_identity(device: DeviceId) -> TlsIdentity:
    """A fresh P-256 key and its self-signed certificate for ``<device>.quorate``, to serve and to dial."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device + SUFFIX)])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(device + SUFFIX)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return TlsIdentity(certificate.public_bytes(serialization.Encoding.PEM).decode(), private)


def pin_of(certificate_pem: str | bytes) -> bytes:
    """SHA-256 of the certificate's SubjectPublicKeyInfo (32 bytes)."""
    public = _parsed(certificate_pem).public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


@lru_cache(maxsize=256)
def end_of(certificate_pem: str) -> dt.datetime | None:
    """When the certificate ends, in UTC; None if never."""
    end = _parsed(certificate_pem).not_valid_after_utc
    return None if end >= VALID_UNTIL else end


def server_name_of(certificate_pem: str) -> str:
    """The DNS name the certificate is for, which the dialler expects whatever address it dials."""
    try:
        names = _parsed(certificate_pem).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise UsageError("the certificate carries no DNS name") from None
    found = names.get_values_for_type(x509.DNSName)
    if len(found) != 1:
        raise UsageError(f"the certificate must carry exactly one DNS name, not {len(found)}")
    return found[0]


def _parsed(certificate_pem: str | bytes) -> x509.Certificate:
    data = certificate_pem.encode() if isinstance(certificate_pem, str) else certificate_pem
    try:
        return x509.load_pem_x509_certificate(data)
    except ValueError as error:
        raise UsageError("not a PEM certificate") from error
