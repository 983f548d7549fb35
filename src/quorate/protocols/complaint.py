"""Round 4 of key generation: who was dealt bad shares says so, and everybody judges. Rules KG-4.

A complaint publishes the complainer's session private key. That gives away what it was dealt and what it dealt in this
session, all of which is discarded, and nothing else. A reshare never does this.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from quorate.curves import Point, Randomness, group_of
from quorate.errors import ProtocolAbort, require
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.inspection import Shares, inspection
from quorate.protocols.pairing import SetupIds, agreed
from quorate.protocols.quorum import Sharing
from quorate.wire.codec import Bytes32, Message
from quorate.wire.envelope import MAX_SEALED_FRAME
from quorate.wire.net import Net

Commitments = Mapping[DeviceId, tuple[Point, ...]]


class Complaint(Message):
    """``envelope`` is the frame the dealer signed, ``session_key`` the private key that opens it."""

    dealer: Annotated[DeviceId, Meta(max_length=24)]
    curve: Curve
    session_key: Bytes32
    envelope: Annotated[bytes, Meta(max_length=MAX_SEALED_FRAME)]


class Verdict(Message):
    """``setups``: what its sender calls those it has made, where nobody complains."""

    complaint: Complaint | None
    setups: SetupIds


def complain(net: Net, curve: Curve, dealer: DeviceId) -> Complaint:
    envelope = net.over(group_of(curve)).evidence(dealer, Shares)
    return Complaint(dealer=dealer, curve=curve, session_key=net.disclose(), envelope=envelope)


async def settle(
    net: Net, sharing: Sharing, mine: Verdict, commitments: Mapping[Curve, Commitments], rng: Randomness
) -> tuple[bytes, ...]:
    """The ids of all set-ups, if nobody complains; else ends the session, naming the dealer or the complainer."""
    verdicts = await net.echo(mine)
    for seat in sharing.seats:
        accusation = verdicts[seat.device].complaint
        if accusation is None:
            continue
        dealer, group = accusation.dealer, group_of(accusation.curve)
        require(dealer in net.parties and dealer != seat.device, "KG-4.1 complaint", seat.device)
        dealt = net.over(group).open_disclosed(
            accusation.envelope,
            dealer=dealer,
            complainer=seat.device,
            kind=Shares,
            private_key=accusation.session_key,
        )
        check = inspection(group, seat.indices, sharing.terms, rng)
        fitting = check.accept(dealt, commitments[accusation.curve][dealer])
        require(fitting is not None, "KG-4.2 share", dealer)
        raise ProtocolAbort("KG-4.3 false complaint", seat.device)
    return agreed(sharing, {device: verdict.setups for device, verdict in verdicts.items()})
