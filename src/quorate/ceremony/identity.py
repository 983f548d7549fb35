"""Who a node is: its device keys, and the signed card by which other nodes come to know it."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, NoReturn

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from cryptography.x509.oid import NameOID
from msgspec import Meta

from quorate.ceremony.ports import Entropy, Peer
from quorate.curves import group_of
from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.native import keys
from quorate.native.memory import SecretBytes
from quorate.operations.kinds import device_id
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest

MAX_CARD = 16 * 1024
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?):(?P<port>[0-9]{1,5})")
_CERTIFIED = re.compile(r"(?:r[0-9]{1,10}\.)?([a-z2-7]{24})\.quorate", re.ASCII)
_LIKE_AN_ID = re.compile(r"[a-z2-7]{24}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class Identity:
    """A device and its private keys. ``identity_key`` is its Ed25519 public key, ``exchange_key`` its X25519 one."""

    device: DeviceId
    name: str
    identity_key: bytes
    exchange_key: bytes
    _signing: SecretBytes
    _secret: SecretBytes

    @classmethod
    def generate(cls, entropy: Entropy, name: str) -> Identity:
        return cls.of(entropy.secret(64), name)

    @classmethod
    def of(cls, secret: SecretBytes, name: str) -> Identity:
        """The identity whose Ed25519 seed and X25519 private key (32 bytes each) ``secret`` holds, in this order."""
        if len(secret) != 64:
            raise ValueError("an identity is 64 secret bytes")
        signing, identity_key = keys.signing_key(secret.part(0, 32))
        return cls(
            device=device_id(identity_key),
            name=name,
            identity_key=identity_key,
            exchange_key=keys.exchange_public(secret.part(32, 64)),
            _signing=signing,
            _secret=secret,
        )

    def sign(self, message: bytes) -> bytes:
        """A raw Ed25519 signature. ``message`` is a digest under its purpose's own domain, or a transcript that
        begins with it."""
        return keys.sign(self._signing, message)

    def secret(self) -> SecretBytes:
        """What ``of`` takes, for sealing."""
        return self._secret

    def __repr__(self) -> str:
        return f"Identity({self.name!r}, {self.device}, keys withheld)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an identity is not copied or pickled")


class _ClientRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The documented record of a device: base64 SPKI keys, and Ed25519 by ``pub_sign`` over the DER of ``pub_enc``.

    The one signature of a device key without a domain tag, because the approval dialect fixes it. No other can be
    taken for it: everything else a device signs is a 32-byte digest, begins with the list of a flight, or with the
    headers of a question to an approver, and this is 44 bytes of DER.
    """

    pub_enc: str
    pub_sign: str
    rev: Annotated[str, Meta(pattern=r"^[1-9][0-9]{0,14}\Z")]
    sig: str
    updated: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")]


class _Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A device card. Keys, ``rev`` and the time stand in the client record alone; the signature covers all of it."""

    type: Literal["quorate/v1/device-card"]
    device: str
    uuid: str
    name: Annotated[str, Meta(min_length=1, max_length=100)]
    address: Annotated[str, Meta(max_length=262)]
    hardware_id: Annotated[str, Meta(min_length=1, max_length=100)]
    client_record: Annotated[str, Meta(max_length=1024)]
    certificate: Annotated[str, Meta(max_length=8192)]
    signature: str

    def digest(self) -> bytes:
        fields = (self.device, self.uuid, self.name, self.address, self.hardware_id, self.client_record)
        return digest(Domain.DEVICE_CARD, *fields, self.certificate)


def card_of(
    identity: Identity,
    name: str,
    address: str,
    certificate_pem: str,
    hardware_id: str,
    rev: int,
    updated_ms: int,
) -> str:
    """The device's card, signed by its key, as JSON. Nothing is made that ``read_card`` would refuse."""
    exchange = X25519PublicKey.from_public_bytes(identity.exchange_key)
    signing = Ed25519PublicKey.from_public_bytes(identity.identity_key)
    signature = identity.sign(_der(exchange))
    record = _ClientRecord(
        pub_enc=_base64(_der(exchange)),
        pub_sign=_base64(_der(signing)),
        rev=str(rev),
        sig=_base64(signature),
        updated=_timestamp(updated_ms),
    )
    unsigned = _Card(
        type="quorate/v1/device-card",
        device=identity.device,
        uuid=_uuid(signature),
        name=name,
        address=address,
        hardware_id=hardware_id,
        client_record=msgspec.json.encode(record).decode(),
        certificate=certificate_pem,
        signature="",
    )
    card = msgspec.structs.replace(unsigned, signature=_base64(identity.sign(unsigned.digest())))
    return read_card(_text(card)).card


