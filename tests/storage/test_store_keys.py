from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from quorate.errors import Corrupt, Locked, StoreError, UsageError
from quorate.identifiers import Curve, DeviceId, Epoch
from quorate.native.memory import SecretBytes
from quorate.storage import Argon2, Grant, KeyFile, KeySource, PassphraseFile, SqliteLedger, database
from tests.rules import breaks
from tests.storage.devices import create, device, key_file, make_certificate, reopen
from tests.storage.rawsql import raw_sql
from tests.storage.story import ED, SECP, VAULT, keep, live, setup

CHEAP = Argon2(memory_kib=64, passes=1)


def passphrase(path: Path, text: str = "correct horse battery staple\n", mode: int = 0o600) -> PassphraseFile:
    path.write_text(text)
    path.chmod(mode)
    return PassphraseFile(path, CHEAP)


def create_under(path: Path, key: KeySource) -> SqliteLedger:
    alice = device("alice")
    return SqliteLedger.create(
        path, key, identity=alice.identity, address="alice:7100", hardware_id="hw",
        certificate_pem=alice.certificate, tls_key=SecretBytes.of(alice.tls_key),
    )  # fmt: skip


def test_a_store_opens_with_the_passphrase_it_was_made_with(tmp_path: Path) -> None:
    store, alice = tmp_path / "store.db", device("alice")
    create_under(store, passphrase(tmp_path / "a")).close()
    # the line end of the file is not part of the passphrase, and a new default cost does not lock an old store
    key = passphrase(tmp_path / "b", "correct horse battery staple\r\n")
    with SqliteLedger.open(store, PassphraseFile(key.path)) as ledger:
        assert ledger.identity.secret() == alice.identity.secret()
        assert ledger.identity.name == "alice"
        certificate, tls_key = ledger.tls()
        assert (certificate, tls_key.reveal()) == (alice.certificate, alice.tls_key)


@breaks("ST-2.1")
@pytest.mark.parametrize(
    "wrong", ["another passphrase", "a passphrase with a space ", "a key file", "no file"]
)
def test_a_wrong_key_is_told_and_nothing_is_touched(tmp_path: Path, wrong: str) -> None:
    store = tmp_path / "home" / "store.db"
    create_under(store, passphrase(tmp_path / "right")).close()
    before = store.read_bytes(), store.stat().st_mtime_ns
    sources: dict[str, KeySource] = {
        "another passphrase": passphrase(tmp_path / "wrong", "incorrect horse battery"),
        "a passphrase with a space ": passphrase(tmp_path / "space", "correct horse battery staple \n"),
        "a key file": key_file(tmp_path),
        "no file": PassphraseFile(tmp_path / "absent"),
    }
    with pytest.raises(Locked):
        SqliteLedger.open(store, sources[wrong])
    assert (store.read_bytes(), store.stat().st_mtime_ns) == before
    SqliteLedger.open(store, passphrase(tmp_path / "right")).close()


@breaks("ST-2.1")
def test_another_key_file_does_not_open_the_store(tmp_path: Path) -> None:
    create(tmp_path).close()
    other = tmp_path / "other"
    other.write_bytes(os.urandom(32))
    with pytest.raises(Locked, match="does not open with this key-file"):
        SqliteLedger.open(tmp_path / "store.db", KeyFile(other))


@breaks("ST-2.2")
@pytest.mark.parametrize("text", ["", "\n", "short", "           \n", " " * 40])
def test_an_empty_or_short_passphrase_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Locked, match=r"is empty|under 12 characters"):
        create_under(tmp_path / "home" / "store.db", passphrase(tmp_path / "pass", text))
    assert not (tmp_path / "home").exists()


@breaks("ST-2.2")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_secret_file_others_can_change_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(Locked, match="chmod 600"):
        create_under(tmp_path / "store.db", passphrase(tmp_path / "pass", mode=mode))


def test_a_secret_mounted_for_all_to_read_is_accepted(tmp_path: Path) -> None:
    create_under(tmp_path / "store.db", passphrase(tmp_path / "pass", mode=0o444)).close()


def test_a_key_file_is_read_raw_in_hex_and_in_base64(tmp_path: Path) -> None:
    create(tmp_path).close()
    raw = (tmp_path / "key").read_bytes()
    for number, text in enumerate(
        [raw.hex(), raw.hex().upper() + "\n", base64.b64encode(raw).decode() + "\n"]
    ):
        path = tmp_path / f"key-{number}"
        path.write_text(text)
        SqliteLedger.open(tmp_path / "store.db", KeyFile(path)).close()


