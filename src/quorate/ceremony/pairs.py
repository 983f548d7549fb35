"""The pair set-ups that ECDSA sessions of this node work under: which are live, and how one ends.

docs/spec/ceremony.md, section CE-6. A set-up that a peer cheated under tells that peer something, so it must never be
used again: not in a session that is running beside, not after a restart, and not while the disk is in trouble.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager

import structlog

from quorate.ceremony.ports import Ledger, SetupState
from quorate.ceremony.vaults import Halt, Vault
from quorate.errors import NoSetup, StoreError
from quorate.identifiers import DeviceId
from quorate.protocols.ecdsa.sign import Setups
from quorate.protocols.ot.setup import PairSetup

log = structlog.get_logger()


class Pairs:
    """Thread-safe; all but ``working`` is blocking."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._at_work: dict[Halt, frozenset[bytes]] = {}
        self._ended: set[bytes] = set()  # since the start of this node, whatever the disk says
        self._recording = threading.Lock()
        self._unrecorded: set[bytes] = set()

    def recorded(self) -> bool:
        """Whether all that has ended is DEAD on disk, by now. Until it is, nobody is told anything that could be an
        answer."""
        try:
            self._record()
        except StoreError as error:
            log.error("the end of a pair set-up is not on disk", why=str(error))
            return False
        return True

    def ids(self, vault: Vault, peers: Collection[DeviceId]) -> Mapping[DeviceId, bytes]:
        """The live set-up with each of ``peers``; ``NoSetup`` if there is not one with each (rule CE-6.1)."""
        live = self._live(vault)
        if missing := sorted(set(peers) - set(live)):
            with_whom = ", ".join(missing)
            raise NoSetup(f"CE-6.1 live: no live pair set-up with {with_whom}; {remedy(vault, missing)}")
        return {peer: live[peer] for peer in peers}

    def apart(self, vault: Vault, me: DeviceId) -> frozenset[DeviceId]:
        """The members that cannot sign ECDSA with us."""
        return frozenset(vault.sharing.devices) - {me} - set(self._live(vault))

    def reader(self, vault: Vault, ids: Mapping[DeviceId, bytes]) -> Setups:
        """For one session: each call looks whether the live set-up with a peer still is the one of ``ids``, which was
        journalled; ``NoSetup`` if not (rule CE-6.2). The first unseals it, too."""
        place = vault.id, vault.epoch, vault.row.attempt
        unsealed: dict[DeviceId, PairSetup] = {}

        def read(peer: DeviceId) -> PairSetup:
            known = unsealed.get(peer)
            held = None if known else self._ledger.setup(*place, peer)
            live = held.id if held else self._ledger.live_setup(*place, peer)
            if live != ids[peer] or live in self._ended:
                raise NoSetup(f"CE-6.2 same: the pair set-up with {peer} has ended since the session began")
            if held:
                unsealed[peer] = PairSetup.unseal(held.secret)
            return unsealed[peer]

        return read

    @contextmanager
    def working(self, halt: Halt, ids: Collection[bytes]) -> Iterator[None]:
        """While a session works under these set-ups, ``halt`` is called if one of them ends."""
        with self._lock:
            self._at_work[halt] = frozenset(ids)
        try:
            yield
        finally:
            with self._lock:
                del self._at_work[halt]

    def end(self, ids: Collection[bytes], why: str) -> None:
        """Never use these again: at once, in every session, and durably when this returns (rule CE-6.3)."""
        with self._lock:
            self._ended.update(ids)
            self._unrecorded.update(ids)
            halts = [halt for halt, used in self._at_work.items() if not used.isdisjoint(ids)]
        for halt in halts:
            halt(f"CE-6.3 end: a pair set-up has ended: {why}")
        log.warning("pair set-ups end", setups=[each.hex() for each in ids], why=why)
        self._record()

    def _record(self) -> None:
        with self._recording:
            for each in tuple(self._unrecorded):
                self._ledger.kill_setup(each)
                self._unrecorded.discard(each)

    def _live(self, vault: Vault) -> dict[DeviceId, bytes]:
        self._record()
        rows = self._ledger.setups(vault.id, vault.epoch, vault.row.attempt)
        return {row.peer: row.id for row in rows if row.state is SetupState.LIVE}


def remedy(vault: Vault, peers: Iterable[str]) -> str:
    """What people can do about peers that a set-up is missing with."""
    return "make another: " + "; ".join(f"quorate vault pair-reset {vault.name} {peer}" for peer in peers)
