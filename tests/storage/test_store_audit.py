"""The audit chain: written with what it records, and no single thing done to it goes unnoticed."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.ceremony import audit_export
from quorate.ceremony.audit import BEGUN, AuditVerdict, Entry, Record, Witness, hash_of, verify
from quorate.ceremony.audit_heads import Head, head_of
from quorate.ceremony.ports import State
from quorate.errors import Corrupt, StoreError, UsageError
from quorate.identifiers import OperationId
from quorate.storage import Grant
from quorate.storage.database import Database
from quorate.storage.locking import read_lock, sealed_check
from quorate.wire.codec import decode, encode
from tests.rules import breaks
from tests.storage.devices import NOW, create, device, key_file, reopen, restore
from tests.storage.story import DIGEST, OPERATION, VAULT, operation, tell

ALICE = device("alice").identity


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that has seen every change there is."""
    folder = tmp_path_factory.mktemp("told")
    for _ in tell(folder):
        pass
    return folder


@contextlib.contextmanager
def raw(folder: Path) -> Iterator[sqlite3.Connection]:
    """Whoever holds the file and not the key: the triggers are no obstacle."""
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as connection:
        connection.execute("DROP TRIGGER IF EXISTS audit_is_never_changed")
        connection.execute("DROP TRIGGER IF EXISTS audit_is_never_deleted")
        yield connection
        connection.commit()


def entries(folder: Path) -> tuple[Sequence[Entry], Head]:
    with reopen(folder) as ledger:
        return ledger.audit_entries(limit=1000), ledger.audit_head()


def records(folder: Path) -> list[Record]:
    return [decode(Record, entry.body) for entry in entries(folder)[0]]


def lines_of(folder: Path) -> list[str]:
    found, head = entries(folder)
    return [
        audit_export.heading(ALICE.device),
        *map(audit_export.line_of, found),
        audit_export.head_line(head),
    ]


def named(verdict: AuditVerdict) -> set[int]:
    return {flaw.sequence for flaw in verdict.flaws}


@breaks("AU-1.1")
def test_every_change_is_told_in_the_transaction_that_makes_it(told: Path) -> None:
    events = [record.event for record in records(told)]
    assert events == [
        "begun", "started", "peer card", "client added", "asked", "decided", "vote", "attempt", "epoch kept",
        "epoch dropped", "epoch kept", "epoch signed", "epoch active", "pair set-up dead", "pair set-up kept",
        "pair set-up live", "epoch kept", "epoch signed", "epoch active", "released", "ended", "own card renewed",
        "peer removed", "client revoked",
    ]  # fmt: skip


