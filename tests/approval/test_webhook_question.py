"""What the approver is sent: the request, a nonce of its own, and this node's signature."""

from __future__ import annotations

import base64
import json
import re
import secrets
from dataclasses import replace
from types import MappingProxyType

import pytest

from quorate.approval import dialect
from quorate.ceremony.ports import Verdict
from tests.approval.asking import DEVICE_KEY, REQUEST, ask
from tests.approval.backend import Backend, Question, digest_of
from tests.approval.facts import ALICE


async def question(backend: Backend) -> Question:
    assert (await ask(backend)).verdict is Verdict.APPROVE
    return backend.questions.pop()


async def test_the_body_is_the_request(backend: Backend) -> None:
    sent = await question(backend)
    assert list(json.loads(sent.body).items()) == list(REQUEST.body.items())


async def test_a_request_in_a_read_only_mapping_and_in_any_script_arrives_whole(backend: Backend) -> None:
    body = {"memo": "für ✓ \u2028 \U0001f511"}
    assert (await ask(backend, replace(REQUEST, body=MappingProxyType(body)))).verdict is Verdict.APPROVE
    assert json.loads(backend.questions[0].body) == body


async def test_the_headers_are_the_dialects(backend: Backend) -> None:
    sent = await question(backend)
    assert sent.headers["content-type"] == "application/json"
    assert re.fullmatch("[1-9][0-9]*", sent.headers["vs-nonce"])
    assert sent.headers["accept-signature"] == (
        f'sig1=("content-type" "digest");nonce={sent.nonce};keyid="eddsa-key"'
    )
    assert sent.headers["quorate-operation-digest"] == REQUEST.digest.hex()
    assert sent.headers["accept-encoding"] == "identity"


async def test_the_question_is_signed_by_the_device_key(backend: Backend) -> None:
    sent = await question(backend)
    assert sent.headers["digest"] == digest_of(sent.body)
    parts = dict(re.findall(r'(\w+)="([^"]*)"', sent.headers["signature"]))
    assert list(parts) == ["keyId", "algorithm", "headers", "signature"]
    assert (parts["keyId"], parts["algorithm"], parts["headers"]) == (ALICE, "hs2019", "content-type digest")
    signed = f"content-type: application/json\ndigest: {sent.headers['digest']}".encode()
    DEVICE_KEY.public_key().verify(base64.b64decode(parts["signature"], validate=True), signed)


async def test_every_question_has_a_nonce_of_its_own(backend: Backend) -> None:
    nonces = [(await question(backend)).nonce for _ in range(5)]
    assert len(set(nonces)) == 5


@pytest.mark.parametrize(("drawn", "nonce"), [(0, 1), (0x7FFFFFFFFFFFFFFD, 0x7FFFFFFFFFFFFFFE)])
def test_a_nonce_is_drawn_from_its_whole_range_and_no_further(
    monkeypatch: pytest.MonkeyPatch, drawn: int, nonce: int
) -> None:
    bounds: list[int] = []

    def randbelow(bound: int) -> int:
        bounds.append(bound)
        return drawn

    monkeypatch.setattr(secrets, "randbelow", randbelow)
    assert dialect.fresh_nonce() == nonce
    assert bounds == [0x7FFFFFFFFFFFFFFE]


async def test_each_kind_of_request_goes_to_its_url(backend: Backend) -> None:
    assert (await question(backend)).path == "/transactions"
    await ask(backend, replace(REQUEST, route="reshare"))
    assert backend.questions[0].path == "/reshares"


async def test_the_environments_proxies_are_not_asked(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert (await ask(backend)).verdict is Verdict.APPROVE
