"""A reset's book, kept in the ledger, and the protocol that is run on it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal

from quorate.ceremony import resets
from quorate.ceremony.context import Context
from quorate.ceremony.ports import SealedSetup, SetupState
from quorate.ceremony.vaults import Vault
from quorate.identifiers import DeviceId
from quorate.operations.kinds import PairReset
from quorate.protocols.ot.reset import reset
from quorate.protocols.ot.setup import PairSetup, SetupContext
from quorate.wire.net import Net


class LedgerPairBook:
    """``protocols.ot.reset.PairBook`` over the ledger, for one reset."""

    def __init__(self, context: Context, request: PairReset) -> None:
        self._context = context
        self._request = request
        self._peer = resets.other(context, request)

    def retire(self) -> None:
        vault = self._vault()
        resets.check_generation(self._context, vault, self._request)
        earlier = [
            row.id
            for row in resets.held(self._context, vault, self._peer)
            if row.state is not SetupState.DEAD and row.generation < self._request.generation
        ]
        if earlier:
            self._context.pairs.end(earlier, f"the one with {self._peer} is being reset")

    def pending(self, setup: PairSetup) -> None:
        self._store(setup, SetupState.PENDING)

    def live(self, setup: PairSetup) -> None:
        self._store(setup, SetupState.LIVE)

    def enliven(self, setup: bytes) -> bool:
        """An outcome of the other's may have come first: then it is LIVE already."""
        vault = self._vault()
        self._context.ledger.enliven_setup(vault.id, vault.epoch, self._peer, setup)
        return resets.is_live(self._context, vault, self._request, setup)

    def _store(self, setup: PairSetup, state: Literal[SetupState.PENDING, SetupState.LIVE]) -> None:
        vault = self._vault()
        sealed = SealedSetup(
            id=setup.id, peer=setup.peer, generation=self._request.generation, secret=setup.seal()
        )
        self._context.ledger.store_setup(vault.id, vault.epoch, vault.row.attempt, sealed, state)

    def _vault(self) -> Vault:
        """As it is now: an epoch may end while a reset runs."""
        return resets.live(self._context, self._request)


def protocol(context: Context, request: PairReset) -> Callable[[Net], Coroutine[Any, None, bytes]]:
    vault = resets.live(context, request)
    low, high = (vault.sharing.seat(DeviceId(device)) for device in request.pair)
    where = SetupContext(
        vault=vault.id, epoch=vault.epoch, attempt=vault.row.attempt, generation=request.generation,
        members=(low, high),
    )  # fmt: skip
    # what is kept for years never passes through Python's memory: randomness straight from the system
    return lambda net: reset(net, where, context.entropy, LedgerPairBook(context, request))
