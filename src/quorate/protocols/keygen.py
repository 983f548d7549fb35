"""Distributed key generation, weighted, both curves side by side: docs/spec/keygen.md, rules KG.

Rounds 1 to 3 run per curve, and the set-up of each pair beside them; one verdict (round 4) and one certificate end
them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Annotated

from msgspec import Meta

from quorate.curves import Group, Point, Randomness, Scalar, SecretPolynomial, SecretVector, group_of
from quorate.errors import Bug, require
from quorate.identifiers import Curve, DeviceId, Epoch, VaultId
from quorate.primitives import schnorr
from quorate.primitives.commitment import commit, opens
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.protocols.certificate import CURVES, Book, Certificate, EpochRecord, Key, certify, places
from quorate.protocols.complaint import complain, settle
from quorate.protocols.dealing import Shares, inspection
from quorate.protocols.pairing import pair_up
from quorate.protocols.quorum import KeyShare, Seat, Sharing
from quorate.wire.codec import Bytes32, Message
from quorate.wire.net import Net, gather


class Commit(Message):
    """Round 1: V_i. Hides what its sender will open, so that nobody chooses after seeing others."""

    digest: Bytes32


class Opening(Message):
    """Round 2: F_i, the first move A_i of the proof for F_i[0], and what the commitment hid besides."""

    commitment: Annotated[tuple[Point, ...], Meta(min_length=1, max_length=1000)]
    move: Point
    rid: Bytes32
    chain_code: Bytes32
    blinder: Bytes32

    @property
    def fields(self) -> Field:
        return [self.rid, self.chain_code, [bytes(point) for point in self.commitment], bytes(self.move)]


class Proof(Message):
    """Round 3, to all: z_i. There is only one that verifies, so it needs no echo."""

    response: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealing:
    """One curve after round 3. ``parts`` are the shares each dealer gave us, None where they were bad."""

    openings: Mapping[DeviceId, Opening]
    parts: Mapping[DeviceId, SecretVector | None]
    transcript: Field

    @property
    def commitments(self) -> dict[DeviceId, tuple[Point, ...]]:
        return {device: opening.commitment for device, opening in self.openings.items()}

    @property
    def cheats(self) -> list[DeviceId]:
        return [device for device, part in self.parts.items() if part is None]


async def create(
    net: Net,
    sharing: Sharing,
    rng: Randomness,
    book: Book,
    *,
    vault: VaultId,
    attempt: int,
    sign: Callable[[bytes], bytes],
) -> Certificate:
    """A new vault's keys, in epoch 0: its certificate, held by the book together with our shares and pair set-ups.

    ``sign`` is the device key's Ed25519. The net's session is the ceremony id, its parties the roster.
    """
    if tuple(net.parties) != sharing.devices:
        raise Bug("the parties of a key generation are its roster")
    runs, pairing = await gather(
        gather(*(keygen(net.over(group_of(curve)), sharing, rng) for curve in CURVES)),
        pair_up(net, sharing, rng, vault=vault, epoch=Epoch(0), attempt=attempt),
    )
    dealings = dict(zip(CURVES, runs, strict=True))
    complaints = (complain(net, curve, cheat) for curve, dealt in dealings.items() for cheat in dealt.cheats)
    commitments = {curve: dealt.commitments for curve, dealt in dealings.items()}
    await settle(net, sharing, next(complaints, None), commitments, rng)
    shares = [combine(curve, sharing.seat(net.me), dealt) for curve, dealt in dealings.items()]
    record = EpochRecord(
        vault=vault,
        epoch=0,
        attempt=attempt,
        previous=b"",
        roster=places(sharing),
        threshold=sharing.threshold,
        terms=sharing.terms,
        keys=(public_side(shares[0]), public_side(shares[1])),
        setups=pairing.ids,
        transcript=digest(Domain.TRANSCRIPT, net.sid, [dealt.transcript for dealt in runs]),
    )
    return await certify(net, record, shares, pairing.ours, book, sign)


async def keygen(net: Net, sharing: Sharing, rng: Randomness) -> Dealing:
    """Rounds 1 to 3 in the net's group. A bad share does not end it here: the verdict is for everybody to hear."""
    group, me = net.group, sharing.seat(net.me)
    sid = digest(Domain.SESSION, net.sid, group.curve.value)
    f = SecretPolynomial.random(group, sharing.terms, rng)
    k = schnorr.first_move(group, rng)
    mine = Opening(
        commitment=f.commitment(),
        move=k.point,
        rid=rng.public(32),
        chain_code=rng.public(32),
        blinder=rng.public(32),
    )

    v = commit(Domain.KEYGEN_COMMIT, sid, me.identity_key, opening=mine.fields, blinder=mine.blinder)
    commits = await net.echo(Commit(digest=v))

    openings = await net.echo(mine)
    for seat in sharing.seats:
        v, opening = commits[seat.device].digest, openings[seat.device]
        context, hidden = (sid, seat.identity_key), opening.fields
        require(len(opening.commitment) == sharing.terms, "KG-2.1 degree", seat.device)
        opened = opens(v, Domain.KEYGEN_COMMIT, *context, opening=hidden, blinder=opening.blinder)
        require(opened, "KG-2.2 opening", seat.device)

    rid = digest(Domain.KEYGEN_RID, sid, [openings[device].rid for device in sharing.devices])
    e = {seat.device: challenge(group, sid, rid, seat, openings[seat.device]) for seat in sharing.seats}
    z = schnorr.respond(k, e[net.me], f.constant)
    shares = {seat.device: Shares(values=f.at(seat.indices).secret()) for seat in sharing.seats}
    f.wipe()
    proofs, dealt = await gather(net.broadcast(Proof(response=z)), net.scatter(shares, lenient=True))
    for device, opening in openings.items():
        proven = schnorr.verify(opening.commitment[0], opening.move, e[device], proofs[device].response)
        require(proven, "KG-3.1 proof", device)
    check = inspection(group, me.indices, sharing.terms, rng)
    said = [
        [
            device,
            commits[device].digest,
            openings[device].fields,
            openings[device].blinder,
            bytes(proof.response),
        ]
        for device, proof in proofs.items()
    ]
    return Dealing(
        openings=openings,
        parts={
            device: check.accept(dealt[device], openings[device].commitment) for device in sharing.devices
        },
        transcript=[group.curve.value, said],
    )


