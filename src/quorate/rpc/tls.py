"""The node's certificate and what trusts it. P-256, since gRPC's TLS takes no Ed25519 certificates.

Between nodes a certificate is its own and only authority: it says nothing that the pin in the signed device card does
not. Trust is "this very key", so there is no chain, no expiry to watch, and no name beyond matching itself. Clients
trust an authority of the node's own, which issues what the client port shows.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quorate.errors import UsageError
from quorate.identifiers import DeviceId

SUFFIX = ".quorate"
CLIENTS = ".clients.quorate"
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


def create_identity(device: DeviceId, *, rev: int = 1) -> TlsIdentity:
    """A fresh P-256 key and its self-signed certificate for ``<device>.quorate``, to serve and to dial.

    From ``rev`` 2 on (of the card it is made for) the name says the rev: a dialler names the certificate on the card it
    holds, and a node that serves several shows that one.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = (f"r{rev}." if rev > 1 else "") + device + SUFFIX
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = _certificate(name, key.public_key(), [x509.DNSName(name)])
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    return _signed(builder.issuer_name(_named(name)), by=key, for_key=key)


def create_authority(device: DeviceId) -> TlsIdentity:
    """What clients of a node trust for good: it issues what the client port shows, and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = device + CLIENTS
    builder = _certificate(name, key.public_key(), [x509.DNSName(name)])
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_CERTIFIES, critical=True)
    return _signed(builder.issuer_name(_named(name)), by=key, for_key=key)


def issue(authority: TlsIdentity, hosts: Sequence[str] = ()) -> TlsIdentity:
    """A fresh key and its certificate by the authority, for the authority's own name and for ``hosts`` (names or IP
    addresses by which clients may reach the port)."""
    issuer, key = _parsed(authority.certificate_pem), ec.generate_private_key(ec.SECP256R1())
    signing = serialization.load_pem_private_key(authority.private_key_pem, None)
    if not isinstance(signing, ec.EllipticCurvePrivateKey):
        raise UsageError("the authority's key is not on an elliptic curve")
    name = server_name_of(authority.certificate_pem)
    builder = _certificate(name + " server", key.public_key(), [x509.DNSName(name), *map(_host, hosts)])
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return _signed(builder.issuer_name(issuer.subject), by=signing, for_key=key)


_CERTIFIES = x509.KeyUsage(
    digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
    key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
)  # fmt: skip


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _certificate(
    name: str, key: ec.EllipticCurvePublicKey, names: Sequence[x509.GeneralName]
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )


def _signed(
    builder: x509.CertificateBuilder, *, by: ec.EllipticCurvePrivateKey, for_key: ec.EllipticCurvePrivateKey
) -> TlsIdentity:
    certificate = builder.sign(by, hashes.SHA256())
    private = for_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return TlsIdentity(certificate.public_bytes(serialization.Encoding.PEM).decode(), private)


def pin_of(certificate_pem: str | bytes) -> bytes:
    """SHA-256 of the certificate's SubjectPublicKeyInfo (32 bytes)."""
    public = _parsed(certificate_pem).public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


@lru_cache(maxsize=256)
def last_day_of(certificate_pem: str) -> dt.datetime:
    """When the certificate ends, in UTC; ``VALID_UNTIL`` if never."""
    return _parsed(certificate_pem).not_valid_after_utc


def end_of(certificate_pem: str) -> dt.datetime | None:
    """When the certificate ends, in UTC; None if never."""
    end = last_day_of(certificate_pem)
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
