"""The same keys shared anew, for a new roster, new weights, a new threshold, or only with new shares ("refresh"):
docs/spec/reshare.md, rules RS.

Key generation, but that only old members deal, who must deal what they hold; that nobody ever discloses anything; and
that who deals and who receives may be different devices. All of them sign the certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

from msgspec import Meta

from quorate.curves import Point, Randomness, SecretScalar, group_of
from quorate.errors import Bug, Contested, EncodingError, UsageError, require
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.primitives.domains import Domain
from quorate.primitives.drbg import hedged
from quorate.primitives.transcript import digest
from quorate.protocols.certificate import (
    CURVES,
    Book,
    Certificate,
    EpochRecord,
    Signer,
    certify,
    places,
    public_side,
)
from quorate.protocols.dealing import Dealing, Table, combine, hand_out, open_polynomials
from quorate.protocols.history import follows
from quorate.protocols.pairing import SetupIds, agreed, names, pair_up
from quorate.protocols.quorum import Quorum, Sharing, images_of
from quorate.protocols.sharing import told_apart
from quorate.wire.codec import Message
from quorate.wire.net import Net, gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What is handed over, by whom, to whom. ``shares``: if we are one of the dealers, their quorum on each curve."""

    previous: EpochRecord
    dealers: frozenset[DeviceId]
    target: Sharing
    shares: Mapping[Curve, Quorum] | None

    def __post_init__(self) -> None:
        old = self.previous.sharing
        if strangers := self.dealers - set(old.devices):
            raise UsageError(f"{', '.join(sorted(strangers))}: only members of the vault hand it over")
        weight, needed = old.weight_of(self.dealers), old.handover_weight
        if weight < needed:
            raise UsageError(f"a weight of {weight} hands a vault over that takes {needed}")
        if not told_apart((seat.device, seat.identity_key) for seat in (*old.seats, *self.target.seats)):
            raise UsageError("a device keeps its identity key, and no other device has it")
        for curve, quorum in (self.shares or {}).items():
            told = (quorum.curve, quorum.certificate, frozenset(quorum.devices))
            if told != (curve, self.previous.hash, self.dealers):
                raise Bug("a quorum of another curve, epoch or set of dealers")

    @property
    def identity_keys(self) -> dict[DeviceId, bytes]:
        """Of all parties, dealers and new members, in order of device id."""
        dealing = (seat for seat in self.previous.sharing.seats if seat.device in self.dealers)
        return dict(sorted((seat.device, seat.identity_key) for seat in chain(dealing, self.target.seats)))

    def images(self, curve: Curve) -> dict[DeviceId, Point]:
        """P_{i,S}, which everybody knows of every dealer. They add up to the public key.

        A dealer whose share is zero whatever the key (rule KG-5.3) has nothing to deal, and is left out.
        """
        if self.shares is not None:
            images = self.shares[curve].images
        else:
            try:
                commitment = self.previous.commitment(curve)
            except EncodingError as error:
                raise UsageError(f"the epoch to be handed over: {error}", code="BAD_CERTIFICATE") from None
            images = images_of(commitment, self.previous.sharing, self.dealers)
        return {device: image for device, image in images.items() if not image.is_identity}


class Accused(Message):
    """Whose shares did not fit, on which curve."""

    dealer: Annotated[DeviceId, Meta(max_length=24)]
    curve: Curve


class Objection(Message):
    """Round 4. Nothing is disclosed: what was dealt belongs to keys that live on. ``setups``: what its sender calls
    those it has made, where nobody objects."""

    accused: Accused | None
    setups: SetupIds


async def reshare(
    net: Net,
    handover: Handover,
    rng: Randomness,
    book: Book,
    *,
    attempt: int,
    sign: Callable[[bytes], bytes],
) -> Certificate:
    """The next epoch of a vault: its certificate, held by the book together with our shares and pair set-ups, of which
    there are none if we leave.

    ``sign`` is the device key's Ed25519. The net's session is the ceremony id, its parties the dealers and the new
    roster.
    """
    previous, target, keys = handover.previous, handover.target, handover.identity_keys
    if tuple(net.parties) != tuple(keys):
        raise Bug("the parties of a reshare are its dealers and its new roster")
    if (handover.shares is None) == (net.me in handover.dealers):
        raise Bug("a dealer of a reshare has shares, and nobody else")
    images = {curve: handover.images(curve) for curve in CURVES}
    vault, epoch = VaultId(previous.vault), Epoch(previous.epoch + 1)
    runs, paired = await gather(
        gather(*(pass_on(net.over(group_of(curve)), handover, images[curve], rng) for curve in CURVES)),
        pair_up(net, target, rng, vault=vault, epoch=epoch, attempt=attempt),
    )
    dealings = dict(zip(CURVES, runs, strict=True))
    setups = await settle(net, target, dealings, names(paired))
    codes = {curve: previous.key(curve).chain_code for curve in CURVES}
    first, second = (public_side(curve, dealt.commitment, codes[curve]) for curve, dealt in dealings.items())
    record = EpochRecord(
        vault=vault,
        epoch=epoch,
        attempt=attempt,
        previous=previous.hash,
        dealers=tuple(Signer(device=d, identity_key=key) for d, key in keys.items() if d in handover.dealers),
        roster=places(target),
        threshold=target.threshold,
        terms=target.terms,
        keys=(first, second),
        setups=setups,
        transcript=digest(Domain.TRANSCRIPT, net.sid, [dealt.transcript for dealt in runs]),
    )
    follows(record, previous)
    shares = [
        combine(curve, seat, dealt, codes[curve])
        for seat in target.seats if seat.device == net.me
        for curve, dealt in dealings.items()
    ]  # fmt: skip
    return await certify(net, record, shares, paired, book, sign)


async def pass_on(net: Net, handover: Handover, images: Mapping[DeviceId, Point], rng: Randomness) -> Dealing:
    """Rounds 1 to 3 in the net's group: the dealers deal, each its additive share of the key."""
    table = Table(identity_keys=handover.identity_keys, dealers=tuple(images), target=handover.target)
    constant: SecretScalar | None = None
    if handover.shares is not None and net.me in images:
        quorum = handover.shares[net.group.curve]
        constant = quorum.secret
        # The same randomness twice, after a machine was set back, would give the share away.
        rng = hedged(rng, "reshare", net.sid, quorum.curve.value, quorum.hedge.reveal())
    opened = await open_polynomials(net, table, rng, constant)
    for device, image in images.items():
        require(opened.polynomials[device].commitment[0] == image, "RS-1.1 constant", device)
    return await hand_out(net, opened, rng)


async def settle(
    net: Net, target: Sharing, dealings: Mapping[Curve, Dealing], setups: tuple[bytes, ...]
) -> tuple[bytes, ...]:
    """The ids of all set-ups, given those of our own, if nobody objects; else ends the session, naming the two of whom
    one lies."""
    cheats = (
        Accused(dealer=cheat, curve=curve) for curve, dealt in dealings.items() for cheat in dealt.cheats
    )
    objections = await net.echo(Objection(accused=next(cheats, None), setups=setups))
    for device, objection in objections.items():
        if (accused := objection.accused) is None:
            continue
        dealt_to = device in target.devices and accused.dealer != device
        dealt = dealt_to and accused.dealer in dealings[accused.curve].commitments
        require(dealt, "RS-2.1 objection", device)
        raise Contested("RS-2.2 share", accused.dealer, device)
    return agreed(target, {device: objection.setups for device, objection in objections.items()})
