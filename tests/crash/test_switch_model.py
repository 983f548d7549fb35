"""Which epoch lives, through interleavings of crash, loss, duplication and retry that hypothesis makes up.

Three real stores, and the production functions that decide: what a certificate, a chain that is shown and an
acknowledgement do (``ceremony.lineage``), what a session leaves on disk (``storage.epochs``), what a restart drops
(``Ceremonies``). Only the arithmetic of the session is left out. The oracle knows three sets and no states.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from quorate.ceremony import lineage
from quorate.ceremony.ceremonies import Ceremonies
from quorate.ceremony.context import Context
from quorate.ceremony.ports import EpochRow, EpochState, SealedShare
from quorate.ceremony.statements import Holdings, hear
from quorate.ceremony.vaults import Vaults
from quorate.errors import StoreError
from quorate.identifiers import Curve, Epoch, OperationId, VaultId
from quorate.native.memory import SecretBytes
from quorate.operations.kinds import Member
from quorate.protocols.certificate import (
    CURVES,
    Certificate,
    EpochRecord,
    Key,
    Signer,
    acknowledgement,
    endorsement,
    places,
)
from quorate.protocols.quorum import sharing_of
from quorate.storage import SqliteLedger
from quorate.wire.codec import encode
from tests.storage.devices import create, device, reopen

NAMES = ("alice", "bob", "carol")
VAULT = VaultId("v" * 24)
IDENTITIES = {name: device(name).identity for name in NAMES}
KEYS = {identity.device: identity.identity_key for identity in IDENTITIES.values()}
POINT = {Curve.SECP256K1: 33, Curve.ED25519: 32}
PAIRS = len(NAMES) * (len(NAMES) - 1) // 2
Attempt = tuple[int, int]

FOUNDED: list[Path] = []  # once it was

nodes = st.sampled_from(NAMES)
several = st.one_of(st.just(frozenset(NAMES)), st.frozensets(nodes, min_size=1))


def founded() -> EpochRecord:
    members = [Member(device=each, identity_key=key, weight=1) for each, key in KEYS.items()]
    sharing = sharing_of(members, 2, allow_sole_signer=False)
    first, second = (
        Key(curve=curve, commitment=(bytes(POINT[curve]),) * sharing.terms, chain_code=bytes(32))
        for curve in CURVES
    )
    return EpochRecord(
        vault=VAULT, epoch=0, attempt=1, previous=b"", dealers=(), roster=places(sharing), threshold=2,
        terms=sharing.terms, keys=(first, second), setups=(bytes(32),) * PAIRS, transcript=bytes(32),
    )  # fmt: skip


def after(record: EpochRecord, attempt: int) -> EpochRecord:
    dealers = tuple(Signer(device=each, identity_key=KEYS[each]) for each in sorted(KEYS))
    return msgspec.structs.replace(
        record, epoch=record.epoch + 1, attempt=attempt, previous=record.hash, dealers=dealers,
        transcript=bytes([record.epoch + 1, attempt]) * 16,
    )  # fmt: skip


def certificate(record: EpochRecord) -> bytes:
    by_device = {identity.device: identity for identity in IDENTITIES.values()}
    signatures = [by_device[each].sign(endorsement(record.hash, each)) for each in record.signers]
    return encode(Certificate(record=record, signatures=tuple(signatures)))


class Switch(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.ledgers: dict[str, SqliteLedger] = {}
        self.contexts: dict[str, Context] = {}
        # the oracle: who endorsed and who acknowledged an attempt, and which certificates somebody keeps
        self.records = {(0, 1): founded()}
        self.endorsed: dict[Attempt, set[str]] = {(0, 1): set()}
        self.acknowledged: dict[Attempt, set[str]] = {(0, 1): set()}
        self.kept: set[Attempt] = {(0, 1)}
        self.sessions: dict[str, Attempt] = {}
        if FOUNDED:
            for name in NAMES:
                shutil.copytree(FOUNDED[0] / name, self.folder / name)
                self.take(name, reopen(self.folder / name))
            self.endorsed[0, 1] |= set(NAMES)
            self.acknowledged[0, 1] |= set(NAMES)
        else:
            self.found()

    def found(self) -> None:
        """The vault, ready at all; the stores are kept for the examples to come."""
        for name in NAMES:
            (self.folder / name).mkdir(mode=0o700)
            ledger = create(self.folder / name, name)
            for other in NAMES:
                if other != name:
                    ledger.add_peer(device(other).card())
            self.take(name, ledger)
        for name in NAMES:
            self.sessions[name] = (0, 1)
            self.pend(name, (0, 1))
            self.sign(name)
        for name in NAMES:
            self.complete(name)
        self.try_out(frozenset(NAMES))
        for name in NAMES:
            self.ledgers[name].close()
        FOUNDED.append(Path(tempfile.mkdtemp()) / "founded")
        shutil.copytree(self.folder, FOUNDED[0])
        for name in NAMES:
            self.take(name, reopen(self.folder / name))

    def take(self, name: str, ledger: SqliteLedger) -> None:
        identity = IDENTITIES[name]
        names = {each.device: known for known, each in IDENTITIES.items()}
        context = SimpleNamespace(
            me=identity.device, identity=identity, ledger=ledger, vaults=Vaults(ledger, identity.device),
            key_of=KEYS.get, name_of=names.get,
        )  # fmt: skip
        self.ledgers[name], self.contexts[name] = ledger, cast("Context", context)

    def teardown(self) -> None:
        """Once all are there and have talked, one epoch lives, nobody lost its share, and nothing older is left."""
        try:
            for name in NAMES:
                self.crash(name)
            self.talk()
            self.try_out(frozenset(NAMES))
            self.talk()
            live = max(self.kept)
            for name in NAMES:
                rows = self.ledgers[name].epochs()
                held: dict[Attempt, EpochState] = {(row.epoch, row.attempt): row.state for row in rows}
                assert held[live] is EpochState.ACTIVE, (name, held, live)
                assert self.shares(name) >= {live}
                assert all(epoch >= live[0] for epoch, _ in self.shares(name)), (name, held, live)
        finally:
            for ledger in self.ledgers.values():
                ledger.close()
            shutil.rmtree(self.folder)

    def talk(self) -> None:
        for _ in NAMES:
            for name in NAMES:
                for other in NAMES:
                    if other != name:
                        self.ask(name, other)

    # --- what a session does at a node, until it dies

    def pend(self, name: str, attempt: Attempt) -> None:
        record = self.records[attempt]
        row = EpochRow(
            vault=VAULT, epoch=Epoch(attempt[0]), attempt=attempt[1], record_hash=record.hash,
            record=encode(record), state=EpochState.PENDING, operation=OperationId("o" * 24),
        )  # fmt: skip
        shares = [
            SealedShare(curve=curve, indices=(1,), secret=SecretBytes.of(bytes(31) + b"\x01"))
            for curve in Curve
        ]
        self.ledgers[name].store_pending(row, shares, ())

    @precondition(lambda self: max(self.records)[1] < 6 and max(self.kept)[0] < 3)
    @rule(there=several, hasty=st.sampled_from((False, False, False, True)))
    def begin(self, there: frozenset[str], hasty: bool) -> None:
        """A reshare of the epoch that is ready at everybody; some come as far as to keep what they were dealt. A
        ``hasty`` one ends the session of the one before."""
        if self.sessions and not hasty:
            return
        vaults = [self.contexts[name].vaults.newest_vault(VAULT) for name in NAMES]
        if not all(vault is not None and vault.ready for vault in vaults):
            return
        live = {(vault.epoch, vault.row.attempt) for vault in vaults if vault is not None}
        if len(live) != 1:
            return
        base = live.pop()
        number = 1 + max((n for epoch, n in self.records if epoch == base[0] + 1), default=0)
        attempt = (base[0] + 1, number)
        self.records[attempt] = after(self.records[base], number)
        self.endorsed[attempt], self.acknowledged[attempt] = set(), set()
        self.sessions = dict.fromkeys(sorted(there), attempt)
        for name in self.sessions:
            self.pend(name, attempt)

    @rule(names=several)
    def sign_all(self, names: frozenset[str]) -> None:
        for name in sorted(names):
            self.sign(name)

    def sign(self, name: str) -> None:
        attempt = self.sessions.get(name)
        if attempt is not None and name not in self.endorsed[attempt]:
            self.ledgers[name].mark_signed(VAULT, Epoch(attempt[0]), attempt[1])
            self.endorsed[attempt].add(name)

    @rule(names=several)
    def complete_all(self, names: frozenset[str]) -> None:
        for name in sorted(names):
            self.complete(name)

    def complete(self, name: str) -> None:
        """All endorsements came, to a node whose session still lives."""
        attempt = self.sessions.get(name)
        if attempt is not None and self.endorsed[attempt] == set(NAMES):
            lineage.believe_certificate(self.contexts[name], certificate(self.records[attempt]))
            self.kept.add(attempt)
            del self.sessions[name]

    @rule(name=nodes)
    def crash(self, name: str) -> None:
        self.sessions.pop(name, None)
        self.ledgers[name].close()
        self.take(name, reopen(self.folder / name))
        Ceremonies._drop_pending(cast("Any", SimpleNamespace(_context=self.contexts[name])))

    # --- after it

    @rule(heard=several)
    def try_out(self, heard: frozenset[str]) -> None:
        """A trial by all, in the newest epoch, if it lives at all; who hears it keeps everybody's acknowledgement of
        those that heard it."""
        live = max(self.kept)
        record = self.records[live]
        vaults = {name: self.contexts[name].vaults.held(VAULT, record.hash) for name in NAMES}
        if not all(vault is not None and vault.active for vault in vaults.values()):
            return
        said = {IDENTITIES[name].device: IDENTITIES[name].sign(self.ack(record, name)) for name in heard}
        self.acknowledged[live] |= heard
        for name in heard:
            for each, signature in said.items():
                vault = self.contexts[name].vaults.newest_vault(VAULT)
                assert vault is not None
                lineage.note_acknowledgement(self.contexts[name], vault, each, signature)
            lineage.settle(self.contexts[name], VAULT)

    @staticmethod
    def ack(record: EpochRecord, name: str) -> Any:
        return acknowledgement(record, IDENTITIES[name].device)

    @rule(name=nodes, other=nodes, times=st.integers(1, 2))
    def ask(self, name: str, other: str, times: int = 1) -> None:
        """What another holds is shown once, or twice; an answer that is lost is a rule that was not drawn."""
        said = lineage.chain(self.contexts[other], VAULT, 0)
        for _ in range(times):
            shown = hear(Holdings, said, KEYS.get)[1]
            lineage.absorb(self.contexts[name], shown)

    # --- what holds after every step

    def shares(self, name: str) -> set[Attempt]:
        held: set[Attempt] = set()
        for row in self.ledgers[name].epochs():
            try:
                for curve in Curve:
                    self.ledgers[name].share(VAULT, row.epoch, row.attempt, curve)
                held.add((row.epoch, row.attempt))
            except StoreError:
                continue
        return held

    @invariant()
    def one_epoch_lives_and_no_share_is_lost(self) -> None:
        for name in NAMES:
            rows = self.ledgers[name].epochs()
            active = [(row.epoch, row.attempt) for row in rows if row.state is EpochState.ACTIVE]
            assert len(active) == 1, (name, active)
            assert active[0] in self.kept
            assert self.endorsed[active[0]] == set(NAMES)
            over = max(
                (epoch for (epoch, _), who in self.acknowledged.items() if who == set(NAMES)), default=0
            )
            mine = {attempt for attempt, who in self.endorsed.items() if name in who}
            lost = {attempt for attempt in mine - self.shares(name) if attempt[0] >= over}
            assert not lost, (name, lost)


TestSwitch = Switch.TestCase
TestSwitch.settings = settings(max_examples=10, stateful_step_count=20)


@pytest.mark.slow
def test_the_switch_through_many_more_interleavings() -> None:
    run_state_machine_as_test(Switch, settings=settings(max_examples=300, stateful_step_count=50))


@pytest.fixture(autouse=True, scope="module")
def _forget() -> Iterator[None]:
    yield
    while FOUNDED:
        shutil.rmtree(FOUNDED.pop().parent)
