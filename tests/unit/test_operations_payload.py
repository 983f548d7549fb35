"""A payload has one reading, and what has none is refused by name."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest

from quorate.errors import EncodingError, UsageError
from quorate.operations.kinds import MAX_BATCH, MAX_MESSAGE, MAX_REQUEST, Algorithm, Sign, SigningData
from quorate.operations.payload import MAX_PARTS, TYPED_DATA, algorithm, messages
from quorate.wire.codec import decode, encode

TEXT, HEX, BASE64 = "text/plain", "application/octet-stream+hex", "application/octet-stream+base64"


def signing(
    *data: str, content_type: str = TEXT, algorithm: Algorithm = Algorithm.EDDSA, path: str = ""
) -> SigningData:
    return SigningData(data=data, content_type=content_type, algorithm=algorithm, derivation_path=path)


def refusal(payload: SigningData) -> UsageError:
    with pytest.raises(UsageError) as refused:
        messages(payload)
    return refused.value


@pytest.mark.parametrize(
    ("content_type", "text", "message"),
    [
        (TEXT, "Some data to be signed here", b"Some data to be signed here"),
        (TEXT, "Grüße ✓\r\n", b"Gr\xc3\xbc\xc3\x9fe \xe2\x9c\x93\r\n"),
        (TEXT, "0x68", b"0x68"),
        (TEXT, "", b""),
        (HEX, "68656C6C6F", b"hello"),
        (HEX, "68656c6C6f", b"hello"),
        (HEX, "", b""),
        (HEX, "00ff", b"\x00\xff"),
        (BASE64, "aGVsbG8=", b"hello"),
        (BASE64, "+/8=", b"\xfb\xff"),
        (BASE64, "", b""),
    ],
)
def test_a_payload_is_read_by_its_content_type(content_type: str, text: str, message: bytes) -> None:
    assert messages(signing(text, content_type=content_type)) == (message,)


def test_a_batch_keeps_its_order_and_its_repetitions() -> None:
    batch = signing("68656C6C6F", "676F6F64627965", "", "68656C6C6F", content_type=HEX)
    assert messages(batch) == (b"hello", b"goodbye", b"", b"hello")


@pytest.mark.parametrize("text", ["0", "0x68", "0X68", "68 65", "68\n", " 68", "6g", "６８", "68-65"])
def test_hex_in_any_other_form_is_refused(text: str) -> None:
    error = refusal(signing("68", text, content_type=HEX))
    assert error.code == "INVALID_PAYLOAD"
    assert str(error).startswith("message 2: not hex")


@pytest.mark.parametrize(
    "text",
    ["aGVsbG8", "aGVsbG8==", "aGVsbG9=", "aGVs bG8=", "aGVsbG8=\n", "-_8=", "====", "a", "=", "aGVsbG8=aA=="],
)
def test_base64_in_any_other_form_is_refused(text: str) -> None:
    error = refusal(signing(text, content_type=BASE64))
    assert error.code == "INVALID_PAYLOAD"
    assert str(error).startswith("message 1: not base64")


def test_text_that_utf_8_cannot_encode_is_refused() -> None:
    assert "UTF-8" in str(refusal(signing("half a pair: \ud800")))


@pytest.mark.parametrize("content_type", ["", "text/html", "TEXT/PLAIN", "text/plain; charset=utf-8"])
def test_an_unknown_content_type_is_refused_by_name(content_type: str) -> None:
    error = refusal(signing("x", content_type=content_type))
    assert error.code == "UNSUPPORTED_CONTENT_TYPE"
    assert repr(content_type) in str(error)


@pytest.mark.parametrize("name", Algorithm)
def test_the_algorithm_changes_nothing_about_the_message(name: Algorithm) -> None:
    assert messages(signing("x", algorithm=name)) == (b"x",)
    assert refusal(signing("ff71756f726174652f", content_type=HEX, algorithm=name)).code == "INTERNAL_MESSAGE"


def test_an_algorithm_goes_by_its_cose_name_alone() -> None:
    assert algorithm("EDDSA") is Algorithm.EDDSA
    for name in ("eddsa", "ED25519", "", "-8"):
        with pytest.raises(UsageError, match=f"algorithm '{name}' is not one of EDDSA, ES256K, ESKEC256"):
            algorithm(name)


def test_a_derivation_path_changes_nothing_about_the_message() -> None:
    assert messages(signing("x", path="m/0/5")) == messages(signing("x")) == (b"x",)


@pytest.mark.parametrize("content_type", [TEXT, HEX, BASE64])
def test_a_message_may_reach_the_limit_and_no_further(content_type: str) -> None:
    def written(message: bytes) -> str:
        if content_type == HEX:
            return message.hex()
        return base64.b64encode(message).decode() if content_type == BASE64 else message.decode()

    longest = b"m" * MAX_MESSAGE
    assert messages(signing(written(longest), content_type=content_type)) == (longest,)
    error = refusal(signing("", written(longest + b"m"), content_type=content_type))
    assert error.code == "MESSAGE_TOO_LONG"
    assert f"message 2 has {MAX_MESSAGE + 1} bytes" in str(error)


def test_the_limit_counts_bytes_not_characters() -> None:
    assert refusal(signing("ß" * (MAX_MESSAGE // 2 + 1))).code == "MESSAGE_TOO_LONG"


def test_a_batch_may_reach_the_limit_and_no_further() -> None:
    assert len(messages(signing(*["m"] * MAX_BATCH))) == MAX_BATCH
    for data in ([], ["m"] * (MAX_BATCH + 1)):
        assert refusal(signing(*data)).code == "BATCH_SIZE"


def test_a_request_may_reach_the_limit_of_all_messages_and_no_further() -> None:
    texts = ["ß" * (MAX_REQUEST // 8)] * 4
    assert len(messages(signing(*texts))) == 4
    error = refusal(signing(*texts, "m"))
    assert error.code == "REQUEST_TOO_LONG"
    assert str(MAX_REQUEST + 1) in str(error)


def test_typed_data_of_more_parts_than_a_node_hashes_in_its_stride_is_refused_unread() -> None:
    texts = ['{"values":[' + "0," * (MAX_PARTS // 2 - 2) + "0]}"] * 2
    for data, code in ((texts, "INVALID_PAYLOAD"), ([*texts, "{}"], "REQUEST_TOO_LONG")):
        asked = signing(*data, content_type=TYPED_DATA, algorithm=Algorithm.ESKEC256)
        assert refusal(asked).code == code


@pytest.mark.parametrize("tail", [b"", b"internal/v1\x00", b"anything"])
def test_an_internal_message_is_refused(tail: bytes) -> None:
    internal = b"\xffquorate/" + tail
    for content_type, text in ((HEX, internal.hex()), (BASE64, base64.b64encode(internal).decode())):
        assert refusal(signing("", text, content_type=content_type)).code == "INTERNAL_MESSAGE"


def test_what_only_resembles_an_internal_message_is_signed() -> None:
    for message in (b"quorate/internal/v1", b"\xffquorate", b"\x00\xffquorate/"):
        assert messages(signing(message.hex(), content_type=HEX)) == (message,)


def sign_request(data: Sequence[str]) -> Sign:
    return Sign(vault="a" * 24, epoch=0, certificate=bytes(32), signing=signing(*data))


@pytest.mark.parametrize("data", [(), ("shown", "hidden")])
def test_a_sign_request_holds_exactly_one_message(data: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="exactly one message"):
        sign_request(data)
    shown = encode(sign_request(("shown",)))
    more = shown.replace(encode(signing("shown")), encode(signing(*data)))
    assert more != shown
    with pytest.raises(EncodingError, match="exactly one message"):
        decode(Sign, more)
