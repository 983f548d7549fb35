"""A private message opened for everyone, with the session private key its reader published to support a complaint."""

from __future__ import annotations

from quorate.errors import EncodingError, ProtocolAbort, require
from quorate.identifiers import DeviceId, SessionId
from quorate.native.keys import exchange_public
from quorate.native.memory import SecretBytes
from quorate.wire.courier import Courier, open_with
from quorate.wire.envelope import unpack


def open_disclosed(
    frame: bytes,
    *,
    courier: Courier,
    session: SessionId,
    slot: str,
    dealer: DeviceId,
    complainer: DeviceId,
    private_key: bytes,
) -> bytes:
    """The body ``dealer`` sealed for ``complainer`` in ``slot``. ``ProtocolAbort`` blames the complainer, whose key or
    envelope is not the one it was bound to; ``EncodingError``, for a body that does not open, is the dealer's doing."""
    key = SecretBytes.of(private_key)
    joined = courier.exchange_key(complainer)
    require(len(private_key) == 32 and exchange_public(key) == joined, "W-3.2 disclosed key", complainer)
    try:
        signed = unpack(frame)
    except EncodingError:
        raise ProtocolAbort("W-3.3 disclosed envelope", complainer) from None
    envelope = signed.envelope
    place = (envelope.session, envelope.sender, envelope.recipient, envelope.slot, envelope.sealed)
    genuine = place == (session, dealer, complainer, slot, True)
    genuine = genuine and signed.signed_header.is_genuine(courier.verify)
    require(genuine, "W-3.3 disclosed envelope", complainer)
    public = courier.exchange_key(dealer)
    return open_with(
        key, public, session=session, slot=slot, sender=dealer, recipient=complainer, sealed=envelope.body
    )
