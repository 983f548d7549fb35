"""Another set-up for a pair that has one already: made anew, then switched to in two phases, so that whatever fails
leaves the pair with the new one or with none. docs/spec/ot.md, "Reset".

Of the two, *min* has the lower device id. Whoever holds a set-up LIVE knows that the other holds it: max does so
first, when min has it on disk; min when max says that it did.
"""

from __future__ import annotations

from typing import Protocol

from quorate.curves import Randomness
from quorate.errors import require
from quorate.protocols.ot.setup import PairSetup, SetupContext, set_up
from quorate.wire.codec import Bytes32, Message
from quorate.wire.net import Net


class PairBook(Protocol):
    """Where a node keeps the set-ups of one pair. Each call returns when the change is durable."""

    def retire(self) -> None:
        """Whatever the pair has of lower generations is DEAD. Fails, with nothing changed, where this generation or
        a higher one has been in use."""
        ...

    def pending(self, setup: PairSetup) -> None:
        """Keep it, not to be used yet, in place of what an earlier attempt left so."""
        ...

    def live(self, setup: PairSetup) -> None:
        """Keep it, to be used."""
        ...

    def enliven(self, setup: bytes) -> bool:
        """Use the one that is pending under this id; whether it is LIVE now."""
        ...


class Held(Message):
    """Min's: it has the set-up of this id on disk."""

    setup: Bytes32


class Switched(Message):
    """Max's: it uses the set-up of this id from now on."""

    setup: Bytes32


async def reset(net: Net, context: SetupContext, rng: Randomness, book: PairBook) -> bytes:
    """The id of the pair's new set-up, LIVE here. The parties of the net are the two, its session the ceremony id."""
    book.retire()
    (peer,) = net.others
    pair = net.pair(peer, "pair")
    setup = await set_up(pair, context, rng)
    if net.me == context.members[0].device:
        book.pending(setup)
        pair.send(Held(setup=setup.id))
        switched = await pair.recv(Switched)
        require(switched.setup == setup.id, "OT-5.2 switched", peer)
        require(book.enliven(setup.id), "OT-5.3 still pending")
    else:
        held = await pair.recv(Held)
        require(held.setup == setup.id, "OT-5.1 held", peer)
        book.live(setup)
        pair.send(Switched(setup=setup.id))
    return setup.id