@breaks("ST-2.2")
@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33, b"z" * 64, bytes(32), b"A" * 44, b"k" * 5000])
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(Locked, match="key file"):
        create_under(tmp_path / "store.db", KeyFile(tmp_path / "key"))


def test_two_stores_of_one_key_file_have_keys_of_their_own(tmp_path: Path) -> None:
    key = key_file(tmp_path)
    device = DeviceId("a" * 24)
    assert key.unlock(device, key.enrol(device)) != key.unlock(device, key.enrol(device))


def test_a_directory_is_no_secret_file(tmp_path: Path) -> None:
    with pytest.raises(Locked, match="directory"):
        create_under(tmp_path / "store.db", PassphraseFile(tmp_path))


@breaks("ST-2.1")
@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ("nonsense", Corrupt),
        (
            '{"cost":{"memory_kib":99999999999,"passes":1,"lanes":1},"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}',
            Corrupt,
        ),
        ('{"cost":{"memory_kib":64,"passes":1,"lanes":1},"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}', Locked),
    ],
)
def test_changed_parameters_lock_the_store_and_cost_no_more_than_they_may(
    tmp_path: Path, parameters: str, error: type[StoreError]
) -> None:
    store = tmp_path / "store.db"
    create_under(store, passphrase(tmp_path / "pass")).close()
    raw_sql(store, "UPDATE node SET key_parameters = ?", parameters)
    with pytest.raises(error):
        SqliteLedger.open(store, passphrase(tmp_path / "pass"))


@pytest.mark.parametrize("key", ["none", "half"])
def test_a_missing_or_unfinished_store_asks_for_init(tmp_path: Path, key: str) -> None:
    if key == "half":
        (tmp_path / "store.db").touch()
    with pytest.raises(StoreError, match="quorate init"):
        reopen(tmp_path)


def test_a_store_is_made_once(tmp_path: Path) -> None:
    create(tmp_path).close()
    before = (tmp_path / "store.db").read_bytes()
    with pytest.raises(UsageError, match=f"already holds device {device('alice').identity.device}"):
        create(tmp_path, "bob")
    assert (tmp_path / "store.db").read_bytes() == before


