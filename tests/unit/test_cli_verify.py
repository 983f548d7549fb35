"""``quorate verify``: signatures made by other libraries, in each form, and what is said of bad ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ecdsa import SECP256k1, SigningKey
from ecdsa.util import sigencode_der_canonize, sigencode_string, sigencode_string_canonize
from eth_utils.crypto import keccak

from quorate.cli.main import run

# RFC 8032, section 7.1, test 2.
EDWARDS = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
BY_EDWARDS = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)

SIGNER = SigningKey.from_secret_exponent(77, SECP256k1)
SECP = SIGNER.verifying_key.to_string("compressed").hex()
DIGEST = {"ES256K": hashlib.sha256(b"r").digest(), "ESKEC256": keccak(b"r")}

Verify = Callable[..., tuple[int, dict[str, Any]]]


def by_secp(algorithm: str, form: Callable[[int, int, int], bytes] = sigencode_string_canonize) -> str:
    signature: bytes = SIGNER.sign_digest_deterministic(
        DIGEST[algorithm], hashfunc=hashlib.sha256, sigencode=form
    )
    return signature.hex()


def high(r: int, s: int, order: int) -> bytes:
    """The same signature as the canonical one, with the other s."""
    return bytes(sigencode_string(r, max(s, order - s), order))


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str]) -> Verify:
    """The exit code, and what was said: on stdout of a signature, on stderr where it could not be looked at."""

    def command(key: str, signature: str, *more: object) -> tuple[int, dict[str, Any]]:
        code = run(["verify", "--public-key", key, "--signature", signature, *map(str, more), "--json"])
        said = capsys.readouterr()
        return code, json.loads(said.out or said.err)

    return command


def test_an_ed25519_signature_holds_however_the_message_is_given(tmp_path: Path, verify: Verify) -> None:
    message = tmp_path / "message"
    message.write_bytes(b"r")
    for form in (("--text", "r"), ("--hex", "72"), ("--base64", "cg=="), ("--file", message)):
        assert verify(EDWARDS, BY_EDWARDS, *form) == (0, {"valid": True})


@pytest.mark.parametrize("form", [sigencode_string_canonize, sigencode_der_canonize])
@pytest.mark.parametrize("algorithm", ["ES256K", "ESKEC256", "es256k"])
def test_an_ecdsa_signature_holds_compact_and_in_der(
    verify: Verify, algorithm: str, form: Callable[[int, int, int], bytes]
) -> None:
    signature = by_secp(algorithm.upper(), form)
    assert verify(SECP, signature, "--algorithm", algorithm, "--text", "r") == (0, {"valid": True})


@pytest.mark.parametrize(
    ("key", "signature", "options", "why"),
    [
        (EDWARDS, BY_EDWARDS, ("--text", "s"), "not this key's signature of this message"),
        (EDWARDS, BY_EDWARDS[2:], ("--text", "r"), "has 64 bytes, not 63"),
        (SECP, by_secp("ES256K"), ("--algorithm", "ES256K", "--text", "s"), "not this key's"),
        (SECP, by_secp("ES256K"), ("--algorithm", "ESKEC256", "--text", "r"), "not this key's"),
        (SECP, by_secp("ES256K", high), ("--algorithm", "ES256K", "--text", "r"), "above half the order"),
        (SECP, by_secp("ES256K") + "00", ("--algorithm", "ES256K", "--text", "r"), "65 bytes that are no"),
        (SECP, "00" * 64, ("--algorithm", "ES256K", "--text", "r"), "from 1 up to the order"),
        (SECP, "", ("--algorithm", "ES256K", "--text", "r"), "not a DER"),
    ],
)
def test_what_does_not_hold_ends_with_exit_code_1_and_says_why(
    verify: Verify, key: str, signature: str, options: tuple[str, ...], why: str
) -> None:
    code, said = verify(key, signature, *options)
    assert (code, said["valid"]) == (1, False)
    assert why in said["why"]


@pytest.mark.parametrize(
    ("key", "options", "said"),
    [
        (SECP, (), "--algorithm ES256K or ESKEC256"),
        (EDWARDS, ("--algorithm", "ES256K"), "--algorithm EDDSA"),
        ("05" + SECP[2:], ("--algorithm", "ES256K"), "not a key of ES256K"),
        (EDWARDS, ("--algorithm", "RS256"), "'RS256' is not one of EDDSA, ES256K, ESKEC256"),
        (EDWARDS + "zz", (), "--public-key: not hex"),
        (EDWARDS, ("--text", "r", "--text", "r"), "takes one message, not 3"),
        (EDWARDS, ("--hex", "72"), "--text and --hex"),
    ],
)
def test_what_cannot_be_looked_at_is_a_usage_error(
    verify: Verify, key: str, options: tuple[str, ...], said: str
) -> None:
    code, error = verify(key, BY_EDWARDS, "--text", "r", *options)
    assert code == 2
    assert said in error["message"]