def read_card(text: str) -> Peer:
    """The device a card describes, every claim in it checked; ``UsageError`` naming the one that fails.

    White space and the order of fields are free, for people format JSON; ``Peer.card`` has them our way.
    """
    if len(text) > MAX_CARD:
        raise _refusal(f"over {MAX_CARD} characters long")
    try:
        card = msgspec.json.decode(text, type=_Card)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _refusal(f"not a device card: {error}") from None
    try:
        record = msgspec.json.decode(card.client_record, type=_ClientRecord)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _refusal(f"its client record does not read: {error}") from None
    if msgspec.json.encode(record).decode() != card.client_record:
        raise _refusal("its client record is not written the one way")
    try:
        datetime.fromisoformat(record.updated)
    except ValueError:
        raise _refusal(f"{record.updated!r} is no time") from None

    exchange, exchange_der = _der_of(record.pub_enc, "pub_enc")
    signing, signing_der = _der_of(record.pub_sign, "pub_sign")
    if not isinstance(exchange, X25519PublicKey) or _der(exchange) != exchange_der:
        raise _refusal("pub_enc is not an X25519 key in its one encoding")
    if not isinstance(signing, Ed25519PublicKey) or _der(signing) != signing_der:
        raise _refusal("pub_sign is not an Ed25519 key in its one encoding")
    _refuse_weak_keys(signing, exchange)
    record_signature = _bytes_of(record.sig, "the client record's signature")
    _verify(signing, record_signature, _der(exchange), "the client record is not signed by its own key")
    identity_key = signing.public_bytes_raw()
    if card.device != device_id(identity_key):
        raise _refusal(f"device {card.device!r} is not the id of its key, which is {device_id(identity_key)}")
    if card.uuid != _uuid(record_signature):
        raise _refusal("its uuid is not the one its client record gives")
    _verify(
        signing,
        _bytes_of(card.signature, "its signature"),
        card.digest(),
        "changed since its device signed it",
    )
    _check_name(card.name)
    check_address(card.address)
    if not card.hardware_id.isprintable():
        raise _refusal("its hardware id has characters that do not print")
    return Peer(
        device=DeviceId(card.device),
        name=card.name,
        identity_key=identity_key,
        exchange_key=exchange.public_bytes_raw(),
        hardware_id=card.hardware_id,
        address=card.address,
        certificate_pem=card.certificate,
        certificate_pin=_pin(card.certificate),
        rev=int(record.rev),
        client_record=card.client_record,
        uuid=card.uuid,
        card=_text(card),
    )


def require_dialable(peer: Peer) -> None:
    """``UsageError`` unless the peer's certificate is for one DNS name and no other, its own device's.

    By that name a node dials it; without one, it could not open its links, nor start again. And TLS looks up who is
    trusted by name alone: a certificate in the name of another device would shut that one out.
    """
    certificate = x509.load_pem_x509_certificate(peer.certificate_pem.encode())
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = names.get_values_for_type(x509.DNSName)
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        found = []
    if len(found) != 1:
        raise _refusal("its certificate is not for exactly one DNS name, by which it would be dialled")
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, found[0])])
    match = _CERTIFIED.fullmatch(found[0])
    if match is None or match[1] != peer.device or {certificate.subject, certificate.issuer} != {named}:
        raise _refusal(f"its certificate is not in the name of {peer.device} alone")