def test_a_tls_key_that_is_not_the_certificates_is_refused(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        certificate, _ = make_certificate()
        with pytest.raises(UsageError, match="not the certificate's"):
            ledger.renew_card(certificate_pem=certificate, tls_key=SecretBytes.of(device("alice").tls_key))
        with pytest.raises(UsageError, match="does not read"):
            ledger.renew_card(certificate_pem=certificate, tls_key=SecretBytes.of(b"nonsense"))
        with pytest.raises(UsageError, match="comes with its key"):
            ledger.renew_card(certificate_pem=certificate)
        assert ledger.me.rev == 1


def test_a_renewed_certificate_and_its_key_take_effect_together(tmp_path: Path) -> None:
    certificate, key = make_certificate()
    with create(tmp_path) as ledger:
        renewed = ledger.renew_card(certificate_pem=certificate, tls_key=SecretBytes.of(key))
        assert (renewed.rev, ledger.me) == (2, renewed)
    with reopen(tmp_path) as ledger:
        assert ledger.tls()[0] == certificate
        assert ledger.tls()[1] == key
        assert ledger.me == renewed


@breaks("ST-1.6", "ST-2.1")
def test_an_older_store_is_brought_up_to_date_once_its_key_has_been_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(tmp_path).close()
    steps = database._migrations()
    monkeypatch.setattr(database, "_migrations", lambda: [*steps, "CREATE TABLE newer (n)"])
    other = tmp_path / "other"
    other.write_bytes(os.urandom(32))
    with pytest.raises(Locked):
        SqliteLedger.open(tmp_path / "store.db", KeyFile(other))
    assert raw_sql(tmp_path / "store.db", "PRAGMA user_version") == [(len(steps),)]
    with reopen(tmp_path) as ledger:
        assert ledger._database.version() == len(steps) + 1
        assert ledger.identity.name == "alice"
    assert raw_sql(tmp_path / "store.db", "SELECT count(*) FROM newer") == [(0,)]


@breaks("ST-5.6")
def test_each_boot_counts_one_more_and_is_told_apart(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        boots = [ledger.boot(), ledger.boot()]
    with reopen(tmp_path) as ledger:
        boots.append(ledger.boot())
    assert [boot.counter for boot in boots] == [1, 2, 3]
    assert len({boot.id for boot in boots}) == 3
    assert {len(boot.id) for boot in boots} == {32}


@breaks("ST-1.7")
def test_a_store_without_room_or_leave_to_write_fails_its_check(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        ledger.check()
        with pytest.raises(StoreError, match="MiB left on the disk"):
            ledger.check(room=1 << 62)
        ledger._database._run_alone("PRAGMA query_only = ON")
        with pytest.raises(StoreError, match="read-only"):
            ledger.check()


@breaks("ST-2.4")
def test_the_files_hold_no_secret_in_the_clear(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
        live(ledger, 1)
        secret = ledger.add_client("treasury", [Grant("signer")])
        assert ledger.authenticate("treasury", secret)
        raw = b"".join(file.read_bytes() for file in sorted(tmp_path.glob("store.db*")))
        assert (tmp_path / "store.db-wal").stat().st_size > 0
        secrets = [
            SECP[:32], SECP[32:], ED[:32], ED[32:], ledger.identity.secret().reveal()[:32],
            ledger.identity.secret().reveal()[32:], device("alice").tls_key[60:120], secret.encode(),
            setup().secret.reveal()[:64], (tmp_path / "key").read_bytes(), ledger._sealer._node_key.reveal(),
        ]  # fmt: skip
    raw += (tmp_path / "store.db").read_bytes()
    assert b"alice.example:7100" in raw
    assert VAULT.encode() in raw
    for each in secrets:
        for form in forms(each):
            assert form not in raw


def forms(secret: bytes) -> list[bytes]:
    """Raw, in hex, and inside base64 at each of its three alignments."""
    aligned = [base64.b64encode(secret[start : start + (len(secret) - start) // 3 * 3]) for start in range(3)]
    return [secret, secret[::-1], secret.hex().encode(), secret.hex().upper().encode(), *aligned]


@breaks("ST-4.4")
def test_a_dropped_share_is_gone_from_the_files(tmp_path: Path) -> None:
    with create(tmp_path) as ledger:
        keep(ledger)
        (sealed,) = ledger._database.read(
            lambda connection: connection.execute(
                "SELECT sealed FROM shares WHERE curve = 'ed25519'"
            ).fetchone()
        )
        ledger._database.scrub()
        assert sealed[-40:] in (tmp_path / "store.db").read_bytes()
        assert ledger.drop_pending(VAULT, Epoch(0), 1)
        for file in tmp_path.glob("store.db*"):
            assert sealed not in file.read_bytes()
            assert sealed[-40:] not in file.read_bytes()


FLIPS = ["first byte", "outer nonce", "wrapped key", "inner nonce", "value", "last byte"]


def flipped(sealed: bytes, where: str) -> bytes:
    at = dict(zip(FLIPS, [0, 5, 30, 65, 75, len(sealed) - 1], strict=True))[where]
    return sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]


@breaks("ST-2.3")
@pytest.mark.parametrize("where", FLIPS)
@pytest.mark.parametrize("column", ["identity", "tls_key"])
def test_a_changed_node_secret_is_named(tmp_path: Path, column: str, where: str) -> None:
    create(tmp_path).close()
    store = tmp_path / "store.db"
    [(sealed,)] = raw_sql(store, f"SELECT {column} FROM node")
    raw_sql(store, f"UPDATE node SET {column} = ?", flipped(sealed, where))
    with (
        pytest.raises(Corrupt, match=f"node: {column.replace('_', '-')} does not open"),
        reopen(tmp_path) as ledger,
    ):
        ledger.tls()


@breaks("ST-2.3")
def test_one_node_secret_does_not_open_in_the_place_of_another(tmp_path: Path) -> None:
    create(tmp_path).close()
    raw_sql(tmp_path / "store.db", "UPDATE node SET identity = tls_key")
    with pytest.raises(Corrupt, match="node: identity does not open"):
        reopen(tmp_path)


@breaks("ST-2.3")
@pytest.mark.parametrize("where", FLIPS)
@pytest.mark.parametrize("curve", Curve)
def test_a_changed_share_is_named(tmp_path: Path, curve: Curve, where: str) -> None:
    with create(tmp_path) as ledger:
        live(ledger)
    [(sealed,)] = raw_sql(tmp_path / "store.db", "SELECT sealed FROM shares WHERE curve = ?", curve)
    raw_sql(
        tmp_path / "store.db", "UPDATE shares SET sealed = ? WHERE curve = ?", flipped(sealed, where), curve
    )
    with reopen(tmp_path) as ledger:
        with pytest.raises(
            Corrupt, match=f"shares: vault {VAULT}, epoch 0, attempt 1, curve {curve} does not open"
        ):
            ledger.share(VAULT, Epoch(0), 1, curve)
        other = next(each for each in Curve if each is not curve)
        assert ledger.share(VAULT, Epoch(0), 1, other).secret == (SECP if other is Curve.SECP256K1 else ED)


SWAP = "UPDATE shares SET sealed = (SELECT sealed FROM shares AS other WHERE {}) WHERE {}"
HERE = "epoch = 0 AND attempt = 1 AND curve = 'ed25519' AND vault = '" + VAULT + "'"


@breaks("ST-2.3")
@pytest.mark.parametrize(
    "tampering",
    [
        SWAP.format(HERE.replace("ed25519", "secp256k1"), HERE),
        SWAP.format(HERE.replace("epoch = 0", "epoch = 1"), HERE),
        SWAP.format(HERE.replace("attempt = 1", "attempt = 2"), HERE),
        SWAP.format(HERE.replace(VAULT, "w" * 24), HERE),
        f"UPDATE shares SET indices = '[1, 3]' WHERE {HERE}",
        f"UPDATE shares SET indices = '[2, 1]' WHERE {HERE}",
        f"UPDATE shares SET indices = 'nonsense' WHERE {HERE}",
        f"UPDATE shares SET indices = '3' WHERE {HERE}",
        "UPDATE epochs SET record_hash = zeroblob(32)",
        f"UPDATE shares SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE {HERE}",
        f"UPDATE shares SET sealed = substr(sealed, 1, 80) WHERE {HERE}",
        f"UPDATE shares SET sealed = x'' WHERE {HERE}",
        f"UPDATE shares SET sealed = sealed || x'00' WHERE {HERE}",
        f"UPDATE shares SET sealed = CAST(sealed || x'00' AS BLOB) WHERE {HERE}",
        f"UPDATE shares SET sealed = 7 WHERE {HERE}",
        f"UPDATE shares SET sealed = 'text' WHERE {HERE}",
    ],
)
def test_a_share_opens_nowhere_but_in_its_own_place(tmp_path: Path, tampering: str) -> None:
    with create(tmp_path) as ledger:
        keep(ledger, 0, 1)
        keep(ledger, 0, 2)
        keep(ledger, 1, 1)
        keep(ledger, vault=type(VAULT)("w" * 24))
    raw_sql(tmp_path / "store.db", tampering)
    named = f"shares: vault {VAULT}, epoch 0, attempt 1, curve ed25519"
    with reopen(tmp_path) as ledger, pytest.raises(Corrupt, match=named):
        ledger.share(VAULT, Epoch(0), 1, Curve.ED25519)


@breaks("ST-2.3")
def test_a_share_of_another_node_does_not_open_even_under_the_same_key(tmp_path: Path) -> None:
    rows = {}
    for name in ("alice", "bob"):
        home = tmp_path / name
        home.mkdir(mode=0o700)
        with create(home, name) as ledger:
            live(ledger)
            ledger._sealer = type(ledger._sealer)(SecretBytes.of(b"\x07" * 32))
            live(ledger, 1)
        rows[name] = raw_sql(
            home / "store.db", "SELECT sealed FROM shares WHERE epoch = 1 AND curve = 'ed25519'"
        )[0][0]
    raw_sql(
        tmp_path / "alice" / "store.db",
        "UPDATE shares SET sealed = ? WHERE epoch = 1 AND curve = 'ed25519'",
        rows["bob"],
    )
    with reopen(tmp_path / "alice") as ledger:
        ledger._sealer = type(ledger._sealer)(SecretBytes.of(b"\x07" * 32))
        assert ledger.share(VAULT, Epoch(1), 1, Curve.SECP256K1).secret == SECP
        with pytest.raises(Corrupt, match="epoch 1, attempt 1, curve ed25519"):
            ledger.share(VAULT, Epoch(1), 1, Curve.ED25519)
