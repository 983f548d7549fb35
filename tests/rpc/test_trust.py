from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
from dataclasses import replace
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quorate.ceremony.ports import Method
from quorate.errors import PeerError, UsageError
from quorate.identifiers import DeviceId
from quorate.rpc import peer_server
from quorate.rpc._pb import peer_pb2, peer_pb2_grpc
from quorate.rpc.tls import TlsIdentity, create_identity, pin_of, server_name_of
from quorate.rpc.trust import Trust
from tests.rpc.loopback import PATIENCE, LoopbackNode, card, eventually

Pair = tuple[LoopbackNode, LoopbackNode]
ALICE, BOB, CAROL = (DeviceId(letter * 24) for letter in "abc")


def certificate_of(identity: TlsIdentity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.certificate_pem.encode())


def issued_by(issuer: TlsIdentity, name: str) -> TlsIdentity:
    """A certificate for another key, signed with the issuer's, as if that were an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    signing = serialization.load_pem_private_key(issuer.private_key_pem, None)
    assert isinstance(signing, ec.EllipticCurvePrivateKey)
    parent = certificate_of(issuer)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(parent.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2999, 1, 1, tzinfo=dt.UTC))
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]), False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(signing, hashes.SHA256())
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM).decode() + issuer.certificate_pem
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return TlsIdentity(chain, private)


def test_a_certificate_is_for_its_device_both_ways_and_no_authority() -> None:
    identity = create_identity(ALICE)
    certificate = certificate_of(identity)
    assert server_name_of(identity.certificate_pem) == f"{ALICE}.quorate"
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    certificate.verify_directly_issued_by(certificate)


def test_a_pin_is_the_hash_of_the_public_key_and_survives_a_new_certificate_for_it() -> None:
    identity = create_identity(ALICE)
    spki = (
        certificate_of(identity)
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert identity.pin == pin_of(identity.certificate_pem) == hashlib.sha256(spki).digest()
    assert create_identity(ALICE).pin != identity.pin


def test_a_private_key_is_not_in_a_repr() -> None:
    identity = create_identity(ALICE)
    assert "PRIVATE" not in repr(identity)


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a PEM certificate"):
        pin_of(text)


def test_a_card_whose_certificate_is_not_the_pinned_one_is_refused_and_nothing_changes() -> None:
    bob, carol = create_identity(BOB), create_identity(CAROL)
    good = card(BOB, bob, "h:1")
    trust = Trust(ALICE, create_identity(ALICE), {BOB: good})
    bad = replace(card(CAROL, carol, "h:1"), certificate_pin=bob.pin)
    with pytest.raises(UsageError, match=f"node-c .{CAROL}. is not the one it pins"):
        trust.replace({BOB: good, CAROL: bad})
    assert trust.device_of(bob.certificate_pem.encode()) == BOB
    assert trust.device_of(carol.certificate_pem.encode()) is None


def test_two_devices_do_not_share_a_certificate() -> None:
    alice, bob = create_identity(ALICE), create_identity(BOB)
    with pytest.raises(UsageError, match="another device's"):
        Trust(ALICE, alice, {BOB: card(BOB, bob, "h:1"), CAROL: card(CAROL, bob, "h:1")})
    with pytest.raises(UsageError, match="another device's"):
        Trust(ALICE, alice, {BOB: card(BOB, alice, "h:1")})


def test_a_peer_that_is_dropped_is_unknown_at_once() -> None:
    bob = create_identity(BOB)
    trust = Trust(ALICE, create_identity(ALICE), {BOB: card(BOB, bob, "h:1")})
    assert trust.device_of(bob.certificate_pem.encode()) == BOB
    trust.replace({})
    assert trust.device_of(bob.certificate_pem.encode()) is None


async def test_a_certificate_that_a_known_peer_issued_is_not_that_peer(pair: Pair) -> None:
    alice, bob = pair
    forged = LoopbackNode("c")
    forged.identity = issued_by(alice.identity, f"{CAROL}.quorate")
    forged.trust.identity = forged.identity
    await forged.mesh.start()
    forged.know(bob)
    try:
        with pytest.raises(PeerError) as caught:
            await forged.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
        assert caught.value.code == "UNKNOWN_CERTIFICATE"
        assert not bob.handler.requests
    finally:
        await forged.mesh.stop()


async def test_a_node_with_no_peers_lets_nobody_in() -> None:
    alone, stranger = LoopbackNode("a"), LoopbackNode("b")
    for node in (alone, stranger):
        await node.start()
    stranger.know(alone)
    try:
        with pytest.raises(PeerError) as caught:
            await stranger.mesh.request(alone.device, Method.HELLO, b"", timeout=PATIENCE)
        assert caught.value.code == "UNKNOWN_CERTIFICATE"
    finally:
        for node in (alone, stranger):
            await node.stop()


async def test_peers_may_be_changed_from_another_thread(pair: Pair) -> None:
    alice, bob = pair
    await asyncio.to_thread(alice.know)
    assert not alice.mesh.status()
    await asyncio.to_thread(alice.know, bob)
    await eventually(lambda: alice.mesh.connected(bob.device))


async def test_the_newest_link_of_a_peer_is_the_one_and_their_number_is_bounded(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    server = bob.server
    assert server is not None
    alice.know()  # its own link closes
    await eventually(lambda: server._links[alice.device] == 0)
    monkeypatch.setattr(peer_server, "LINKS_PER_PEER", 2)
    arguments = [("grpc.ssl_target_name_override", server_name_of(bob.identity.certificate_pem))]
    credentials = alice.trust.channel_credentials(bob.card)
    async with grpc.aio.secure_channel(bob.card.address, credentials, options=arguments) as channel:
        stub: Any = peer_pb2_grpc.PeerServiceStub(channel)
        links = []
        for number in (7, 8):
            links.append(stub.Link())
            await links[-1].write(peer_pb2.Frame(envelope=b"%d" % number, ack_wanted=number))
            assert (await links[-1].read()).acknowledged == number
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Link().read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await links[0].write(peer_pb2.Frame(envelope=b"late", ack_wanted=9))
        assert not isinstance(await links[0].read(), peer_pb2.LinkAck)
    assert [frame for _, frame in bob.handler.envelopes] == [b"7", b"8"]
