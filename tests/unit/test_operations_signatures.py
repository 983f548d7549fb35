"""The forms of an ECDSA signature, against another library."""

from __future__ import annotations

import coincurve
import nacl.signing
import pytest
from ecdsa.util import sigdecode_der
from hypothesis import given
from hypothesis import strategies as st

from quorate.curves import SECP256K1
from quorate.errors import EncodingError
from quorate.operations.digests import signing_digest
from quorate.operations.kinds import Algorithm
from quorate.operations.signatures import EcdsaSignature, compact_of_der, split, verifies

ORDER = SECP256K1.order
NUMBERS = st.integers(1, ORDER - 1)
SIGNATURES = st.builds(EcdsaSignature, r=NUMBERS, s=NUMBERS, recovery=st.integers(0, 3))


@given(SIGNATURES)
def test_both_forms_hold_the_same_two_numbers(signature: EcdsaSignature) -> None:
    assert EcdsaSignature.of(signature.compact(), signature.recovery) == signature
    assert sigdecode_der(signature.der(), ORDER) == (signature.r, signature.s)
    assert compact_of_der(signature.der()) == signature.compact()


@given(SIGNATURES)
def test_one_of_a_pair_is_low_and_both_lead_to_it(signature: EcdsaSignature) -> None:
    twin = EcdsaSignature(r=signature.r, s=ORDER - signature.s, recovery=signature.recovery ^ 1)
    assert signature.is_low != twin.is_low
    assert signature.low() == twin.low()
    assert signature.low() in (signature, twin)
    assert signature.low().is_low


def test_the_halfway_point_is_low() -> None:
    half = EcdsaSignature(r=1, s=ORDER // 2, recovery=0)
    assert half.low() == half
    assert EcdsaSignature(r=1, s=ORDER // 2 + 1, recovery=2).low() == EcdsaSignature(
        r=1, s=ORDER // 2, recovery=3
    )


def test_der_keeps_its_numbers_positive_and_short() -> None:
    assert EcdsaSignature(r=0x80, s=1, recovery=0).der().hex() == "3007" + "02020080" + "020101"


@pytest.mark.parametrize(
    ("r", "s", "recovery"), [(0, 1, 0), (1, 0, 0), (ORDER, 1, 0), (1, ORDER, 0), (-1, 1, 0), (1, 1, 4), (1, 1, -1)]
)  # fmt: skip
def test_numbers_that_are_no_signature_are_refused(r: int, s: int, recovery: int) -> None:
    with pytest.raises(EncodingError):
        EcdsaSignature(r=r, s=s, recovery=recovery)


@pytest.mark.parametrize("size", [0, 63, 65])
def test_a_compact_signature_has_64_bytes(size: int) -> None:
    with pytest.raises(EncodingError, match=f"64 bytes, not {size}"):
        EcdsaSignature.of(b"\x01" * size, 0)


ECDSA = (Algorithm.ES256K, Algorithm.ESKEC256)
KEY = coincurve.PrivateKey(b"\x01" * 32)
PUBLIC = KEY.public_key.format()


def kept(algorithm: Algorithm, message: bytes) -> bytes:
    return KEY.sign_recoverable(signing_digest(algorithm, message), hasher=None)


@pytest.mark.parametrize("algorithm", ECDSA)
def test_an_ecdsa_signature_is_kept_with_its_recovery_id(algorithm: Algorithm) -> None:
    good = kept(algorithm, b"hello")
    assert verifies(algorithm, PUBLIC, b"hello", good)
    assert split(good) == (good[:64], good[64])
    assert not verifies(algorithm, PUBLIC, b"other", good)
    assert not verifies(algorithm, coincurve.PrivateKey(b"\x02" * 32).public_key.format(), b"hello", good)
    (other,) = set(ECDSA) - {algorithm}
    assert not verifies(other, PUBLIC, b"hello", good)


@pytest.mark.parametrize("recovery", ["none", "the other", 2, 3, 4, 27, 255])
def test_an_ecdsa_signature_without_its_own_recovery_id_is_none(recovery: str | int) -> None:
    good = kept(Algorithm.ES256K, b"hello")
    last = {"none": b"", "the other": bytes([good[64] ^ 1])}.get(str(recovery))
    assert not verifies(
        Algorithm.ES256K, PUBLIC, b"hello", good[:64] + (bytes([int(recovery)]) if last is None else last)
    )


def test_a_high_s_is_refused_even_with_the_recovery_id_that_fits_it() -> None:
    good = kept(Algorithm.ES256K, b"hello")
    s = ORDER - int.from_bytes(good[32:64], "big")
    assert not verifies(
        Algorithm.ES256K, PUBLIC, b"hello", good[:32] + s.to_bytes(32, "big") + bytes([good[64] ^ 1])
    )


def test_an_eddsa_signature_is_64_bytes_and_no_more() -> None:
    key = nacl.signing.SigningKey(b"\x01" * 32)
    public, good = bytes(key.verify_key), key.sign(b"hello").signature
    assert verifies(Algorithm.EDDSA, public, b"hello", good)
    assert split(good) == (good, None)
    assert not verifies(Algorithm.EDDSA, public, b"hello", good + b"\0")
    assert not verifies(Algorithm.EDDSA, public, b"other", good)


@pytest.mark.parametrize(
    "encoded",
    [
        "",
        "3006020101020101" + "00",  # something follows
        "300702020001020101",  # a zero too many
        "30060201810201" + "01",  # negative
        "3006020100020101",  # r is zero
        "308106020101020101",  # a length too long
        "3003020101",  # no s
        "3009020101020101020101",  # a third number
        "3026" + "0221" + "00" + ORDER.to_bytes(32, "big").hex() + "020101",  # r is the order
    ],
)
def test_what_is_not_der_to_the_bit_is_refused(encoded: str) -> None:
    with pytest.raises(EncodingError):
        compact_of_der(bytes.fromhex(encoded))
