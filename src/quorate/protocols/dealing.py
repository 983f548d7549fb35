"""Rounds 1 to 3 of whatever deals out a key, new (``keygen``) or old (``reshare``), on one curve: docs/spec/keygen.md,
rules KG-1 to KG-3.

Dealers commit to a polynomial each, open it, prove that they know its constant, and send everybody of the new roster
its values. All commit to random bytes besides, and open them, so that nobody chose what proofs are bound to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Annotated

from msgspec import Meta

from quorate.curves import Group, Point, Randomness, Scalar, SecretPolynomial, SecretScalar, SecretVector
from quorate.errors import Bug, require
from quorate.identifiers import Curve, DeviceId
from quorate.native.memory import SecretBytes
from quorate.primitives import schnorr
from quorate.primitives.commitment import commit, opens
from quorate.primitives.domains import Domain
from quorate.primitives.schnorr import FirstMove
from quorate.primitives.transcript import Field, digest
from quorate.protocols.inspection import Shares, inspection
from quorate.protocols.quorum import KeyShare, Seat, Sharing
from quorate.wire.codec import Bytes32, Message
from quorate.wire.net import Net, gather


class Commit(Message):
    """Round 1: V_i. Hides what its sender will open, so that nobody chooses after seeing others."""

    digest: Bytes32


class Polynomial(Message):
    """What a dealer shows: F_i, and the first move A_i of the proof for F_i[0]."""

    commitment: Annotated[tuple[Point, ...], Meta(min_length=1, max_length=1000)]
    move: Point


class Opening(Message):
    """Round 2: what the commitment hid, of dealers a polynomial and of everybody random bytes."""

    polynomial: Polynomial | None
    rid: Bytes32
    blinder: Bytes32

    @property
    def fields(self) -> Field:
        if self.polynomial is None:
            return [self.rid]
        return [self.rid, [bytes(point) for point in self.polynomial.commitment], bytes(self.polynomial.move)]


class Proof(Message):
    """Round 3, to all: z_i of a dealer. There is only one that verifies, so it needs no echo."""

    response: Scalar | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Who takes part in a dealing: everybody's identity key, in order of device id; who deals; and what sharing."""

    identity_keys: Mapping[DeviceId, bytes]
    dealers: tuple[DeviceId, ...]
    target: Sharing

    def indices(self, device: DeviceId) -> range:
        """None for who leaves."""
        return self.target.seat(device).indices if device in self.target.devices else range(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """After round 2. ``ours``: what only we know, if we deal."""

    sid: bytes
    table: Table
    commits: Mapping[DeviceId, Commit]
    openings: Mapping[DeviceId, Opening]
    polynomials: Mapping[DeviceId, Polynomial]
    ours: tuple[SecretPolynomial, FirstMove] | None

    @property
    def rids(self) -> list[bytes]:
        return [self.openings[device].rid for device in self.table.identity_keys]

    def challenge(self, group: Group, prover: DeviceId) -> Scalar:
        """e_i = H(sid, rid, i, F_i[0], A_i)."""
        rid = digest(Domain.KEYGEN_RID, self.sid, self.rids)
        shown = self.polynomials[prover]
        statement, move = bytes(shown.commitment[0]), bytes(shown.move)
        return schnorr.challenge(group, self.sid, rid, self.table.identity_keys[prover], statement, move)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dealing:
    """One curve after round 3. ``commitment`` is F = ΣF_i; ``parts`` are the shares each dealer gave us, None where
    they were bad, and no parts at all where we have no seat."""

    sid: bytes
    rids: Field
    commitments: Mapping[DeviceId, tuple[Point, ...]]
    commitment: tuple[Point, ...]
    parts: Mapping[DeviceId, SecretVector | None]
    transcript: Field

    @property
    def cheats(self) -> list[DeviceId]:
        return [device for device, part in self.parts.items() if part is None]


async def open_polynomials(
    net: Net, table: Table, rng: Randomness, constant: SecretScalar | None = None
) -> Opened:
    """Rounds 1 and 2, in the net's group. ``constant``: the constant term of ours, if it is not to be random."""
    group, sid, terms = net.group, digest(Domain.SESSION, net.sid, net.group.curve.value), table.target.terms
    ours, shown = None, None
    if net.me in table.dealers:
        ours = SecretPolynomial.random(group, terms, rng, constant), schnorr.first_move(group, rng)
        shown = Polynomial(commitment=ours[0].commitment(), move=ours[1].point)
    mine = Opening(polynomial=shown, rid=rng.public(32), blinder=rng.public(32))

    key = table.identity_keys[net.me]
    v = commit(Domain.KEYGEN_COMMIT, sid, key, opening=mine.fields, blinder=mine.blinder)
    commits = await net.echo(Commit(digest=v))

    openings = await net.echo(mine)
    polynomials: dict[DeviceId, Polynomial] = {}
    for device, key in table.identity_keys.items():
        v, opening = commits[device].digest, openings[device]
        length = len(opening.polynomial.commitment) if opening.polynomial else 0
        require(length == (terms if device in table.dealers else 0), "KG-2.1 degree", device)
        opened = opens(v, Domain.KEYGEN_COMMIT, sid, key, opening=opening.fields, blinder=opening.blinder)
        require(opened, "KG-2.2 opening", device)
        if opening.polynomial:
            polynomials[device] = opening.polynomial
    return Opened(
        sid=sid, table=table, commits=commits, openings=openings, polynomials=polynomials, ours=ours
    )  # fmt: skip


async def hand_out(net: Net, opened: Opened, rng: Randomness) -> Dealing:
    """Round 3. A bad share does not end it here: the verdict is for everybody to hear."""
    group, table, polynomials = net.group, opened.table, opened.polynomials
    e = {device: opened.challenge(group, device) for device in polynomials}
    z, shares = None, {device: Shares(values=SecretBytes(0)) for device in net.parties}
    if opened.ours is not None:
        f, k = opened.ours
        z = schnorr.respond(k, e[net.me], f.constant)
        shares |= {seat.device: Shares(values=f.at(seat.indices).secret()) for seat in table.target.seats}
        f.wipe()
    proofs, dealt = await gather(net.broadcast(Proof(response=z)), net.scatter(shares, lenient=True))
    for device, proof in proofs.items():
        if (response := proof.response) is None or device not in polynomials:
            proven = response is None and device not in polynomials
        else:
            shown = polynomials[device]
            proven = schnorr.verify(shown.commitment[0], shown.move, e[device], response)
        require(proven, "KG-3.1 proof", device)
    commitments = {device: shown.commitment for device, shown in polynomials.items()}
    parts = {}
    if indices := table.indices(net.me):
        check = inspection(group, indices, table.target.terms, rng)
        parts = {device: check.accept(dealt[device], F) for device, F in commitments.items()}
    return Dealing(
        sid=opened.sid, rids=opened.rids, commitments=commitments, commitment=joint(commitments), parts=parts,
        transcript=_transcript(group, opened, proofs),
    )  # fmt: skip


def _transcript(group: Group, opened: Opened, proofs: Mapping[DeviceId, Proof]) -> Field:
    """All that went to everybody."""
    said = []
    for device, opening in opened.openings.items():
        z = proofs[device].response
        hidden = [opened.commits[device].digest, opening.fields, opening.blinder]
        said.append([device, *hidden, b"" if z is None else bytes(z)])
    return [group.curve.value, said]


def joint(commitments: Mapping[DeviceId, tuple[Point, ...]]) -> tuple[Point, ...]:
    """F = ΣF_i."""
    terms = list(zip(*commitments.values(), strict=True))
    commitment = tuple(points[0].group.sum(points) for points in terms)
    require(not any(point.is_identity for point in commitment), "KG-5.1 public polynomial")
    return commitment


def combine(curve: Curve, me: Seat, dealing: Dealing, chain_code: bytes) -> KeyShare:
    """Σ f_i(x) for our indices, once nobody complained."""
    parts = [part for part in dealing.parts.values() if part is not None]
    if len(parts) != len(dealing.commitments):
        raise Bug("a verdict let bad shares pass")
    secret = reduce(add, parts)
    require(not any(secret[place].is_zero() for place in range(len(secret))), "KG-5.2 zero share")
    return KeyShare(
        curve=curve, device=me.device, indices=me.indices, secret=secret, commitment=dealing.commitment,
        chain_code=chain_code,
    )  # fmt: skip
