"""A node key that AWS KMS keeps: what opens it, and what each refusal is called."""

from __future__ import annotations

import builtins
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from quorate.errors import Corrupt, Locked, UsageError
from quorate.native.memory import SecretBytes
from quorate.storage import AwsKms, SqliteLedger
from tests.rules import breaks
from tests.storage.devices import device, key_file
from tests.storage.rawsql import raw_sql

REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "absent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "absent")


@pytest.fixture
def kms() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client("kms", region_name=REGION)


@pytest.fixture
def key(kms: Any) -> AwsKms:
    return AwsKms(key=kms.create_key()["KeyMetadata"]["KeyId"], region=REGION)


def create_under(path: Path, key: AwsKms, name: str = "alice") -> SqliteLedger:
    made = device(name)
    return SqliteLedger.create(
        path, key, identity=made.identity, address="alice:7100", hardware_id="hw",
        certificate_pem=made.certificate, tls_key=SecretBytes.of(made.tls_key),
    )  # fmt: skip


def parameters(store: Path) -> dict[str, str]:
    [(text,)] = raw_sql(store, "SELECT key_parameters FROM node")
    found: dict[str, str] = json.loads(text)
    return found


def test_a_store_opens_with_the_key_in_kms_it_was_made_with(tmp_path: Path, kms: Any, key: AwsKms) -> None:
    store = tmp_path / "store.db"
    create_under(store, key).close()
    with SqliteLedger.open(store, key) as ledger:
        assert ledger.identity.secret() == device("alice").identity.secret()
        node_key = ledger._sealer._node_key.reveal()
    assert raw_sql(store, "SELECT key_scheme FROM node") == [("aws-kms",)]
    assert parameters(store)["key"].startswith(f"arn:aws:kms:{REGION}:")
    for file in tmp_path.glob("store.db*"):
        assert node_key not in file.read_bytes()
    kms.create_alias(AliasName="alias/node", TargetKeyId=key.key)
    SqliteLedger.open(store, replace(key, key="alias/node")).close()


def test_no_two_stores_under_one_key_in_kms_have_one_node_key(tmp_path: Path, key: AwsKms) -> None:
    keys = set()
    for number in range(2):
        with create_under(tmp_path / str(number) / "store.db", key) as ledger:
            keys.add(ledger._sealer._node_key.reveal())
    assert len(keys) == 2


@breaks("ST-2.5")
@pytest.mark.parametrize("change", ["device", "store", "ciphertext"])
def test_what_kms_encrypted_opens_for_its_own_device_and_store_alone(
    tmp_path: Path, key: AwsKms, change: str
) -> None:
    """Somebody carries the parameters of one store to another, or changes them."""
    for name in ("alice", "bob"):
        create_under(tmp_path / name / "store.db", key, name).close()
    alice, bob = (parameters(tmp_path / name / "store.db") for name in ("alice", "bob"))
    moved = alice if change == "device" else bob | {change: alice[change]}
    raw_sql(tmp_path / "bob" / "store.db", "UPDATE node SET key_parameters = ?", json.dumps(moved))
    with pytest.raises(Locked, match=r"ST-2\.5 kms: .*InvalidCiphertextException"):
        SqliteLedger.open(tmp_path / "bob" / "store.db", key)


def test_the_parameters_of_a_store_that_do_not_read_are_named(tmp_path: Path, key: AwsKms) -> None:
    create_under(tmp_path / "store.db", key).close()
    raw_sql(tmp_path / "store.db", "UPDATE node SET key_parameters = '{}'")
    with pytest.raises(Corrupt, match="KMS parameters do not read"):
        SqliteLedger.open(tmp_path / "store.db", key)


@breaks("ST-2.5")
def test_another_key_in_kms_or_none_does_not_open_the_store(tmp_path: Path, kms: Any, key: AwsKms) -> None:
    store = tmp_path / "store.db"
    create_under(store, key).close()
    before = store.read_bytes()
    another = kms.create_key()["KeyMetadata"]["KeyId"]
    for other, told in ((another, "is not opened by"), ("alias/absent", "no such key")):
        with pytest.raises(Locked, match=told):
            SqliteLedger.open(store, replace(key, key=other))
    assert store.read_bytes() == before


@breaks("ST-2.5")
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("AccessDeniedException", "the node's role needs kms:Encrypt and kms:Decrypt"),
        ("DisabledException", "the key is disabled"),
        ("KMSInvalidStateException", "pending deletion"),
        ("IncorrectKeyException", "locked under another key"),
        ("ExpiredTokenException", "the credentials have expired"),
        ("UnrecognizedClientException", "the credentials are not valid"),
        ("SomethingNewException", "KMS refused .SomethingNewException"),
    ],
)
def test_what_kms_refuses_for_is_told_and_nothing_is_touched(
    tmp_path: Path, key: AwsKms, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    """As AWS answers: the stand-in knows no disabled keys."""

    class Refusing:
        def encrypt(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": code, "Message": "as AWS words it"}}, "Encrypt")

        decrypt = encrypt

    store = tmp_path / "home" / "store.db"
    create_under(store, key).close()
    before = store.read_bytes()
    with monkeypatch.context() as refusing:
        refusing.setattr(AwsKms, "_client", lambda _: Refusing())
        with pytest.raises(Locked, match=told):
            SqliteLedger.open(store, key)
        with pytest.raises(Locked, match=told):
            create_under(tmp_path / "new" / "store.db", key)
    assert store.read_bytes() == before
    assert not (tmp_path / "new").exists()
    SqliteLedger.open(store, key).close()


@breaks("ST-2.5")
def test_without_credentials_or_region_the_store_stays_shut(
    tmp_path: Path, key: AwsKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_under(tmp_path / "store.db", key).close()
    with pytest.raises(Locked, match=r"no region is set"):
        SqliteLedger.open(tmp_path / "store.db", replace(key, region=""))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Locked, match="no AWS credentials are found"):
        SqliteLedger.open(tmp_path / "store.db", key)


@breaks("ST-2.5")
@pytest.mark.parametrize("listens", [True, False])
def test_a_kms_that_does_not_answer_is_told(tmp_path: Path, listens: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listens:
            server.listen()
        key = AwsKms(
            key="alias/node",
            region=REGION,
            endpoint=f"http://127.0.0.1:{server.getsockname()[1]}",
            timeout=0.1,
        )
        with pytest.raises(Locked, match="no answer from KMS"):
            create_under(tmp_path / "home" / "store.db", key)
    assert not (tmp_path / "home").exists()


def test_without_boto3_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] in ("boto3", "botocore"):
            raise ImportError(name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'quorate\[aws\]'"):
        create_under(tmp_path / "store.db", AwsKms(key="alias/node", region=REGION))
    monkeypatch.undo()
    assert not (tmp_path / "store.db").exists()


@breaks("ST-2.1")
def test_a_store_under_a_key_file_does_not_open_by_kms(tmp_path: Path, key: AwsKms) -> None:
    made = device("alice")
    SqliteLedger.create(
        tmp_path / "store.db", key_file(tmp_path), identity=made.identity, address="alice:7100",
        hardware_id="hw", certificate_pem=made.certificate, tls_key=SecretBytes.of(made.tls_key),
    ).close()  # fmt: skip
    with pytest.raises(Locked, match="opens with key-file; aws-kms was given"):
        SqliteLedger.open(tmp_path / "store.db", key)
