"""Clients that prove themselves by a certificate instead of a secret, on a port of their own.

gRPC's servers in Python ask for a certificate always or never, so those who have one and those who have a secret come
to different ports of the same server. A certificate is its own authority and says nothing but its key: which client it
is, the pin in the store says.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import cast

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quorate.errors import UsageError
from quorate.rpc.tls import VALID_FROM, VALID_UNTIL, TlsIdentity, pin_of
from quorate.storage.clients import Certificate

CURVES = (ec.SECP256R1, ec.SECP384R1)
SHORTEST_RSA = 2048  # bits


def create_client_identity(client: str) -> TlsIdentity:
    """A fresh P-256 key and its self-signed certificate, good for nothing but to be a client."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, client)])
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(key_id, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return TlsIdentity(certificate.public_bytes(Encoding.PEM).decode(), private)


def read_certificate(pem: str) -> Certificate:
    """The one certificate in a client's PEM text. ``UsageError`` says why it could never be used."""
    try:
        [read] = x509.load_pem_x509_certificates(pem.encode())
        key, written = read.public_key(), read.public_bytes(Encoding.PEM).decode()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise UsageError("what is given as a client's certificate is not one PEM certificate") from None
    curve = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, CURVES)
    if not curve and not (isinstance(key, rsa.RSAPublicKey) and key.key_size >= SHORTEST_RSA):
        raise UsageError("a client's certificate has a key on P-256 or P-384, or RSA of 2048 bits or more")
    if read.not_valid_after_utc <= dt.datetime.now(dt.UTC):
        raise UsageError(f"the client's certificate ended on {read.not_valid_after_utc:%Y-%m-%d}")
    if read.issuer == read.subject and not _names_its_key(read):
        raise UsageError(
            "a client's self-signed certificate carries the identifiers of its key (SubjectKeyIdentifier and"
            " AuthorityKeyIdentifier, as openssl writes them): TLS tells certificates of one name apart by nothing else"
        )
    return Certificate(pin_of(written), written)


def _names_its_key(certificate: x509.Certificate) -> bool:
    try:
        own = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        by = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return own.digest == by.key_identifier


def credentials(shown: Callable[[], TlsIdentity], accepted: Callable[[], str]) -> grpc.ServerCredentials:
    """Mutual TLS that shows what is ``shown``, and takes the certificates ``accepted`` (PEM), as they are at each
    handshake."""
    served: list[tuple[TlsIdentity, str]] = []

    def configuration() -> grpc.ServerCertificateConfiguration:
        own = shown()
        served[:] = [(own, accepted())]
        # With no clients our own certificate stands in: no roots at all could mean the system's.
        roots = served[0][1] or own.certificate_pem
        pair = (own.private_key_pem, own.certificate_pem.encode())
        return grpc.ssl_server_certificate_configuration([pair], roots.encode())

    def changed() -> grpc.ServerCertificateConfiguration | None:
        return configuration() if served != [(shown(), accepted())] else None

    return grpc.dynamic_ssl_server_credentials(
        configuration(),
        cast("Callable[[], grpc.ServerCertificateConfiguration]", changed),  # None: unchanged
        require_client_authentication=True,
    )
