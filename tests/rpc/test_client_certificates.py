"""Clients that have a certificate: who is let in, as whom, and for how long."""

from __future__ import annotations

import datetime as dt

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from quorate.errors import UsageError
from quorate.rpc.client import CLIENT_KEY, SECRET_KEY, NodeClient
from quorate.rpc.client_certificates import create_client_identity, read_certificate
from quorate.rpc.credentials import Credentials
from quorate.rpc.tls import TlsIdentity, server_name_of
from quorate.storage import Grant
from tests.rpc.fake_node import Served
from tests.rpc.test_access import METHODS, call_raw
from tests.rpc.test_client_port import SIGN, refusal

SOON = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
async def pinning(served: Served) -> Served:
    """A node that takes certificates."""
    await served.stop()
    served.certificates = True
    await served.start()
    return served


def certificate(
    key: CertificateIssuerPrivateKeyTypes = KEY,
    *,
    name: str = "app",
    issuer: tuple[str, CertificateIssuerPrivateKeyTypes] | None = None,
    authority: bool = False,
    plain: bool = False,
    ends: dt.datetime = SOON,
) -> TlsIdentity:
    """A certificate as somebody else's tools make it."""

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    by_name, by_key = issuer or (name, key)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(by_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(ends - dt.timedelta(days=400))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not plain:
        own, by = (x509.SubjectKeyIdentifier.from_public_key(each.public_key()) for each in (key, by_key))
        builder = builder.add_extension(own, critical=False).add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(by), critical=False
        )
    made = builder.sign(by_key, None if isinstance(by_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return TlsIdentity(made.public_bytes(Encoding.PEM).decode(), private)


def client_of(served: Served, name: str, identity: TlsIdentity) -> NodeClient:
    assert served.server is not None
    return NodeClient.remote(
        Credentials(
            endpoint=f"127.0.0.1:{served.server.certificate_port}",
            client_id=name,
            ca_pem=served.tls.certificate_pem,
            certificate_pem=identity.certificate_pem,
            private_key_pem=identity.private_key_pem.decode(),
        )
    )


def mutual_channel(served: Served, identity: TlsIdentity | None) -> grpc.aio.Channel:
    assert served.server is not None
    pair = (identity.private_key_pem, identity.certificate_pem.encode()) if identity else (None, None)
    tls = grpc.ssl_channel_credentials(served.tls.certificate_pem.encode(), *pair)
    name = [("grpc.ssl_target_name_override", server_name_of(served.tls.certificate_pem))]
    return grpc.aio.secure_channel(f"127.0.0.1:{served.server.certificate_port}", tls, options=name)


async def enrol(served: Served, name: str, identity: TlsIdentity, *grants: Grant) -> None:
    """And have the running node know it, as adding a client does."""
    served.book.pin(name, identity, *grants)
    async with served.local() as owner:
        await owner.rotate_client(name)


async def test_a_certificate_is_exactly_its_client_with_its_roles_and_vaults(pinning: Served) -> None:
    ours, theirs = create_client_identity("app"), create_client_identity("app")
    await enrol(pinning, "app", ours, Grant("signer", ("ops",)))
    await enrol(pinning, "audit", theirs, Grant("viewer"))
    async with client_of(pinning, "app", ours) as app, client_of(pinning, "audit", theirs) as audit:
        await app.sign(data=["x"], **SIGN)
        assert [vault.name for vault in await app.vaults()] == ["ops"]
        assert (await refusal(audit.sign(data=["x"], **SIGN))).code == "NOT_ALLOWED"
        assert len(await audit.vaults()) == 2
    [(caller, _)] = pinning.called("sign")
    assert caller is not None
    assert caller.client == "app"
    assert pinning.book.checks == 0


async def test_a_certificate_nobody_pinned_gets_no_connection_and_none_neither(pinning: Served) -> None:
    await enrol(pinning, "app", create_client_identity("app"), Grant("signer"))
    stranger = create_client_identity("app")
    async with client_of(pinning, "app", stranger) as node:
        assert (await refusal(node.vaults())).code == "UNREACHABLE"
    for identity in (None, stranger, pinning.tls):
        async with mutual_channel(pinning, identity) as channel:
            code = await call_raw(channel, METHODS["quorate.v1.VaultService.ListVaults"], ())
            assert code is grpc.StatusCode.UNAVAILABLE
    assert not pinning.api.calls


async def test_what_a_pinned_certificate_has_signed_is_nobody(pinning: Served) -> None:
    """A certificate that is an authority, as some tools make them, vouches for no other key."""
    await enrol(pinning, "app", certificate(authority=True), Grant("admin"), Grant("signer"))
    forged = certificate(ec.generate_private_key(ec.SECP256R1()), name="friend", issuer=("app", KEY))
    async with mutual_channel(pinning, forged) as channel:
        for name, method in METHODS.items():
            assert await call_raw(channel, method, ()) is grpc.StatusCode.UNAUTHENTICATED, name
    assert not pinning.api.calls


async def test_a_revoked_certificate_is_out_at_once_and_for_new_connections_too(pinning: Served) -> None:
    identity = create_client_identity("app")
    await enrol(pinning, "app", identity, Grant("viewer"))
    async with client_of(pinning, "app", identity) as app, pinning.local() as owner:
        await app.vaults()
        await owner.revoke_client("app")
        assert (await refusal(app.vaults())).code == "UNAUTHENTICATED"
    async with client_of(pinning, "app", identity) as again:
        assert (await refusal(again.vaults())).code == "UNREACHABLE"


async def test_a_secret_opens_nothing_on_the_certificates_port_nor_another_name(pinning: Served) -> None:
    secret = pinning.book.enrol("boss", Grant("admin"))
    identity = create_client_identity("app")
    await enrol(pinning, "app", identity, Grant("viewer"))
    async with mutual_channel(pinning, identity) as channel:
        metadata = ((CLIENT_KEY, "boss"), (SECRET_KEY, secret))
        method = METHODS["quorate.v1.AdminService.GetStatus"]
        assert await call_raw(channel, method, metadata) is grpc.StatusCode.UNAUTHENTICATED
        assert await call_raw(channel, method, ()) is grpc.StatusCode.PERMISSION_DENIED
    assert pinning.book.checks == 0


async def test_a_certificate_by_an_authority_is_pinned_without_its_authority(pinning: Served) -> None:
    root, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    leaf = certificate(issuer=("corporate root", root))
    await enrol(pinning, "app", leaf, Grant("viewer"))
    async with client_of(pinning, "app", leaf) as app:
        assert await app.vaults()
    sibling = certificate(other, name="sibling", issuer=("corporate root", root))
    async with client_of(pinning, "app", sibling) as app:
        assert (await refusal(app.vaults())).code == "UNREACHABLE"


async def test_two_clients_may_have_the_same_subject(pinning: Served) -> None:
    """The name in a certificate says nothing, whoever made it."""
    first, second = (certificate(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
    third, root = create_client_identity("app"), ec.generate_private_key(ec.SECP256R1())
    fourth, fifth = (
        certificate(ec.generate_private_key(ec.SECP256R1()), issuer=("root", root)) for _ in range(2)
    )
    clients = {"one": first, "two": second, "three": third, "four": fourth, "five": fifth}
    for name, identity in clients.items():
        await enrol(pinning, name, identity, Grant("viewer"))
    for name, identity in clients.items():
        async with client_of(pinning, name, identity) as node:
            assert await node.vaults()


async def test_without_a_port_for_them_there_is_none(served: Served) -> None:
    assert served.server is not None
    assert served.server.certificate_port == 0


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        ("", "not one PEM certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "not one PEM certificate"),
        (certificate().certificate_pem * 2, "not one PEM certificate"),
        (certificate(ed25519.Ed25519PrivateKey.generate()).certificate_pem, "P-256"),
        (certificate(ec.generate_private_key(ec.SECP256K1())).certificate_pem, "P-256"),
        (certificate(rsa.generate_private_key(65537, 1024)).certificate_pem, "2048"),
        (certificate(dsa.generate_private_key(1024)).certificate_pem, "P-256"),
        (certificate(plain=True).certificate_pem, "AuthorityKeyIdentifier"),
        (certificate(ends=SOON - dt.timedelta(days=2)).certificate_pem, "ended"),
    ],
    ids=["nothing", "no DER", "two", "Ed25519", "secp256k1", "RSA 1024", "DSA", "no extensions", "ended"],
)
def test_a_certificate_that_could_never_be_used_is_refused_with_the_reason(pem: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_certificate(pem)


def test_what_stands_beside_a_certificate_is_not_kept() -> None:
    identity = create_client_identity("app")
    kept = read_certificate(identity.private_key_pem.decode() + identity.certificate_pem)
    assert kept.pem == identity.certificate_pem
    assert kept.pin == identity.pin
