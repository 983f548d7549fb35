"""Only an answer that keeps every rule of the dialect counts; any other is refused by the rule it breaks.

Each lie is otherwise sound: what it changes is signed again where the rule under test is not the signature's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from quorate.approval.dialect import verdict
from quorate.ceremony.ports import Verdict
from quorate.errors import Denied
from tests.approval.asking import REQUEST, ask
from tests.approval.backend import (
    APPROVER_KEY,
    OTHER_KEY,
    Backend,
    Question,
    Reply,
    Script,
    answer,
    digest_of,
    honest,
    signed,
)
from tests.rules import breaks

DIGEST = REQUEST.digest.hex()


async def assert_refused(backend: Backend, script: Script, rule: str) -> None:
    backend.says(script)
    decision = await ask(backend)
    assert (decision.verdict, decision.approver) == (Verdict.REFUSE, "webhook")
    assert decision.rule == rule, decision.explanation
    assert len(backend.questions) == 1, "an answer that came is never asked for again"


def signature(reply: Reply) -> str:
    return dict(reply.headers)["signature"]


@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize(
    ("status", "expected"),
    [("approved", Verdict.APPROVE), ("rejected", Verdict.REJECT), ("abstain", Verdict.ABSTAIN)],
)
@breaks("AP-1.3")
async def test_a_sound_answer_is_taken_at_its_word(
    backend: Backend, status: str, expected: Verdict, bare: bool
) -> None:
    backend.says(lambda q: signed(answer(q, status=status), bare=bare))
    decision = await ask(backend)
    assert (decision.verdict, decision.approver, decision.rule) == (expected, "webhook", "AP-1.3 answer")
    assert REQUEST.operation in decision.explanation


@pytest.mark.parametrize(
    "body",
    [
        lambda q: answer(q, digest=DIGEST),
        lambda q: answer(q, reason="within limits", details={"by": ["ann"]}),
        lambda q: b'\r\n{ "nonce" : %d , "status" : "approved" }\n' % q.nonce,
    ],
    ids=["names the operation", "says more", "spaced"],
)
async def test_a_sound_answer_may_be_written_in_other_ways(
    backend: Backend, body: Callable[[Question], bytes]
) -> None:
    backend.says(lambda q: signed(body(q)))
    assert (await ask(backend)).verdict is Verdict.APPROVE


async def test_the_parts_of_a_signature_come_in_any_order(backend: Backend) -> None:
    def script(question: Question) -> Reply:
        reply = honest(question)
        return reply.having(signature=" ,\t".join(reversed(signature(reply).split(","))))

    backend.says(script)
    assert (await ask(backend)).verdict is Verdict.APPROVE


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/html",
        "application/json; charset=utf-8",
        "Application/JSON",
        ("application/json", "application/json"),
    ],
)
@breaks("AP-3.1")
async def test_another_content_type_is_refused(backend: Backend, content_type: Any) -> None:
    await assert_refused(
        backend, lambda q: honest(q).having(content_type=content_type), "AP-3.1 content type"
    )


@pytest.mark.parametrize(
    "digest",
    [
        lambda d: None,
        lambda d: "",
        lambda d: digest_of(b"another body"),
        lambda d: d.removeprefix("SHA-512="),
        lambda d: d.replace("SHA-512", "SHA-256"),
        lambda d: d.replace("SHA-512", "sha-512"),
        lambda d: d.rstrip("="),
        lambda d: f"{d},{d}",
        lambda d: (d, d),
    ],
)
@breaks("AP-3.2")
async def test_a_missing_or_wrong_digest_is_refused(backend: Backend, digest: Callable[[str], Any]) -> None:
    await assert_refused(
        backend, lambda q: honest(q).having(digest=digest(digest_of(answer(q)))), "AP-3.2 digest"
    )


@breaks("AP-3.2")
async def test_a_body_changed_on_the_way_is_refused(backend: Backend) -> None:
    def script(question: Question) -> Reply:
        rejected = signed(answer(question, status="rejected"))
        return Reply(body=answer(question), headers=rejected.headers)

    await assert_refused(backend, script, "AP-3.2 digest")


@pytest.mark.parametrize(
    "malform",
    [
        lambda s: None,
        lambda s: "",
        lambda s: (s, s),
        lambda s: "not a signature",
        lambda s: s.replace('keyId="eddsa-key",', ""),
        lambda s: s.replace('algorithm="hs2019",', ""),
        lambda s: s.replace('headers="content-type digest",', ""),
        lambda s: s[: s.index(",signature=")],
        lambda s: s + ',keyId="eddsa-key"',
        lambda s: s + ',created="1402170695"',
        lambda s: s.replace('"', ""),
        lambda s: "Signature " + s,
        lambda s: s + ",",
        lambda s: s[:-1],
    ],
)
@breaks("AP-3.3")
async def test_a_missing_or_malformed_signature_is_refused(
    backend: Backend, malform: Callable[[str], Any]
) -> None:
    def script(question: Question) -> Reply:
        reply = honest(question)
        return reply.having(signature=malform(signature(reply)))

    await assert_refused(backend, script, "AP-3.3 signature form")


@pytest.mark.parametrize("key", [OTHER_KEY, APPROVER_KEY])
@pytest.mark.parametrize("key_id", ["other-key", "", "EDDSA-KEY"])
@breaks("AP-3.4")
async def test_an_answer_that_names_another_key_is_refused(backend: Backend, key: Any, key_id: str) -> None:
    await assert_refused(backend, lambda q: signed(answer(q), key=key, key_id=key_id), "AP-3.4 key")


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("hs2019", "rsa-sha256"),
        ("hs2019", "HS2019"),
        ("hs2019", ""),
        ("content-type digest", "digest"),
        ("content-type digest", "content-type"),
        ("content-type digest", "digest content-type"),
        ("content-type digest", "content-type digest date"),
        ("content-type digest", ""),
    ],
)
@breaks("AP-3.5")
async def test_another_signature_scheme_is_refused(backend: Backend, part: str, other: str) -> None:
    def script(question: Question) -> Reply:
        reply = honest(question)
        return reply.having(signature=signature(reply).replace(f'"{part}"', f'"{other}"'))

    await assert_refused(backend, script, "AP-3.5 signature scheme")


@pytest.mark.parametrize("bare", [False, True])
@breaks("AP-3.6")
async def test_a_signature_by_another_key_is_refused(backend: Backend, bare: bool) -> None:
    await assert_refused(backend, lambda q: signed(answer(q), key=OTHER_KEY, bare=bare), "AP-3.6 signature")


@pytest.mark.parametrize("bare", [False, True])
@breaks("AP-3.6")
async def test_the_signature_of_another_answer_is_refused(backend: Backend, bare: bool) -> None:
    def script(question: Question) -> Reply:
        other = signed(answer(question, status="rejected"), bare=bare)
        return honest(question).having(signature=signature(other))

    await assert_refused(backend, script, "AP-3.6 signature")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: ("B" if s[0] == "A" else "A") + s[1:],
        lambda s: s[4:],
        lambda s: "AAAA" + s,
        lambda s: s.rstrip("="),
        lambda s: "AA==",
        lambda s: "A" * 86 + "==",
    ],
)
@breaks("AP-3.6")
async def test_a_bad_signature_is_refused_in_both_forms(
    backend: Backend, spoil: Callable[[str], str]
) -> None:
    def bare(question: Question) -> Reply:
        reply = signed(answer(question), bare=True)
        return reply.having(signature=spoil(signature(reply)))

    def long(question: Question) -> Reply:
        reply, plain = honest(question), signature(signed(answer(question), bare=True))
        return reply.having(signature=signature(reply).replace(plain, spoil(plain)))

    await assert_refused(backend, bare, "AP-3.6 signature")
    backend.questions.clear()
    await assert_refused(backend, long, "AP-3.6 signature")


@pytest.mark.parametrize(
    "body",
    [
        lambda q: b"",
        lambda q: b"approved",
        lambda q: answer(q)[:-1],
        lambda q: answer(q) + answer(q),
        lambda q: b"[" + answer(q) + b"]",
        lambda q: b'"approved"',
        lambda q: b"null",
        lambda q: b"\xef\xbb\xbf" + answer(q),
        lambda q: answer(q).decode().encode("utf-16"),
        lambda q: answer(q, note="x").replace(b"x", b"\xff"),
        lambda q: answer(q, score=float("nan")),
        lambda q: answer(q, score=float("inf")),
        lambda q: answer(q).replace(b'"', b"'"),
        lambda q: answer(q, note="deep").replace(b'"deep"', b"[" * 30_000 + b"]" * 30_000),
        lambda q: answer(q, note="deep").replace(b'"deep"', b"[" * 16 + b"]" * 16),
        lambda q: answer(q, note="long").replace(b'"long"', b"9" * 60_000),
    ],
)
@breaks("AP-3.7")
async def test_a_body_that_is_no_json_object_is_refused(
    backend: Backend, body: Callable[[Question], bytes]
) -> None:
    await assert_refused(backend, lambda q: signed(body(q)), "AP-3.7 JSON")


@pytest.mark.parametrize(
    "body",
    [
        lambda q: b'{"status":"rejected","status":"approved","nonce":%d}' % q.nonce,
        lambda q: b'{"status":"approved","nonce":1,"nonce":%d}' % q.nonce,
        lambda q: b'{"status":"approved","nonce":%d,"status":"approved"}' % q.nonce,
        lambda q: b'{"status":"approved","nonce":%d,"by":{"a":1,"a":1}}' % q.nonce,
        lambda q: b'{"status":"rejected","st\\u0061tus":"approved","nonce":%d}' % q.nonce,
    ],
)
@breaks("AP-3.8")
async def test_a_key_given_twice_is_refused(backend: Backend, body: Callable[[Question], bytes]) -> None:
    await assert_refused(backend, lambda q: signed(body(q)), "AP-3.8 duplicate key")


@pytest.mark.parametrize(
    "nonce",
    [lambda n: ..., lambda n: n + 1, lambda n: -n, str, float, lambda n: True, lambda n: None, lambda n: [n]],
)
@breaks("AP-3.9")
async def test_a_missing_or_wrong_nonce_is_refused(backend: Backend, nonce: Callable[[int], Any]) -> None:
    await assert_refused(backend, lambda q: signed(answer(q, nonce=nonce(q.nonce))), "AP-3.9 nonce")


@pytest.mark.parametrize("written", ["true", "1.0", "1e0"])
@breaks("AP-3.9")
def test_a_nonce_that_only_equals_ours_is_refused(written: str) -> None:
    body = f'{{"status":"approved","nonce":{written}}}'.encode()
    headers = {name.replace("_", "-"): [value] for name, value in signed(body).headers}
    with pytest.raises(Denied) as refused:
        verdict(headers, body, request=REQUEST, nonce=1, key=APPROVER_KEY.public_key())
    assert refused.value.rule == "AP-3.9 nonce"


@breaks("AP-3.9")
async def test_an_answer_to_an_earlier_question_is_refused(backend: Backend) -> None:
    assert (await ask(backend)).verdict is Verdict.APPROVE
    earlier = honest(backend.questions.pop())
    await assert_refused(backend, lambda _: earlier, "AP-3.9 nonce")


@pytest.mark.parametrize(
    "digest", ["00" * 32, "", DIGEST.upper(), DIGEST[:-2], f" {DIGEST}", None, 7, [DIGEST]]
)
@breaks("AP-3.10")
async def test_an_answer_for_another_operation_is_refused(backend: Backend, digest: Any) -> None:
    assert digest != DIGEST
    await assert_refused(backend, lambda q: signed(answer(q, digest=digest)), "AP-3.10 operation digest")


@pytest.mark.parametrize(
    "status",
    [
        ...,
        None,
        "",
        "approve",
        "Approved",
        "APPROVED",
        " approved",
        "abstained",
        "pending",
        True,
        1,
        ["approved"],
    ],
)
@breaks("AP-3.11")
async def test_a_missing_or_unknown_status_is_refused(backend: Backend, status: Any) -> None:
    await assert_refused(backend, lambda q: signed(answer(q, status=status)), "AP-3.11 status")


async def test_an_explanation_repeats_a_strangers_words_escaped_and_cut(backend: Backend) -> None:
    backend.says(lambda q: signed(answer(q, status="\x1b[2J" + "x" * 10_000)))
    explanation = (await ask(backend)).explanation
    assert explanation.isprintable()
    assert len(explanation) < 300


async def test_an_explanation_does_not_repeat_the_body(backend: Backend) -> None:
    backend.says(lambda q: signed(json.dumps({"secret-word": q.nonce}).encode()))
    assert "secret-word" not in (await ask(backend)).explanation