@breaks("AU-1.1")
def test_what_cannot_be_told_is_not_done(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        ledger.add_operation(operation())
        with raw(tmp_path) as connection:
            connection.execute(
                "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        with pytest.raises(StoreError, match="no room"):
            ledger.move_operation(OPERATION, [State.PROPOSED], State.FAILED)
        row = ledger.operation(OPERATION)
        assert row is not None
        assert row.state is State.PROPOSED
        with pytest.raises(StoreError, match="no room"):
            ledger.add_client("treasury", [Grant("signer")])
        assert not ledger.clients()
    with raw(tmp_path) as connection:
        connection.execute("DROP TRIGGER full")
    with reopen(tmp_path) as ledger:
        assert ledger.move_operation(OPERATION, [State.PROPOSED], State.FAILED)
        assert ledger.verify_audit().sound


def test_settings_that_change_are_told_by_name(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        ledger.boot("1.2", approver="webhook")
        ledger.note_settings(("approver.type", "limits.drain"))
    started, changed = records(tmp_path)[1:]
    assert dict(started.facts)["approver"] == "webhook"
    assert (changed.event, dict(changed.facts)) == (
        "settings changed", {"names": "approver.type limits.drain", "by": "this node"},
    )  # fmt: skip


def test_what_changes_nothing_is_not_told(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        ledger.add_operation(operation())
        ledger.add_peer(device("bob").card())
        ledger.add_client("treasury", [Grant("signer")])
        ledger.revoke_client("treasury")
        before = ledger.audit_head()
        ledger.add_operation(operation())
        ledger.add_peer(device("bob").card())
        ledger.revoke_client("treasury")
        ledger.check(0)
        assert not ledger.release(OPERATION, 1, DIGEST)
        assert not ledger.drop_pending(VAULT, 0, 1)  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            ledger.remove_peer(device("carol").identity.device)
        assert ledger.audit_head() == before


@breaks("AU-1.2")
@pytest.mark.parametrize("meddle", ["UPDATE audit SET body = x'00' WHERE sequence = 2", "DELETE FROM audit"])
def test_the_store_itself_changes_no_record(tmp_path: Path, meddle: str) -> None:
    with create(tmp_path) as ledger:
        ledger.boot()
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="stay"),
    ):
        connection.execute(meddle)


def test_a_told_store_verifies_here_and_as_an_export(told: Path) -> None:
    with reopen(told) as ledger:
        verdict = ledger.verify_audit()
    assert verdict.sound
    assert verdict.records == verdict.last == len(records(told))
    assert audit_export.verify_lines(ALICE.identity_key, lines_of(told)) == verdict


def test_a_chain_goes_on_over_restarts_and_many_writers(tmp_path: Path) -> None:
    create(tmp_path).close()
    for start in range(3):
        with reopen(tmp_path) as ledger:
            ledger.boot()
            names = [f"{start}{number:02}".ljust(24, "x") for number in range(20)]
            threads = [
                threading.Thread(target=ledger.add_operation, args=(operation(OperationId(name)),))
                for name in names
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            ledger.stopped()
    assert len(records(tmp_path)) == 1 + 3 * 22
    with reopen(tmp_path) as ledger:
        assert ledger.verify_audit().sound


# --- tampering with the store


COLUMNS = ("sequence", "body", "hash", "signature")


def copy(folder: Path, to: Path) -> Path:
    for name in ("store.db", "key"):
        (to / name).write_bytes((folder / name).read_bytes())
        (to / name).chmod(0o600)
    return to


def examine(folder: Path) -> AuditVerdict:
    """As ``verify_audit``; the store need not open."""
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as connection:
        rows = connection.execute(
            "SELECT sequence, body, hash, signature FROM audit ORDER BY sequence"
        ).fetchall()
        head = connection.execute("SELECT sequence, hash, signature FROM audit_head").fetchone()
    found = [Entry(place=row[0], body=row[1], hash=row[2], signature=row[3]) for row in rows]
    signed = None if head is None else Head(sequence=head[0], hash=head[1], signature=head[2])
    return verify(ALICE.identity_key, found, signed)


@breaks("AU-2.1", "AU-2.3", "AU-2.4")
@pytest.mark.parametrize("column", COLUMNS)
def test_every_edited_column_of_every_record_is_found_and_named(
    told: Path, tmp_path: Path, column: str
) -> None:
    last = len(records(told))
    for sequence in range(1, last + 1):
        folder = copy(told, tmp_path)
        with raw(folder) as connection:
            if column == "sequence":
                connection.execute("UPDATE audit SET sequence = 5000 WHERE sequence = ?", (sequence,))
            else:
                (value,) = connection.execute(
                    f"SELECT {column} FROM audit WHERE sequence = ?", (sequence,)
                ).fetchone()
                at = sequence * 7 % len(value)
                edited = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
                connection.execute(f"UPDATE audit SET {column} = ? WHERE sequence = ?", (edited, sequence))
        assert named(examine(folder)) == {sequence}


@breaks("AU-2.2", "AU-2.5")
def test_every_removed_record_is_found_and_named(told: Path, tmp_path: Path) -> None:
    for sequence in range(1, len(records(told)) + 1):
        folder = copy(told, tmp_path)
        with raw(folder) as connection:
            connection.execute("DELETE FROM audit WHERE sequence = ?", (sequence,))
        assert named(examine(folder)) == {sequence}


@breaks("AU-2.3")
def test_every_two_records_that_are_exchanged_are_found_and_named(told: Path, tmp_path: Path) -> None:
    for sequence in range(1, len(records(told))):
        folder = copy(told, tmp_path)
        with raw(folder) as connection:
            for frm, to in ((sequence, 9000), (sequence + 1, sequence), (9000, sequence + 1)):
                connection.execute("UPDATE audit SET sequence = ? WHERE sequence = ?", (to, frm))
        assert named(examine(folder)) == {sequence, sequence + 1}


@breaks("AU-2.5")
def test_a_chain_that_is_cut_off_or_has_another_head_is_found(told: Path, tmp_path: Path) -> None:
    last = len(records(told))
    folder = copy(told, tmp_path)
    with raw(folder) as connection:
        connection.execute("DELETE FROM audit WHERE sequence > ?", (last - 3,))
    assert {(flaw.sequence, flaw.rule) for flaw in examine(folder).flaws} == {(last - 2, "AU-2.5 whole")}
    with raw(copy(told, tmp_path)) as connection:
        connection.execute("DELETE FROM audit_head")
    assert named(examine(folder)) == {last}
    with raw(copy(told, tmp_path)) as connection:
        connection.execute("UPDATE audit_head SET sequence = ?", (last + 1,))
    assert named(examine(folder)) == {last + 1}
    with raw(copy(told, tmp_path)) as connection:
        connection.execute("UPDATE audit_head SET signature = zeroblob(64)")
    assert named(examine(folder)) == {last}


@breaks("AU-2.4")
def test_who_writes_the_chain_anew_from_a_record_on_without_the_key_is_caught_at_that_record(
    told: Path,
) -> None:
    found, head = entries(told)
    forged, previous = list(found), b""
    for index in range(9, len(found)):
        record = decode(Record, found[index].body)
        if index == 9:
            record = msgspec.structs.replace(record, event="nothing")
        body = encode(msgspec.structs.replace(record, previous=previous or record.previous))
        previous = hash_of(ALICE.device, body)
        forged[index] = replace(found[index], body=body, hash=previous)
    verdict = verify(ALICE.identity_key, forged, head)
    assert (verdict.flaws[0].sequence, verdict.flaws[0].rule) == (10, "AU-2.4 signature")


@breaks("AU-1.3", "AU-2.2", "AU-2.6")
def test_a_chain_that_went_on_from_an_earlier_state_is_found_by_whoever_saw_the_later_one(
    told: Path, tmp_path: Path
) -> None:
    _, seen = entries(told)
    with create(tmp_path) as ledger:  # the same device, another past
        ledger.boot()
        own, head = ledger.audit_entries(limit=100), ledger.audit_head()
    bob = Witness(who="bob", head=seen)
    verdict = verify(ALICE.identity_key, own, head, [bob])
    assert [(flaw.sequence, flaw.rule) for flaw in verdict.flaws] == [(3, "AU-2.6 witnesses")]
    mixed = verify(ALICE.identity_key, [*own, *entries(told)[0][2:]], seen)
    assert [(flaw.sequence, flaw.rule) for flaw in mixed.flaws] == [(3, "AU-2.2 follows")]
    forked = Witness(who="bob", head=head_of(ALICE, 2, b"\x01" * 32))
    verdict = verify(ALICE.identity_key, own, head, [forked])
    assert [(flaw.sequence, flaw.rule) for flaw in verdict.flaws] == [(2, "AU-2.6 witnesses")]


def test_a_forged_witness_says_nothing(told: Path) -> None:
    found, head = entries(told)
    forged = head_of(device("bob").identity, 9999, b"\x01" * 32)
    assert verify(ALICE.identity_key, found, head, [Witness(who="bob", head=forged)]).sound


@breaks("AU-1.4")
def test_a_chain_begins_with_its_first_record_and_once(told: Path, tmp_path: Path) -> None:
    found, head = entries(told)
    verdict = verify(ALICE.identity_key, found[1:], head)
    assert named(verdict) == {1}
    folder = copy(told, tmp_path)
    with raw(folder) as connection:
        connection.execute("DELETE FROM audit")
    with reopen(folder) as ledger:  # and does not begin anew
        assert named(ledger.verify_audit()) == {1}
        with pytest.raises(Corrupt, match=r"AU-1\.3"):
            ledger.boot()


@breaks("AU-1.4")
def test_a_store_that_lost_all_of_its_chain_neither_begins_another_nor_does_anything(
    told: Path, tmp_path: Path
) -> None:
    with raw(copy(told, tmp_path)) as connection:
        connection.execute("DELETE FROM audit")
        connection.execute("DELETE FROM audit_head")
    with reopen(tmp_path) as ledger:
        assert not ledger.verify_audit().sound
        with pytest.raises(Corrupt, match=r"AU-1\.4"):
            ledger.boot()
        with pytest.raises(Corrupt, match=r"AU-1\.4"):
            ledger.add_client("mallory", [Grant("admin")])


def test_a_chain_that_the_lock_says_nothing_of_goes_on(tmp_path: Path) -> None:
    create(tmp_path).close()
    with contextlib.closing(Database(tmp_path / "store.db")) as database:
        lock = database.read(read_lock)
        assert lock is not None
        sealer = lock.open(tmp_path, key_file(tmp_path))
    with raw(tmp_path) as connection:
        unsaid = sealed_check(ALICE.device, sealer, ())
        connection.execute("UPDATE node SET key_check = ?", (unsaid,))
    for _ in range(2):
        with reopen(tmp_path) as ledger:
            ledger.boot()
            assert ledger.verify_audit().sound
    assert [record.event for record in records(tmp_path)] == [BEGUN, "started", "started"]


@breaks("AU-1.3")
@pytest.mark.parametrize(
    "meddle",
    [
        "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET sequence = sequence - 1",
        "UPDATE audit SET hash = zeroblob(32) WHERE sequence = (SELECT max(sequence) FROM audit)",
    ],
)
def test_nothing_is_added_to_a_chain_that_does_not_end_as_it_was_signed(
    told: Path, tmp_path: Path, meddle: str
) -> None:
    with raw(copy(told, tmp_path)) as connection:
        connection.execute(meddle)
    with reopen(tmp_path) as ledger:
        with pytest.raises(Corrupt, match=r"AU-1\.3"):
            ledger.boot()  # so the node does not start
        assert not ledger.verify_audit().sound


@breaks("AU-1.4")
def test_a_first_record_that_says_something_else_is_no_beginning(tmp_path: Path) -> None:
    record = Record(sequence=1, at_ms=NOW, event="started", operation="", facts=(), previous=bytes(32))
    hashed = hash_of(ALICE.device, body := encode(record))
    entry = Entry(place=1, body=body, hash=hashed, signature=ALICE.sign(hashed))
    verdict = verify(ALICE.identity_key, [entry], head_of(ALICE, 1, hashed))
    assert [(flaw.sequence, flaw.rule) for flaw in verdict.flaws] == [(1, "AU-1.4 begins")]


def test_the_chain_of_an_earlier_store_begins_when_it_is_opened(tmp_path: Path) -> None:
    restore(tmp_path, 3)
    with reopen(tmp_path) as ledger:
        assert ledger.verify_audit().sound
    [record] = records(tmp_path)
    assert record.event == BEGUN
    assert dict(record.facts)["why"] == "a store of a release without an audit chain"
    assert "operations_before" in dict(record.facts)


def test_a_chain_of_another_device_is_none_of_ours(told: Path) -> None:
    found, head = entries(told)
    assert not verify(device("bob").identity.identity_key, found, head).sound
    with pytest.raises(UsageError, match="the chain of device"):
        audit_export.verify_lines(device("bob").identity.identity_key, lines_of(told))


# --- tampering with an export


def judge(lines: Sequence[str]) -> set[int]:
    return named(audit_export.verify_lines(ALICE.identity_key, lines))


def meddled(value: object, data: st.DataObject) -> object:
    if isinstance(value, int):
        return value + data.draw(st.sampled_from([-1, 1, 1000]))
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    assert isinstance(value, dict)
    if not value:
        return {"more": "said"}
    name = data.draw(st.sampled_from(sorted(value)))
    match data.draw(st.sampled_from(["value", "name", "gone"])):
        case "value":
            return {**value, name: value[name] + "!"}
        case "name":
            return {(f"{key}!" if key == name else key): said for key, said in value.items()}
        case _:
            return {key: said for key, said in value.items() if key != name}


@breaks("AU-2.1", "AU-2.2", "AU-2.3", "AU-2.4", "AU-2.5")
@settings(max_examples=150)
@given(data=st.data())
def test_any_single_thing_done_to_an_export_is_found_and_named(told: Path, data: st.DataObject) -> None:
    lines = lines_of(told)
    number = data.draw(st.integers(1, len(lines) - 2))
    match data.draw(st.sampled_from(["edit", "remove", "exchange", "repeat", "cut"])):
        case "edit":
            line = msgspec.json.decode(lines[number])
            field = data.draw(st.sampled_from(sorted(line)))
            line[field] = meddled(line[field], data)
            lines[number] = msgspec.json.encode(line).decode()
            expected = {number}
        case "remove":
            del lines[number]
            expected = {number}
        case "exchange":
            other = data.draw(st.integers(1, len(lines) - 2).filter(lambda each: each != number))
            lines[number], lines[other] = lines[other], lines[number]
            expected = {min(number, other)}  # and others, as it stands
        case "repeat":
            lines.insert(data.draw(st.integers(number, len(lines) - 1)), lines[number])
            expected = {number}
        case _:
            lines[number:-1] = []
            expected = {number}
    found = judge(lines)
    assert expected <= found
    assert found == expected or len(found) > 1
    assert found


@breaks("AU-2.1")
@pytest.mark.parametrize(
    "meddle",
    [
        lambda line: line.replace('{"', '{ "', 1),
        lambda line: line.replace('"event":', '"event":"nothing","event":', 1),
        lambda line: line.replace("}", ',"more":1}'),
        lambda line: line + " ",
        lambda line: "",
        lambda line: "[]",
    ],
)
def test_a_line_is_written_one_way(told: Path, meddle: object) -> None:
    lines = lines_of(told)
    lines[4] = meddle(lines[4])  # type: ignore[operator]
    assert judge(lines) == {4}


@breaks("AU-2.5")
@pytest.mark.parametrize("number", ["-1", "0", str(2**53 + 1), str(10**30), "1.5", '"1"', "null"])
def test_a_number_that_no_record_has_is_none_of_a_head(told: Path, number: str) -> None:
    lines = lines_of(told)
    lines[-1] = f'{{"head":{number},"hash":"{"00" * 32}","signature":"{"00" * 64}"}}'
    assert len(lines) - 1 in judge(lines)
    vote = f'"voter":"{ALICE.device}","head":"{number}:{"00" * 32}:{"00" * 64}"'
    said = '"previous":"","hash":"","signature":""'
    line = f'{{"sequence":1,"at_ms":1,"event":"vote","operation":"","facts":{{{vote}}},{said}}}'
    assert not [
        each for each in audit_export.witnesses_in([lines[0], line], ALICE.device)
        if each.head.signed_by(ALICE.identity_key)
    ]  # fmt: skip


def test_a_heading_is_written_one_way(told: Path) -> None:
    lines = lines_of(told)
    another = lines[0].replace('"device":', '"device":"somebody else","device":')
    with pytest.raises(UsageError, match="no audit export"):
        judge([another, *lines[1:]])


def test_a_chain_out_of_which_every_other_record_was_put_behind_the_rest_is_gone_through_once(
    told: Path,
) -> None:
    lines = lines_of(told)
    assert judge([lines[0], *lines[1:-1:2], *lines[2:-1:2], lines[-1]])


@breaks("AU-2.5")
def test_an_export_without_its_head_or_with_more_behind_it_is_not_whole(told: Path) -> None:
    lines = lines_of(told)
    assert judge(lines[:-1]) == {len(lines) - 2}
    with pytest.raises(UsageError, match=r"AU-2\.5"):
        judge([*lines, lines[3]])
    for other in ([], ["{}"], lines[1:]):
        with pytest.raises(UsageError, match="no audit export"):
            judge(other)


def test_a_damaged_record_can_be_exported_and_is_named(told: Path, tmp_path: Path) -> None:
    folder = copy(told, tmp_path)
    with raw(folder) as connection:
        connection.execute("UPDATE audit SET body = 'text' WHERE sequence = 6")
    assert judge(lines_of(folder)) == {6}