def peer_named(wanted: str, peers: Iterable[Peer]) -> Peer:
    """The one of these with this device id, or else this name. ``UsageError`` tells who there is."""
    every = tuple(peers)
    found = [peer for peer in every if peer.device == wanted] or [
        peer for peer in every if peer.name == wanted
    ]
    if len(found) != 1:
        known = ", ".join(sorted(peer.name for peer in every))
        what = f"{len(found)} peers, use a device id:" if found else "no peer"
        raise UsageError(f"{what} named {wanted}; known here: {known}", code="UNKNOWN_PEER")
    return found[0]


def fingerprint(peer: Peer | Identity) -> str:
    """160 bits for two people to compare: eight groups of four characters. It outlives addresses and certificates."""
    hashed = digest(Domain.FINGERPRINT, peer.identity_key, peer.exchange_key, size=20)
    letters = base64.b32encode(hashed).decode().lower()
    return " ".join(letters[i : i + 4] for i in range(0, 32, 4))


def _refusal(why: str) -> UsageError:
    return UsageError(f"ST-5.1 card refused: {why}", code="INVALID_CARD")


def _verify(key: Ed25519PublicKey, signature: bytes, message: bytes, otherwise: str) -> None:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        raise _refusal(otherwise) from None


def _check_name(name: str) -> None:
    if not name.isprintable() or name != name.strip():
        raise _refusal("its name begins or ends with a space, or has characters that do not print")
    # people name devices by name or by id: one device must not be called what another is
    if _LIKE_AN_ID.fullmatch(name):
        raise _refusal(f"its name {name!r} looks like a device id")


def check_address(address: str) -> None:
    """``UsageError`` unless it is host:port."""
    match = _ADDRESS.fullmatch(address)
    if match is None or not 1 <= int(match["port"]) <= 65535:
        raise _refusal(f"address {address!r} is not host:port")


def _refuse_weak_keys(signing: Ed25519PublicKey, exchange: X25519PublicKey) -> None:
    """A key of small order has signatures, or shared secrets, that anyone can compute."""
    try:
        group_of(Curve.ED25519).point(signing.public_bytes_raw())
        X25519PrivateKey.from_private_bytes(bytes(range(32))).exchange(exchange)
    except ValueError:
        raise _refusal("one of its keys is not a sound public key") from None


def _der_of(text: str, field: str) -> tuple[PublicKeyTypes, bytes]:
    der = _bytes_of(text, field)
    try:
        return load_der_public_key(der), der
    except (ValueError, UnsupportedAlgorithm):
        raise _refusal(f"{field} is not a public key") from None


def _pin(pem: str) -> bytes:
    """SHA-256 of the certificate's SubjectPublicKeyInfo."""
    try:
        [certificate] = x509.load_pem_x509_certificates(pem.encode())
        key = certificate.public_key()
        written = certificate.public_bytes(Encoding.PEM).decode()
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise _refusal("its certificate is not one PEM certificate") from None
    if written.strip() != pem.strip():
        raise _refusal("its certificate has something beside it")
    # gRPC's TLS refuses Ed25519 certificates, so such a card could never connect
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise _refusal("its certificate's key is not on an elliptic curve TLS uses; make one with P-256")
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def _text(card: _Card) -> str:
    return msgspec.json.format(msgspec.json.encode(card), indent=2).decode()


def _der(key: Ed25519PublicKey | X25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes_of(text: str, field: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        data = b""
    if not data or _base64(data) != text:
        raise _refusal(f"{field} is not base64")
    return data


def _uuid(signature: bytes) -> str:
    return str(uuid.UUID(bytes=signature[:16]))


def _timestamp(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"
