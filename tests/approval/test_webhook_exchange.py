"""A backend that is down, slow, broken or elsewhere is a refusal that says which."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from quorate.ceremony.ports import Verdict
from tests.approval.asking import REQUEST, approver, ask
from tests.approval.authorities import Authority
from tests.approval.backend import (
    Backend,
    Question,
    Reply,
    Script,
    answer,
    drips,
    floods,
    hangs,
    honest,
    serving,
    signed,
    writes,
)
from tests.rules import breaks

SHORT = 0.2
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """A URL where nobody listens: the port is held, so nobody else can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@breaks("AP-2.1")
async def test_a_backend_that_is_down_is_refused(nowhere: str) -> None:
    decision = await approver(nowhere, tries=2).decide(REQUEST)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.1 unreachable")
    assert nowhere.removeprefix("http://") in decision.explanation


@breaks("AP-2.1")
async def test_a_host_without_an_address_is_refused() -> None:
    decision = await approver("https://approver.invalid").decide(REQUEST)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.1 unreachable")


async def test_a_host_that_cannot_have_an_address_is_refused() -> None:
    decision = await approver(f"https://{'a' * 64}.invalid").decide(REQUEST)
    assert decision.verdict is Verdict.REFUSE


@pytest.mark.parametrize("script", [hangs, drips])
@breaks("AP-2.2")
async def test_a_backend_that_takes_too_long_is_refused(backend: Backend, script: Script) -> None:
    backend.says(script)
    decision = await ask(backend, timeout=SHORT)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.2 timeout")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00\xff\xfe garbage \r\n\r\n",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        HEAD + b"Content-Length: ten\r\n\r\n{}",
        HEAD + b'Content-Length: 1000\r\n\r\n{"status":"approved"',
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}",
        HEAD + b"X-Filler: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
@breaks("AP-2.4")
async def test_garbage_and_half_an_answer_are_refused(backend: Backend, data: bytes) -> None:
    backend.says(writes(data))
    decision = await ask(backend)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.4 broken off"), decision.explanation
    assert "garbage" not in decision.explanation


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
@breaks("AP-2.5")
async def test_a_redirect_is_refused_and_not_followed(backend: Backend, status: int) -> None:
    with serving() as elsewhere:
        backend.says(lambda q: replace(honest(q), status=status).having(location=elsewhere.url))
        decision = await ask(backend)
        assert not elsewhere.questions
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.5 redirect")
    assert len(backend.questions) == 1


@pytest.mark.parametrize("status", [201, 202, 400, 401, 404, 500, 503])
@breaks("AP-2.6")
async def test_an_approval_under_another_status_than_200_is_refused(backend: Backend, status: int) -> None:
    backend.says(lambda q: replace(honest(q), status=status))
    decision = await ask(backend)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.6 status code")
    assert str(status) in decision.explanation


@pytest.mark.parametrize(("size", "expected"), [(65536, Verdict.APPROVE), (65537, Verdict.REFUSE)])
@breaks("AP-2.7")
async def test_an_answer_may_have_64_kib_and_no_more(backend: Backend, size: int, expected: Verdict) -> None:
    backend.says(lambda q: signed(answer(q).ljust(size)))
    decision = await ask(backend)
    assert decision.verdict is expected
    assert expected is Verdict.APPROVE or decision.rule == "AP-2.7 size"


@breaks("AP-2.7")
async def test_an_answer_without_end_is_given_up_early(backend: Backend) -> None:
    backend.says(floods)
    decision = await ask(backend)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.7 size")


async def test_a_compressed_answer_is_read_as_the_bytes_it_is(backend: Backend) -> None:
    """Its digest is of those bytes; nothing is unpacked, so nothing small unpacks to something large."""
    backend.says(lambda q: honest(q).having(content_encoding="gzip"))
    assert (await ask(backend)).verdict is Verdict.APPROVE


# --- TLS ----------------------------------------------------------------------------------------------------------


async def test_a_backend_of_the_pinned_authority_is_believed(authority: Authority) -> None:
    with serving(tls=authority.server()) as backend:
        assert (await ask(backend, ca_file=authority.file)).verdict is Verdict.APPROVE


