"""A request as an approver gets it, read back to what a policy judges."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.operations.asked import KINDS, effect_of_request, is_request
from quorate.operations.derivation import read_xpub, xpub
from quorate.operations.kinds import Kind
from quorate.operations.request_json import SignerFacts
from quorate.operations.sample import NAME, Sample, sample

SIGNER = SignerFacts(device=DeviceId("a" * 24), uuid="", name="alice", client_record="{}", weight=1)


def asked(kind: Kind) -> Sample:
    return sample(kind, SIGNER, bytes(32), now_ms=1_700_000_000_000, salt=b"x" * 16)


@pytest.mark.parametrize("kind", Kind)
def test_a_request_of_each_kind_has_the_effect_that_the_node_judged(kind: Kind) -> None:
    made = asked(kind)
    body = json.loads(json.dumps(made.body))
    assert is_request(body)
    assert KINDS[body["__typename"]] is kind
    effect = effect_of_request(body, caller=NAME, proposer=SIGNER.device)
    assert effect == made.effect


def changed(body: Any, *path: Any, to: object) -> Any:
    made = deepcopy(body)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = to
    return made


def test_what_no_approver_gets_is_refused() -> None:
    body = asked(Kind.TRANSFER_OUT).body
    for wrong in (
        {},
        {"__typename": "OperationNothing"},
        changed(body, "signingData", to=None),
        changed(body, "signingData", "data", to=7),
        changed(body, "details", "vault", "curves", to=[]),
        changed(body, "details", "vault", "curves", 0, "xpub", to="xpub6"),
        changed(body, "signingData", "coseAlgorithm", "type", to="RS256"),
    ):
        with pytest.raises(UsageError):
            effect_of_request(wrong, caller="", proposer="")
    assert not is_request({"kind": "sign"})


def test_an_extended_key_is_read_as_it_was_written() -> None:
    for curve, key in ((Curve.SECP256K1, b"\x02" + b"k" * 32), (Curve.ED25519, b"k" * 32)):
        written = xpub(curve, key, b"c" * 32)
        assert read_xpub(curve, written) == (key, b"c" * 32)
        for wrong in (written[:-1], written[:-1] + ("1" if written[-1] != "1" else "2"), ""):
            with pytest.raises(ValueError, match=r"."):
                read_xpub(curve, wrong)
