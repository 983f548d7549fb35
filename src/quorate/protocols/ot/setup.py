"""What two parties set up once, to multiply ever after: base OTs and trees in both directions, and the seed of their
shares of zero. docs/spec/ot.md, "Set-up"; made within key generation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from quorate.curves import Randomness
from quorate.errors import Bug, Corrupt, require
from quorate.identifiers import DeviceId, Epoch, VaultId
from quorate.native import ot
from quorate.native.memory import SecretBytes, concatenate
from quorate.primitives.commitment import commit, opens
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import Field, digest
from quorate.protocols.ot.base import answer, choose, finish
from quorate.protocols.ot.expand import follow, grow
from quorate.protocols.sharing import Member
from quorate.wire.codec import Bytes32, Message
from quorate.wire.net import Pair

VERSION = 1
SEED = 32
_PARTS = (32, 24, SEED, ot.ALL_LEAVES, ot.PUNCTURED)  # id, peer, and the three secrets

BasePoints = Annotated[bytes, Meta(min_length=ot.BASE_MESSAGE, max_length=ot.BASE_MESSAGE)]
Corrections = Annotated[bytes, Meta(min_length=ot.TREE_MESSAGE, max_length=ot.TREE_MESSAGE)]


class Choice(Message):
    """Round 1: as receiver of the base OTs, and a commitment to our half of the zero seed."""

    points: BasePoints
    zero: Bytes32


class Answer(Message):
    """Round 2: as sender of the other base OTs, the trees that grow from them, and our half of the zero seed."""

    points: BasePoints
    trees: Corrections
    zero: SecretBytes
    blinder: Bytes32


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupContext:
    """All that a set-up belongs to but its session. ``generation`` counts the set-ups of one pair in one epoch;
    ``members`` are the two, in order of device id."""

    vault: VaultId
    epoch: Epoch
    attempt: int
    generation: int
    members: tuple[Member, Member]

    def __post_init__(self) -> None:
        if not self.members[0].device < self.members[1].device:
            raise Bug("the two of a set-up are in order")

    def member(self, device: DeviceId) -> Member:
        return next(member for member in self.members if member.device == device)

    def hash(self, sid: bytes, sender: DeviceId, receiver: DeviceId) -> bytes:
        """32 bytes, the first field of every hash made for one direction: named by who sends in the extension."""
        keys = [self.member(device).identity_key for device in (sender, receiver)]
        return digest(Domain.OT_SETUP, self._place, sid, *keys)

    def id(self, sid: bytes, said: list[list[bytes]], zero: bytes) -> bytes:
        """The set-up's name, which depends on all that either side ``said``."""
        return digest(Domain.OT_SETUP_ID, self._place, sid, said, zero)

    @property
    def _place(self) -> Field:
        both: Field = [[member.identity_key, member.weight] for member in self.members]
        return [VERSION, self.vault, self.epoch, self.attempt, self.generation, both]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairSetup:
    """Our half. ``receiving`` has all leaves of the direction in which we are R; ``sending`` all but one of each tree,
    and Δ, of that in which we are S; ``zero_seed`` is the same on both sides. All of it is secret but id and peer."""

    id: bytes
    peer: DeviceId
    receiving: SecretBytes
    sending: SecretBytes
    zero_seed: SecretBytes

    def seal(self) -> SecretBytes:
        """All of it in one, for the store to encrypt."""
        return concatenate(
            [
                SecretBytes.of(self.id),
                SecretBytes.of(self.peer.encode()),
                self.zero_seed,
                self.receiving,
                self.sending,
            ]
        )

    @classmethod
    def unseal(cls, sealed: SecretBytes) -> PairSetup:
        if len(sealed) != sum(_PARTS):
            raise Corrupt(f"a pair set-up has {sum(_PARTS)} bytes, not {len(sealed)}")
        parts, start = [], 0
        for size in _PARTS:
            parts.append(sealed.part(start, start + size))
            start += size
        name, peer, zero, receiving, sending = parts
        return cls(
            id=name.reveal(),
            peer=DeviceId(peer.reveal().decode()),
            receiving=receiving,
            sending=sending,
            zero_seed=zero,
        )


async def set_up(pair: Pair, context: SetupContext, rng: Randomness) -> PairSetup:
    """Both directions and the zero seed, in two rounds. The caller has the ids compared: they are in the epoch record
    that everyone signs."""
    me, peer, sid = pair.net.me, pair.peer, pair.net.sid
    if {me, peer} != {member.device for member in context.members}:
        raise Bug("a set-up is for the two that run it")
    sending, receiving = context.hash(sid, me, peer), context.hash(sid, peer, me)

    choosing, points = choose(sending, rng)
    half, blinder = rng.secret(SEED), rng.public(32)
    v = commit(
        Domain.OT_ZERO, sending, context.member(me).identity_key, opening=half.reveal(), blinder=blinder
    )
    mine = Choice(points=points, zero=v)
    pair.send(mine)
    theirs = await pair.recv(Choice)

    points, keys = answer(receiving, theirs.points, peer, rng)
    with keys:
        leaves, trees = grow(receiving, keys)
    reply = Answer(points=points, trees=trees, zero=half, blinder=blinder)
    pair.send(reply)
    heard = await pair.recv(Answer)

    opened = len(heard.zero) == SEED and opens(
        theirs.zero,
        Domain.OT_ZERO,
        receiving,
        context.member(peer).identity_key,
        opening=heard.zero.reveal(),
        blinder=heard.blinder,
    )
    require(opened, "OT-2.2 zero seed", peer)
    with finish(sending, choosing, heard.points, peer) as chosen, choosing.bits, choosing.logarithms:
        punctured = follow(sending, choosing, chosen, heard.trees, peer)

    zero = bytes(a ^ b for a, b in zip(half.reveal(), heard.zero.reveal(), strict=True))
    said = {me: transcript(mine, reply), peer: transcript(theirs, heard)}
    return PairSetup(
        id=context.id(sid, [said[device] for device in pair.net.parties], zero),
        peer=peer,
        receiving=leaves,
        sending=punctured,
        zero_seed=SecretBytes.of(zero),
    )


def transcript(choice: Choice, answer: Answer) -> list[bytes]:
    """All that one side said, but for the seed, which has a place of its own."""
    return [choice.points, choice.zero, answer.points, answer.trees, answer.blinder]