@breaks("AP-2.3")
async def test_a_certificate_of_another_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    with serving(tls=authority.server()) as backend:
        for ca_file in (Authority(tmp_path, "other").file, None):
            decision = await ask(backend, ca_file=ca_file, tries=3)
            assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.3 TLS")
        assert not backend.questions


@breaks("AP-2.3")
async def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    with serving(tls=authority.server("elsewhere.example")) as backend:
        decision = await ask(backend, ca_file=authority.file)
        assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.3 TLS")
        assert not backend.questions


@breaks("AP-2.3")
async def test_plain_http_where_tls_was_meant_is_refused(backend: Backend, authority: Authority) -> None:
    url = backend.url.replace("http://127.0.0.1", "https://localhost")
    decision = await approver(url, ca_file=authority.file).decide(REQUEST)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.3 TLS")


@breaks("AP-2.3")
async def test_tls_older_than_1_2_is_refused(authority: Authority) -> None:
    old = authority.server()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(tls=old) as backend:
        decision = await ask(backend, ca_file=authority.file)
        assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.3 TLS")
        assert not backend.questions


@breaks("AP-2.3")
async def test_a_backend_that_wants_a_client_certificate_gets_the_one_configured(
    authority: Authority,
) -> None:
    wants_one = authority.server()
    wants_one.verify_mode = ssl.CERT_REQUIRED
    # From TLS 1.3 on its refusal comes after the handshake, and may be lost when it then hangs up.
    wants_one.maximum_version = ssl.TLSVersion.TLSv1_2
    wants_one.load_verify_locations(authority.file)
    ours = authority.issue("node")
    with serving(tls=wants_one) as backend:
        decision = await ask(backend, ca_file=authority.file)
        assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.3 TLS")
        assert not backend.questions
        node = approver(
            backend.url, ca_file=authority.file, client_certificate=ours.certificate, client_key=ours.key
        )
        assert (await node.decide(REQUEST)).verdict is Verdict.APPROVE


# --- trying again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [hangs, writes(b""), writes(HEAD + b"Content-Length: 9\r\n\r\n{")])
async def test_a_question_that_got_no_whole_answer_is_put_again_under_a_new_nonce(
    backend: Backend, fault: Script
) -> None:
    backend.says(fault, honest)
    decision = await ask(backend, tries=2, timeout=10 * SHORT)
    assert decision.verdict is Verdict.APPROVE
    assert len({question.nonce for question in backend.questions}) == 2


async def test_an_answer_to_the_first_try_does_not_answer_the_second(backend: Backend) -> None:
    def late(_: Question) -> Reply:
        return honest(backend.questions[0])

    backend.says(writes(b""), late)
    decision = await ask(backend, tries=2)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-3.9 nonce")


async def test_tries_are_bounded(backend: Backend) -> None:
    backend.says(writes(b""))
    decision = await ask(backend, tries=3)
    assert (decision.verdict, decision.rule) == (Verdict.REFUSE, "AP-2.4 broken off")
    assert len(backend.questions) == 3


async def test_the_pause_between_tries_doubles(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    backend.says(writes(b""))
    await ask(backend, tries=4, backoff=0.5)
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    "script",
    [
        lambda q: replace(honest(q), status=503),
        lambda q: replace(honest(q), status=307),
        lambda q: signed(answer(q, nonce=7)),
        lambda q: signed(answer(q, status="rejected")),
        floods,
    ],
)
async def test_an_answer_that_came_is_not_asked_for_again(backend: Backend, script: Script) -> None:
    backend.says(script, honest)
    assert (await ask(backend, tries=3)).verdict is not Verdict.APPROVE
    assert len(backend.questions) == 1


async def test_a_cancelled_question_ends_at_once(backend: Backend) -> None:
    backend.says(hangs, honest)
    asking = asyncio.create_task(ask(backend, tries=3))
    assert await asyncio.to_thread(backend.asked.wait, 60)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert len(backend.questions) == 1


@pytest.mark.parametrize("script", [writes(b""), honest, lambda q: replace(honest(q), status=404)])
async def test_an_explanation_does_not_repeat_a_token_in_the_url(backend: Backend, script: Script) -> None:
    backend.says(script)
    decision = await approver(f"{backend.url}/hook-s3cret?token=s3cret").decide(REQUEST)
    assert "s3cret" in backend.questions[0].path
    assert "s3cret" not in decision.explanation
