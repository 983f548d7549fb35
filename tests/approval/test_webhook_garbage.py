"""Whatever comes, the outcome is a verdict or a refusal: never another exception, and no approval nobody signed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.approval.dialect import verdict
from quorate.ceremony.ports import Verdict
from quorate.errors import Denied
from tests.approval.asking import REQUEST
from tests.approval.backend import APPROVER_KEY, signed

NONCE = 12345
HEADERS = {name.replace("_", "-"): value for name, value in signed(b"{}").headers}

texts = st.text('aN"\\=,é✓\0', max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)
words = st.sampled_from(
    [REQUEST.digest.hex(), "approved", "rejected", "abstain", NONCE, float(NONCE), str(NONCE)]
)


def judged(headers: dict[str, list[str]], body: bytes) -> Verdict:
    return verdict(headers, body, request=REQUEST, nonce=NONCE, key=APPROVER_KEY.public_key())


@settings(derandomize=True, deadline=None)
@given(
    headers=st.dictionaries(
        st.sampled_from(sorted(HEADERS)),
        st.lists(texts | st.sampled_from(sorted(HEADERS.values())), max_size=2),
    ),
    body=st.binary() | st.just(b"{}"),
)
def test_headers_and_bodies_nobody_signed_are_refused(headers: dict[str, list[str]], body: bytes) -> None:
    with pytest.raises(Denied):
        judged(headers, body)


@settings(derandomize=True, deadline=None)
@given(answer=st.dictionaries(st.sampled_from(["status", "nonce", "digest", "x"]), words | values))
def test_a_signed_answer_is_a_verdict_only_if_it_says_all_it_must(answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    headers = {name.replace("_", "-"): [value] for name, value in signed(body).headers}
    try:
        said = judged(headers, body)
    except Denied:
        said = Verdict.REFUSE
    sound = (
        "NaN" not in (text := body.decode()) and "Infinity" not in text
        and type(answer.get("nonce")) is int and answer["nonce"] == NONCE
        and answer.get("digest", REQUEST.digest.hex()) == REQUEST.digest.hex()
    )  # fmt: skip
    spoken = {"approved": Verdict.APPROVE, "rejected": Verdict.REJECT, "abstain": Verdict.ABSTAIN}
    status = answer.get("status")
    expected = spoken.get(status, Verdict.REFUSE) if sound and isinstance(status, str) else Verdict.REFUSE
    assert said is expected


def test_an_answer_as_deep_as_it_can_be_read_is_still_only_refused() -> None:
    for depth in range(100, 2000, 20):
        body = b'{"status":"approved","nonce":%s1%s}' % (b"[" * depth, b"]" * depth)
        headers = {name.replace("_", "-"): [value] for name, value in signed(body).headers}
        with pytest.raises(Denied):
            judged(headers, body)
