"""Rows for the tests, and a story: every change a store makes, in an order that makes sense."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256, shake_256
from pathlib import Path
from typing import Any

from quorate.ceremony.ports import (
    Decision,
    DecisionRow,
    EpochRow,
    EpochState,
    OperationRow,
    Reservation,
    SealedSetup,
    SealedShare,
    SetupState,
    State,
    Verdict,
)
from quorate.errors import StoreError
from quorate.identifiers import Curve, DeviceId, Epoch, OperationId, SessionId, VaultId
from quorate.native.memory import SecretBytes
from quorate.storage import Grant, SqliteLedger
from tests.storage.devices import NOW, create, device, reopen

OPERATION = OperationId("o" * 24)
VAULT = VaultId("v" * 24)
DIGEST = b"\x11" * 32
SECP, ED = b"\xa5" * 31 + b"\x01" + bytes(range(32)), bytes(range(100, 132)) + b"\x5a" * 32


def operation(name: str = OPERATION, *, digest: bytes = DIGEST, created_ms: int = NOW) -> OperationRow:
    return OperationRow(
        id=OperationId(name),
        digest=digest,
        kind="sign",
        vault=VAULT,
        proposer=device("alice").identity.device,
        proposal=b"proposal",
        state=State.PROPOSED,
        created_ms=created_ms,
        expires_ms=created_ms + 1000,
        ends_ms=created_ms + 900,
        updated_ms=created_ms,
    )


def decision(
    verdict: Verdict = Verdict.APPROVE, *, name: str = OPERATION, digest: bytes = DIGEST
) -> DecisionRow:
    said = Decision(verdict=verdict, approver="webhook", rule="answered", explanation="the backend said so")
    return DecisionRow(operation=OperationId(name), digest=digest, decision=said, at_ms=NOW)


def sharing(epoch: int = 0, attempt: int = 1, *, vault: VaultId = VAULT) -> EpochRow:
    return EpochRow(
        vault=vault,
        epoch=Epoch(epoch),
        attempt=attempt,
        record_hash=bytes([epoch, attempt]) * 16,
        record=b"record",
        state=EpochState.PENDING,
        operation=OPERATION,
    )


def shares() -> tuple[SealedShare, SealedShare]:
    return (
        SealedShare(curve=Curve.SECP256K1, indices=(1, 2), secret=SecretBytes.of(SECP)),
        SealedShare(curve=Curve.ED25519, indices=(1, 2), secret=SecretBytes.of(ED)),
    )


def setup(
    generation: int = 0,
    *,
    epoch: int = 0,
    attempt: int = 1,
    vault: VaultId = VAULT,
    peer: str = "bob",
    change: str = "",
) -> SealedSetup:
    """The one of that place; ``change`` makes another one for it."""
    device_id = device(peer).identity.device
    name = f"{vault} {epoch} {attempt} {device_id} {generation} {change}".encode()
    secret = SecretBytes.of(shake_256(b"secret " + name).digest(1000))
    return SealedSetup(id=sha256(name).digest(), peer=device_id, generation=generation, secret=secret)


def session(number: int = 1) -> SessionId:
    return SessionId(bytes([number]) * 32)


def approved(ledger: SqliteLedger) -> None:
    """Bring the operation to where an attempt may begin."""
    ledger.add_operation(operation())
    ledger.record_decision(decision())
    assert ledger.move_operation(OPERATION, [State.PROPOSED], State.APPROVED)


def keep(ledger: SqliteLedger, epoch: int = 0, attempt: int = 1, *, vault: VaultId = VAULT) -> None:
    """A sharing with bob and carol, PENDING."""
    setups = [setup(epoch=epoch, attempt=attempt, vault=vault, peer=peer) for peer in ("bob", "carol")]
    ledger.store_pending(sharing(epoch, attempt, vault=vault), shares(), setups)


def live(ledger: SqliteLedger, epoch: int = 0, attempt: int = 1) -> None:
    """Bring a sharing to life."""
    keep(ledger, epoch, attempt)
    ledger.mark_signed(VAULT, Epoch(epoch), attempt)
    ledger.activate(VAULT, Epoch(epoch), attempt, b"certificate")


def tell(directory: Path, on_commit: Callable[[str], None] | None = None) -> Iterator[SqliteLedger]:
    """Tell the story in a new store: one commit, or none, between two yields."""
    with create(directory, on_commit=on_commit) as ledger:
        yield ledger
        for change in CHANGES:
            change(ledger)
            yield ledger


BOB = DeviceId(device("bob").identity.device)
CHANGES: tuple[Callable[[SqliteLedger], Any], ...] = (
    lambda ledger: ledger.boot(),
    lambda ledger: ledger.add_peer(device("bob").card()),
    lambda ledger: ledger.add_client("treasury", [Grant("signer")]),
    lambda ledger: ledger.add_operation(operation()),
    lambda ledger: ledger.record_decision(decision()),
    lambda ledger: ledger.reserve(Reservation(operation=OPERATION, effect=b"{}", at_ms=NOW)),
    lambda ledger: ledger.record_vote(OPERATION, BOB, b"vote"),
    lambda ledger: ledger.move_operation(OPERATION, [State.PROPOSED], State.APPROVED),
    lambda ledger: ledger.begin_attempt(OPERATION, 1, session()),
    lambda ledger: keep(ledger, 0, 1),
    lambda ledger: ledger.drop_pending(VAULT, Epoch(0), 1),
    lambda ledger: keep(ledger, 0, 2),
    lambda ledger: ledger.mark_signed(VAULT, Epoch(0), 2),
    lambda ledger: ledger.activate(VAULT, Epoch(0), 2, b"certificate"),
    lambda ledger: ledger.record_acknowledgement(VAULT, Epoch(0), 2, BOB, b"acknowledgement"),
    lambda ledger: ledger.kill_setup(setup(attempt=2).id),
    lambda ledger: ledger.store_setup(VAULT, Epoch(0), 2, setup(1, attempt=2), SetupState.PENDING),
    lambda ledger: ledger.enliven_setup(VAULT, Epoch(0), BOB, setup(1, attempt=2).id),
    lambda ledger: keep(ledger, 1, 1),
    lambda ledger: ledger.mark_signed(VAULT, Epoch(1), 1),
    lambda ledger: ledger.activate(VAULT, Epoch(1), 1, b"another certificate"),
    lambda ledger: ledger.release(OPERATION, 1, DIGEST),
    lambda ledger: ledger.move_operation(OPERATION, [State.RUNNING], State.COMPLETED, result=b"signature"),
    lambda ledger: ledger.renew_card(address="elsewhere:7100"),
    lambda ledger: ledger.remove_peer(BOB),
    lambda ledger: ledger.revoke_client("treasury"),
)


def facts(ledger: SqliteLedger) -> dict[str, Any]:
    """Everything a store says that is the same at every telling. Counts one more boot."""
    epochs = ledger.epochs()
    return {
        "boots": ledger.boot().counter,
        "peers": {peer.device: (peer.rev, peer.address) for peer in ledger.peers().values()},
        "clients": list(ledger.clients()),
        "operations": list(ledger.operations()),
        "decision": ledger.decision(OPERATION),
        "votes": ledger.votes(OPERATION),
        "reservations": list(ledger.reservations(0)),
        "epochs": list(epochs),
        "active": ledger.active_epoch(VAULT),
        "shares": [
            ledger.share(row.vault, row.epoch, row.attempt, curve).secret.reveal()
            for row in epochs
            for curve in Curve
        ],
        "setups": [list(ledger.setups(row.vault, row.epoch, row.attempt)) for row in epochs],
        "live setups": [
            ledger.setup(each.vault, each.epoch, each.attempt, each.peer).secret.reveal()
            for row in epochs
            if row.state is EpochState.ACTIVE
            for each in ledger.setups(row.vault, row.epoch, row.attempt)
            if each.state is SetupState.LIVE
        ],
        "identity": ledger.identity.secret().reveal(),
    }


def facts_of(directory: Path) -> dict[str, Any] | None:
    """The facts of the store left in ``directory``; None where it was never finished."""
    try:
        with reopen(directory) as ledger:
            return facts(ledger)
    except StoreError as error:
        if "never finished" not in str(error):
            raise
        return None
