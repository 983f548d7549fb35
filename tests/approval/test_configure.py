"""Which approver a node gets, and how a wrong option is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from pydantic import ValidationError
from structlog.testing import capture_logs

from quorate.approval.configure import build_approver
from quorate.approval.options import ApproverOptions
from quorate.approval.webhook import WebhookApprover
from quorate.ceremony.ports import Verdict
from quorate.errors import UsageError
from tests.approval.asking import APPROVER_PEM, REQUEST, built, means, options
from tests.approval.authorities import Authority
from tests.approval.backend import Backend
from tests.rules import breaks

URL = "https://approver.example:8443"


def webhook(**changes: Any) -> dict[str, Any]:
    return {"type": "webhook", "webhook": options(URL, **changes)}


def complaint(section: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as refused:
        built(section)
    return str(refused.value)


@pytest.mark.parametrize("section", [{}, {"type": "none"}])
@breaks("AP-1.1")
async def test_a_node_without_an_approver_refuses(section: dict[str, Any]) -> None:
    approver = built(section)
    decision = await approver.decide(REQUEST)
    assert (decision.verdict, decision.approver, decision.rule) == (
        Verdict.REFUSE,
        "none",
        "AP-1.1 no approver",
    )
    assert approver.name == "none"
    assert "configure one" in decision.explanation


@breaks("AP-1.2")
async def test_always_approves_with_a_warning_at_every_start() -> None:
    with capture_logs() as logs:
        approver = built({"type": "always"})
    assert [(log["log_level"], log["event"]) for log in logs] == [("warning", "approver.always")]
    decision = await approver.decide(REQUEST)
    assert (decision.verdict, decision.approver, decision.rule) == (
        Verdict.APPROVE,
        "always",
        "AP-1.2 always",
    )
    assert approver.name == "always"


def test_no_other_approver_warns() -> None:
    with capture_logs() as logs:
        built({})
        built(webhook())
    assert logs == []


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"type": "sometimes"}, "type"),
        ({"type": "Always"}, "type"),
        ({"type": "always", "quietly": True}, "quietly"),
        ({"type": "webhook"}, "go together"),
        ({"type": "always", "webhook": options(URL)}, "go together"),
        ({"webhook": options(URL)}, "go together"),
        (webhook(retries=3), "webhook.retries"),
        (webhook(timeout=0), "webhook.timeout"),
        (webhook(timeout=float("inf")), "webhook.timeout"),
        (webhook(timeout=float("nan")), "webhook.timeout"),
        (webhook(tries=0), "webhook.tries"),
        (webhook(tries=11), "webhook.tries"),
        (webhook(backoff=-1), "webhook.backoff"),
        (webhook(client_certificate="node.pem"), "client_certificate and client_key go together"),
        (webhook(client_key="node.key"), "client_certificate and client_key go together"),
    ],
)
def test_a_wrong_option_is_named(section: dict[str, Any], named: str) -> None:
    assert named in complaint(section)


@pytest.mark.parametrize("name", ["transaction_url", "reshare_url"])
def test_a_missing_option_is_named(name: str) -> None:
    section = webhook()
    del section["webhook"][name]
    assert f"webhook.{name}" in complaint(section)


def test_the_key_is_given_once_here_or_in_a_file(tmp_path: Path) -> None:
    section = webhook(public_key_file=tmp_path / "approver.pub")
    assert "public_key or public_key_file, one of the two" in complaint(section)
    del section["webhook"]["public_key"]
    options = ApproverOptions.model_validate(section)
    with pytest.raises(UsageError, match=r"public_key_file: .*approver\.pub"):
        build_approver(options, means())
    (tmp_path / "approver.pub").write_text("no key")
    with pytest.raises(UsageError, match="neither a PEM public key"):
        build_approver(options, means())
    (tmp_path / "approver.pub").write_text(APPROVER_PEM)
    assert build_approver(options, means())[0].name == "webhook"
    del section["webhook"]["public_key_file"]
    assert "public_key or public_key_file, one of the two" in complaint(section)


# --- URLs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["transaction_url", "reshare_url"])
@pytest.mark.parametrize(
    ("url", "flaw"),
    [
        ("", "https:// URL is needed"),
        ("approver.example/hook", "https:// URL is needed"),
        ("ftp://approver.example", "https:// URL is needed"),
        ("https://", "https:// URL is needed"),
        ("https:///hook", "https:// URL is needed"),
        ("http://approver.example", "http is only for loopback"),
        ("http://10.0.0.1", "http is only for loopback"),
        ("http://127.0.0.1.example", "http is only for loopback"),
        ("http://localhost.example", "http is only for loopback"),
        ("https://user@approver.example", "without user"),
        ("https://user:word@approver.example", "without user"),
        ("https://approver.example/#part", "without user"),
        ("https://approver.example:port", "Invalid port"),
        ("https://approver.example:99999", "no port 99999"),
        ("https://approver.example/\n", "Invalid"),
        ("https://[::1", "Invalid"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_by_name(name: str, url: str, flaw: str) -> None:
    told = complaint(webhook(**{name: url}))
    assert f"{name}: " in told
    assert flaw in told


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.1.2.3", "[::1]:8080", "localhost:8080", "LOCALHOST"])
def test_http_serves_on_loopback(host: str) -> None:
    assert isinstance(built(webhook(transaction_url=f"http://{host}/t")), WebhookApprover)


def test_http_serves_elsewhere_where_it_is_allowed() -> None:
    section = webhook(transaction_url="http://10.0.0.1/t", allow_http=True)
    assert isinstance(built(section), WebhookApprover)


def test_a_complaint_does_not_repeat_a_token_in_a_url() -> None:
    assert "s3cret" not in complaint(webhook(transaction_url="http://approver.example/?token=s3cret"))


# --- the approver's key -------------------------------------------------------------------------------------------


def pem_of(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@pytest.mark.parametrize(
    "text",
    [
        APPROVER_PEM,
        f"\n{APPROVER_PEM}\n",
        APPROVER_PEM.replace("\n", "\r\n"),
        APPROVER_PEM.encode().hex(),
        APPROVER_PEM.encode().hex().upper(),
        f" {APPROVER_PEM.encode().hex()}\n",
    ],
)
async def test_the_approvers_key_is_pem_or_the_hex_of_pem(backend: Backend, text: str) -> None:
    approver = built({"type": "webhook", "webhook": options(backend.url, public_key=text)})
    assert (await approver.decide(REQUEST)).verdict is Verdict.APPROVE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "approver.pem",
        "00" * 32,
        "ff",
        APPROVER_PEM.encode().hex()[:-1],
        APPROVER_PEM.replace("PUBLIC", "PRIVATE"),
        APPROVER_PEM.replace("MCow", "MCox"),
        "ключ",
        pem_of(x25519.X25519PrivateKey.generate()),
        pem_of(ed448.Ed448PrivateKey.generate()),
        pem_of(ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=[
        "nothing", "a file's name", "a key's hex", "a byte's hex", "half a digit", "private", "another algorithm",
        "no ASCII", "X25519", "Ed448", "P-256",
    ],
)  # fmt: skip
def test_another_key_than_an_ed25519_public_one_is_refused_by_name(text: str) -> None:
    assert "webhook.public_key" in complaint(webhook(public_key=text))


# --- files --------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_used_is_refused_by_option_and_name(tmp_path: Path) -> None:
    absent, junk = tmp_path / "absent.pem", tmp_path / "junk.pem"
    junk.write_text("no certificate")
    good = Authority(tmp_path, "authority").issue("node")
    for file in (absent, junk):
        for section, option in (
            (webhook(ca_file=file), "approver.webhook.ca_file"),
            (webhook(client_certificate=file, client_key=good.key), "approver.webhook.client_certificate"),
            (webhook(client_certificate=good.certificate, client_key=file), "client_key"),
        ):
            with pytest.raises(UsageError) as refused:
                built(section)
            assert option in str(refused.value)
            assert str(file) in str(refused.value)


def test_an_encrypted_client_key_is_refused_without_asking_anyone(tmp_path: Path) -> None:
    issued = Authority(tmp_path, "authority").issue("node")
    key = load_pem_private_key(issued.key.read_bytes(), password=None)
    issued.key.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word"))
    )
    with pytest.raises(UsageError, match="client_key"):
        built(webhook(client_certificate=issued.certificate, client_key=issued.key))
