"""A store gets another lock: what opens it before, after and in between, and what is left of the old one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from quorate.ceremony.audit import Record
from quorate.errors import Corrupt, Locked, StoreError
from quorate.identifiers import Curve, Epoch
from quorate.storage import Argon2, AwsKms, KeyFile, KeySource, PassphraseFile, SqliteLedger, rewrap
from quorate.storage.database import Database
from quorate.wire.codec import decode
from tests.rules import breaks
from tests.storage.devices import create, device, key_file
from tests.storage.frozen import NAMES, STORES, described, keys, thaw
from tests.storage.rawsql import raw_sql
from tests.storage.story import ED, VAULT, live

NEWEST = max(int(each.name.removeprefix("schema-")) for each in STORES.iterdir() if each.is_dir())
WRAPPED = slice(1, 61)  # nonce and wrapped data key, at the beginning of a sealed value
SEALED = {
    "node": ("key_check", "identity", "tls_key"),
    "retiring_certificates": ("tls_key",),
    "client_authority": ("key",),
    "policy_in_force": ("sealed",),
    "shares": ("sealed",),
    "setups": ("sealed",),
}
FILLING = "PRAGMA max_page_count = 1; CREATE TABLE filling AS SELECT zeroblob(1 << 20)"
HEADER, FRAME = 32, 24  # of a write-ahead log


def to_key_file(folder: Path) -> KeySource:
    (folder / "next").write_bytes(bytes(range(32)))
    (folder / "next").chmod(0o600)
    return KeyFile(folder / "next")


def to_passphrase(folder: Path) -> KeySource:
    (folder / "next").write_text("another horse, another battery")
    (folder / "next").chmod(0o600)
    return PassphraseFile(folder / "next", Argon2(memory_kib=64, passes=1))


def to_kms(_: Path) -> KeySource:
    made = boto3.client("kms", region_name="eu-west-1").create_key()
    return AwsKms(key=made["KeyMetadata"]["KeyId"], region="eu-west-1")


def wrapped_keys(store: Path) -> list[bytes]:
    found = []
    for table, columns in SEALED.items():
        for column in columns:
            found += [
                bytes(row[0])[WRAPPED] for row in raw_sql(store, f"SELECT {column} FROM {table}") if row[0]
            ]
    return found


def files(store: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(store.parent.glob("store.db*")))


@breaks("ST-2.6")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [to_key_file, to_passphrase, to_kms])
def test_a_whole_store_opens_by_the_new_source_alone_and_keeps_nothing_of_the_old(
    tmp_path: Path, name: str, make: Callable[[Path], KeySource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    frozen = thaw(NEWEST, tmp_path)
    store, old = tmp_path / name / "store.db", keys(tmp_path)[name]
    before, parameters = wrapped_keys(store), raw_sql(store, "SELECT key_parameters FROM node")[0][0]
    held = files(store)
    assert all(each in held for each in before)
    with mock_aws():
        new = make(tmp_path)
        assert rewrap(store, old, new) == len(before) - 1, "all but the check value"
        assert store.stat().st_mode & 0o777 == 0o600
        left = files(store)
        assert not [each for each in before if each in left]
        assert parameters.encode() not in left
        after = wrapped_keys(store)
        assert len(after) == len(before)
        assert all(each in files(store) for each in after)
        with pytest.raises(Locked):
            SqliteLedger.open(store, old)
        with SqliteLedger.open(store, new, now_ms=lambda: frozen.at_ms) as ledger:
            assert json.loads(json.dumps(described(ledger))) == frozen.described[name]


def opens(store: Path, *sources: KeySource) -> list[bool]:
    """Which of them open a copy of it, shares and all."""
    opened = []
    for number, source in enumerate(sources):
        folder = Path(shutil.copytree(store.parent, store.parent.parent / f"{store.parent.name}-{number}"))
        try:
            with SqliteLedger.open(folder / "store.db", source) as ledger:
                assert ledger.identity.secret() == device("alice").identity.secret()
                assert ledger.share(VAULT, Epoch(0), 1, Curve.ED25519).secret == ED
                assert len(ledger.setups(VAULT, Epoch(0), 1)) > 0
            opened.append(True)
        except Locked:
            opened.append(False)
        shutil.rmtree(folder)
    return opened


@breaks("ST-2.6", "ST-1.2")
def test_wherever_a_rewrap_is_cut_off_one_of_the_two_sources_opens_the_store(tmp_path: Path) -> None:
    """After each part of the log that may be on the disk, and then of the file that the log is folded into."""
    store = tmp_path / "home" / "store.db"
    store.parent.mkdir(mode=0o700)
    with create(store.parent) as ledger:
        for epoch in range(3):
            live(ledger, epoch)
    old, new = key_file(store.parent), to_key_file(tmp_path)
    main, log = store.read_bytes(), b""
    [(page,)] = raw_sql(store, "PRAGMA page_size")

    def keep(point: str) -> None:
        nonlocal log
        if point == "after:rewrap":
            assert store.read_bytes() == main, "the log is not folded in yet"
            log = store.with_name("store.db-wal").read_bytes()

    rewrap(store, old, new, on_commit=keep)
    frames = (len(log) - HEADER) // (FRAME + page)
    assert frames > 3
    cut = tmp_path / "cut" / "store.db"

    def put(contents: bytes, written: bytes) -> None:
        shutil.rmtree(cut.parent, ignore_errors=True)
        cut.parent.mkdir(mode=0o700)
        cut.write_bytes(contents)
        cut.with_name("store.db-wal").write_bytes(written)

    for frame in range(frames):
        for part in (0, FRAME // 2, FRAME + page // 2):
            put(main, log[: HEADER + frame * (FRAME + page) + part])
            assert opens(cut, old, new) == [True, False], (frame, part)
    put(main, log)
    assert opens(cut, old, new) == [False, True]
    folded = folded_into(main, log, page)
    for pages in range(len(folded) // page + 1):
        put(folded[: pages * page] + main[pages * page :], log)
        assert opens(cut, old, new) == [False, True], pages


def folded_into(main: bytes, log: bytes, page: int) -> bytes:
    """The file with every page of the log in its place."""
    pages = {at: main[at * page : (at + 1) * page] for at in range(len(main) // page)}
    for start in range(HEADER, len(log), FRAME + page):
        number = int.from_bytes(log[start : start + 4], "big")
        pages[number - 1] = log[start + FRAME : start + FRAME + page]
    return b"".join(pages[at] for at in sorted(pages))


@breaks("ST-2.6")
def test_what_could_not_be_wiped_after_a_rewrap_is_said_with_which_key_opens_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who believed that nothing was changed would throw away the key that opens the store."""
    (home := tmp_path / "home").mkdir(mode=0o700)
    create(home).close()
    store, old, new = home / "store.db", key_file(home), to_key_file(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(Database, "purge", lambda each: each._run_alone(FILLING))
        with pytest.raises(StoreError, match="opens with the new key from now on") as failed:
            rewrap(store, old, new)
    assert "nothing was changed" not in str(failed.value)
    with SqliteLedger.open(store, new) as ledger:
        assert ledger.verify_audit().sound
        [last] = ledger.audit_entries(after=ledger.audit_head().sequence - 1)
        assert decode(Record, last.body).event == "rewrapped"
    rewrap(store, new, old)
    SqliteLedger.open(store, old).close()


@breaks("ST-2.6")
@pytest.mark.parametrize("wrong", ["old key", "new key", "damaged share", "in use"])
def test_a_rewrap_that_fails_changes_nothing(tmp_path: Path, wrong: str) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    store = home / "store.db"
    with create(home) as ledger:
        live(ledger)
    old, new = key_file(home), to_key_file(tmp_path)
    if wrong == "damaged share":
        raw_sql(store, "UPDATE shares SET sealed = zeroblob(length(sealed)) WHERE curve = 'ed25519'")
    before = wrapped_keys(store)
    if wrong == "in use":
        with SqliteLedger.open(store, old), pytest.raises(StoreError, match="already open"):
            rewrap(store, old, new)
    elif wrong == "damaged share":
        with pytest.raises(Corrupt, match=f"shares: vault {VAULT}, epoch 0, attempt 1, curve ed25519"):
            rewrap(store, old, new)
    else:
        absent = KeyFile(tmp_path / "absent")
        with pytest.raises(Locked):
            rewrap(store, *((new, old) if wrong == "old key" else (old, absent)))
    assert wrapped_keys(store) == before
    SqliteLedger.open(store, old).close()
