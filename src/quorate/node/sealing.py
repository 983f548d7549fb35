"""A running node without its node key and its shares, until its operator gives the key again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from quorate.ceremony.ceremonies import Ceremonies
from quorate.node.config import Key
from quorate.node.founding import key_source
from quorate.storage import Passphrase, SqliteLedger

log = structlog.get_logger()


class NodeSealing:
    """Implements ``rpc.upkeep.Sealing``. ``key``: what is configured at this moment."""

    def __init__(self, ledger: SqliteLedger, ceremonies: Ceremonies, key: Callable[[], Key]) -> None:
        self._ledger, self._ceremonies, self._key = ledger, ceremonies, key
        self._one = asyncio.Lock()

    async def seal(self) -> None:
        async with self._one:
            await self._ceremonies.seal(self._ledger.seal)
            log.warning("sealed: this node votes on nothing and signs nothing until `quorate unseal`")

    async def unseal(self, passphrase: bytes) -> None:
        async with self._one:
            source = Passphrase(passphrase) if passphrase else key_source(self._key())
            await asyncio.to_thread(self._ledger.unseal, source)
            self._ceremonies.unseal()
            log.warning("unsealed")
