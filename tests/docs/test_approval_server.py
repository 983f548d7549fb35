"""The example approval server, as the process people start."""

from __future__ import annotations

import base64
import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

SERVER = Path(__file__).parents[2] / "examples" / "approval_server.py"
HEX, BASE64 = (f"application/octet-stream+{encoding}" for encoding in ("hex", "base64"))
RULES = ["--reject", "forbidden", "--abstain", "later@/carol"]


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("approver") / "key.pem"


@pytest.fixture(scope="module")
def address(key_file: Path) -> Iterator[str]:
    command = [sys.executable, "-I", str(SERVER), "--key", str(key_file), *RULES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().removeprefix("listening on ").strip()
        server.terminate()


def request(
    data: str = "", *, content_type: str = "text/plain", batch: list[str] | None = None
) -> dict[str, Any]:
    signing = {"data": data, "batchData": batch or None, "contentType": content_type}
    return {"__typename": "OperationSign", "details": {}, "signingData": signing}


def ask(address: str, body: object, path: str = "/alice/transaction", nonce: str = "17") -> httpx.Response:
    headers = {"VS-Nonce": nonce, "Content-Type": "application/json", "Quorate-Operation-Digest": "ab" * 32}
    return httpx.post(address + path, content=json.dumps(body).encode(), headers=headers)


def test_an_answer_echoes_the_nonce_and_is_signed_over_its_digest(address: str, key_file: Path) -> None:
    printed = subprocess.run(
        [sys.executable, str(SERVER), "--key", str(key_file), "--print-public-key"],
        capture_output=True,
        check=True,
    )
    key = load_pem_public_key(printed.stdout)
    assert isinstance(key, Ed25519PublicKey)
    answer = ask(address, request("hello"))
    assert answer.status_code == 200
    assert answer.json() == {"status": "approved", "nonce": 17, "digest": "ab" * 32}
    digest = "SHA-512=" + base64.b64encode(hashlib.sha512(answer.content).digest()).decode()
    assert answer.headers["digest"] == digest
    scheme, _, signature = answer.headers["signature"].partition(',signature="')
    assert scheme == 'keyId="eddsa-key",algorithm="hs2019",headers="content-type digest"'
    signed = f"content-type: application/json\ndigest: {digest}"
    key.verify(base64.b64decode(signature.removesuffix('"')), signed.encode())


def test_the_key_file_is_its_owners_only(address: str, key_file: Path) -> None:
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("body", "path", "verdict"),
    [
        (request("a forbidden thing"), "/alice/transaction", "rejected"),
        (request(b"forbidden".hex(), content_type=HEX), "/alice", "rejected"),
        (
            request(batch=["00", b"forbidden".hex()], content_type=HEX),
            "/",
            "rejected",
        ),
        (request("Zm9yYmlkZGVu", content_type=BASE64), "/", "rejected"),
        (
            {"__typename": "OperationCreateVault_v3", "details": {"memo": "forbidden"}},
            "/alice/reshare",
            "rejected",
        ),
        (request("later, perhaps"), "/carol/transaction", "abstain"),
        (request("later, perhaps"), "/alice/transaction", "approved"),
    ],
)
def test_a_word_decides(address: str, body: object, path: str, verdict: str) -> None:
    assert ask(address, body, path).json()["status"] == verdict


@pytest.mark.parametrize(
    ("body", "nonce"),
    [([], "1"), (request(), "0"), (request("zz", content_type=HEX), "1")],
)
def test_what_it_cannot_read_it_does_not_approve(address: str, body: object, nonce: str) -> None:
    assert ask(address, body, nonce=nonce).status_code == 400
