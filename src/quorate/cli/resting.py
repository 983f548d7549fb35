"""The cards of a node that does not run, asked as a running one is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from quorate.ceremony.ports import Peer
from quorate.node.cards import Cards, at_rest
from quorate.rpc.upkeep import Certificates


class RestingCards:
    def __init__(self, cards: Cards) -> None:
        self._cards = cards

    @classmethod
    @contextmanager
    def of(cls, home: Path) -> Iterator[Self]:
        with at_rest(home) as cards:
            yield cls(cards)

    async def certificates(self) -> Certificates:
        return self._cards.certificates()

    async def rotate_certificate(self, *, at_once: bool = False) -> Certificates:
        return self._cards.rotate(rev=self._cards.certificates().me.rev, at_once=at_once)

    async def set_address(self, address: str, *, device: str = "") -> Peer:
        return self._cards.set_address(device, address)

    async def peers(self) -> Sequence[Peer]:
        return self._cards.peers()