def challenge(group: Group, sid: bytes, rid: bytes, prover: Seat, opening: Opening) -> Scalar:
    """e_i = H(sid, rid, i, F_i[0], A_i)."""
    statement, move = bytes(opening.commitment[0]), bytes(opening.move)
    return schnorr.challenge(group, sid, rid, prover.identity_key, statement, move)


def combine(curve: Curve, me: Seat, dealing: Dealing) -> KeyShare:
    """Σ f_i(x) for our indices, F = ΣF_i, and the chain code, once nobody complained."""
    group = group_of(curve)
    parts = [part for part in dealing.parts.values() if part is not None]
    if len(parts) != len(dealing.parts):
        raise Bug("a verdict let bad shares pass")
    commitment = tuple(map(group.sum, zip(*dealing.commitments.values(), strict=True)))
    require(not any(point.is_identity for point in commitment), "KG-5.1 public polynomial")
    secret = reduce(add, parts)
    require(not any(secret[place].is_zero() for place in range(len(secret))), "KG-5.2 zero share")
    codes = (int.from_bytes(opening.chain_code, "big") for opening in dealing.openings.values())
    return KeyShare(
        curve=curve,
        device=me.device,
        indices=me.indices,
        secret=secret,
        commitment=commitment,
        chain_code=reduce(lambda a, b: a ^ b, codes).to_bytes(32, "big"),
    )


def public_side(share: KeyShare) -> Key:
    encoded = tuple(bytes(point) for point in share.commitment)
    return Key(curve=share.curve, commitment=encoded, chain_code=share.chain_code)
