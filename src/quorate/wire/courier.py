"""What a machine needs of its device: to sign and verify envelopes, to seal and open private bodies.

A private body is sealed with ChaCha20-Poly1305 under a key that is used once: a hash of the X25519 secret of the two
session keys and of everything that makes the message unique (session, slot, sender, recipient). The nonce is therefore
zero. Session keys are made for one session and erased at its end, so a device stolen later opens nothing recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from quorate.errors import Bug, EncodingError, ProtocolAbort, UsageError
from quorate.identifiers import DeviceId, SessionId
from quorate.native import keys
from quorate.native.keys import exchange_public
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.primitives.transcript import encode as transcribe

NONCE = bytes(12)  # each key seals one message
SEAL_OVERHEAD = 16  # bytes


class Courier(Protocol):
    """The keys of one party in one session."""

    def sign(self, message: bytes) -> bytes:
        """64 bytes: the device key's Ed25519 signature."""
        ...

    def verify(self, sender: DeviceId, message: bytes, signature: bytes) -> bool:
        """Whether the sender's device key signed it."""
        ...

    def seal(self, recipient: DeviceId, slot: str, body: bytes) -> bytes:
        """``ProtocolAbort`` blaming a recipient whose session key is of small order."""
        ...

    def open(self, sender: DeviceId, slot: str, sealed: bytes) -> bytes:
        """``EncodingError`` when it does not open."""
        ...

    def exchange_key(self, party: DeviceId) -> bytes:
        """The X25519 public key a party joined this session with."""
        ...

    def disclose(self) -> bytes:
        """Our session private key, for everyone to see. Nothing is sealed with it afterwards."""
        ...

    def erase(self) -> None:
        """Forget the session private key and all that was derived from it."""
        ...


class SessionCourier:
    """A courier on a device's signing callable and one session key pair. Takes ``session_private`` over."""

    def __init__(
        self,
        *,
        session: SessionId,
        me: DeviceId,
        sign: Callable[[bytes], bytes],
        identity_keys: Mapping[DeviceId, bytes],
        session_private: SecretBytes,
        session_publics: Mapping[DeviceId, bytes],
    ) -> None:
        if exchange_public(session_private) != session_publics.get(me):
            raise UsageError(f"the session key of {me} is not the one it joined with")
        self._session = session
        self._me = me
        self._sign = sign
        self._identities = dict(identity_keys)
        self._private: SecretBytes | None = session_private
        self._publics = dict(session_publics)
        self._shared: dict[DeviceId, SecretBytes] = {}
        self._verified: dict[
            DeviceId, tuple[bytes, bytes]
        ] = {}  # the last of each: a flight comes in many frames
        self._disclosed = False

    def sign(self, message: bytes) -> bytes:
        return self._sign(message)

    def verify(self, sender: DeviceId, message: bytes, signature: bytes) -> bool:
        identity = self._identities.get(sender)
        if identity is None:
            return False
        signed = message, signature
        if self._verified.get(sender) == signed:
            return True
        if not keys.verify(identity, *signed):
            return False
        self._verified[sender] = signed
        return True

    def seal(self, recipient: DeviceId, slot: str, body: bytes) -> bytes:
        if self._disclosed:
            raise Bug("nothing is sealed with a session key that was disclosed")
        place = _place(self._session, slot, self._me, recipient)
        return _cipher(self._secret_with(recipient), place).encrypt(NONCE, body, place)

    def open(self, sender: DeviceId, slot: str, sealed: bytes) -> bytes:
        place = _place(self._session, slot, sender, self._me)
        return _opened(self._secret_with(sender), place, sealed)

    def exchange_key(self, party: DeviceId) -> bytes:
        return self._publics[party]

    def disclose(self) -> bytes:
        self._disclosed = True
        return self._held().reveal()

    def erase(self) -> None:
        for secret in (self._private, *self._shared.values()):
            if secret is not None:
                secret.wipe()
        self._private = None
        self._shared.clear()

    def _held(self) -> SecretBytes:
        if self._private is None:
            raise Bug("the session key was erased")
        return self._private

    def _secret_with(self, peer: DeviceId) -> SecretBytes:
        self._held()
        if peer not in self._shared:
            try:
                self._shared[peer] = agreed(self._held(), self._publics[peer])
            except EncodingError:
                raise ProtocolAbort("W-3.1 session key", peer) from None
        return self._shared[peer]


def agreed(private: SecretBytes, public: bytes) -> SecretBytes:
    """The secret two session keys share; ``EncodingError`` for a public key of small order or of another length."""
    shared = keys.exchange(private, public)
    if shared is None:
        raise EncodingError("not a usable X25519 public key")
    return shared


def open_with(
    private: SecretBytes, public: bytes, *, session: SessionId, slot: str, sender: DeviceId, recipient: DeviceId,
    sealed: bytes,
) -> bytes:  # fmt: skip
    """A body sealed by ``sender`` for ``recipient``, opened with either's private key and the other's public one."""
    return _opened(agreed(private, public), _place(session, slot, sender, recipient), sealed)


def _place(session: SessionId, slot: str, sender: DeviceId, recipient: DeviceId) -> bytes:
    return transcribe((session, slot, sender, recipient))


def _cipher(secret: SecretBytes, place: bytes) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(digest(Domain.SEAL_KEY, secret.reveal(), place))


def _opened(secret: SecretBytes, place: bytes, sealed: bytes) -> bytes:
    try:
        return _cipher(secret, place).decrypt(NONCE, sealed, place)
    except InvalidTag:
        raise EncodingError("a private body does not open") from None
