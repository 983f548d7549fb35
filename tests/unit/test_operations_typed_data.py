"""EIP-712, against the example of the standard and eth-account."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.errors import UsageError
from quorate.operations.digests import keccak256
from quorate.operations.transactions.typed_data import MAX_DEPTH, MAX_TYPES, read
from tests.rules import breaks

PERSON = [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}]
DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
MAIL: dict[str, Any] = {
    "types": {
        "EIP712Domain": DOMAIN,
        "Person": PERSON,
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}


def used(document: dict[str, Any]) -> set[str]:
    """The structs that the message is made of: eth-account takes no others."""
    found, waiting = set[str](), [document["primaryType"]]
    while waiting:
        name = waiting.pop().partition("[")[0]
        if name in document["types"] and name not in found:
            found.add(name)
            waiting += [field["type"] for field in document["types"][name]]
    return found


def theirs(document: dict[str, Any]) -> bytes:
    full = copy.deepcopy(document)
    full["types"] = {name: full["types"][name] for name in ("EIP712Domain", *used(document))}
    signable = encode_typed_data(full_message=full)
    return b"\x19" + signable.version + signable.header + signable.body


def with_value(kind: str, value: Any, **more: Any) -> dict[str, Any]:
    types = {"EIP712Domain": DOMAIN, "Person": PERSON, "Order": [{"name": "value", "type": kind}], **more}
    return {"types": types, "primaryType": "Order", "domain": MAIL["domain"], "message": {"value": value}}


def test_the_standard_s_example_hashes_to_what_it_publishes() -> None:
    data = read(json.dumps(MAIL))
    assert data.encoded_type("Mail") == (
        "Mail(Person from,Person to,string contents)Person(string name,address wallet)"
    )
    digest = "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    assert keccak256(data.signed_bytes).hex() == digest
    assert data.signed_bytes == theirs(MAIL)


def test_a_domain_alone_is_signed_without_a_message() -> None:
    document = {**MAIL, "primaryType": "EIP712Domain", "message": {}}
    assert len(read(json.dumps(document)).signed_bytes) == 34


# --- random types and values ------------------------------------------------------------------------------------

ATOMS: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "address": st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex()),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
    "bytes": st.binary(max_size=40).map(lambda data: "0x" + data.hex()),
    **{
        f"bytes{n}": st.binary(min_size=n, max_size=n).map(lambda data: "0x" + data.hex()) for n in (1, 4, 32)
    },
    **{f"uint{n}": st.integers(0, 2**n - 1) for n in (8, 160, 256)},
    **{f"int{n}": st.integers(-(2 ** (n - 1)), 2 ** (n - 1) - 1) for n in (8, 64, 256)},
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A few structs, each of atoms, of earlier structs, and of lists of either; and a message of the last one."""
    values = dict(ATOMS)
    types: dict[str, Any] = {"EIP712Domain": DOMAIN}
    for number in range(draw(st.integers(1, 4))):
        fields: list[dict[str, str]] = []
        made: dict[str, st.SearchStrategy[Any]] = {}
        for place in range(draw(st.integers(1, 4))):
            base = draw(st.sampled_from(sorted(values)))
            kind, value = base, values[base]
            for size in draw(st.lists(st.sampled_from([None, 0, 1, 2]), max_size=2)):
                # eth-account hashes an empty list in a list as an empty text; the standard has it as no bytes at all.
                least, most = (1, 2) if size is None else (max(size, 1), max(size, 1))
                kind += "[]" if size is None else f"[{most}]"
                value = st.lists(value, min_size=least, max_size=most)
            fields.append({"name": f"f{place}", "type": kind})
            made[f"f{place}"] = value
        types[f"T{number}"] = fields
        values[f"T{number}"] = st.fixed_dictionaries(made)
    primary = max(types)
    return {
        "types": types,
        "primaryType": primary,
        "domain": MAIL["domain"],
        "message": draw(values[primary]),
    }


@given(documents())
@settings(max_examples=60)
def test_random_typed_data_is_eth_account_s(document: dict[str, Any]) -> None:
    assert read(json.dumps(document)).signed_bytes == theirs(document)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("uint256", 2**255, str(2**255)),
        ("uint256", 26, "0x1a"),
        ("int8", -3, "-3"),
        ("address", MAIL["message"]["to"]["wallet"], MAIL["message"]["to"]["wallet"].lower()),
        ("bytes", "0xAB", "0xab"),
    ],
)
def test_one_value_may_be_written_in_two_ways(kind: str, one: Any, other: Any) -> None:
    signed = {read(json.dumps(with_value(kind, value))).signed_bytes for value in (one, other)}
    assert signed == {theirs(with_value(kind, one))}


def test_a_type_may_refer_to_itself_and_ends_at_null() -> None:
    node = [{"name": "id", "type": "uint8"}, {"name": "next", "type": "Node"}]
    document = with_value("Node", {"id": 1, "next": {"id": 2, "next": None}}, Node=node)
    assert read(json.dumps(document)).signed_bytes == theirs(document)


# --- refusals -----------------------------------------------------------------------------------------------------


def changed(path: str, value: Any) -> str:
    document = copy.deepcopy(MAIL)
    *ways, last = path.split("/")
    part: Any = document
    for way in ways:
        part = part[int(way) if way.isdigit() else way]
    part[int(last) if last.isdigit() else last] = value
    return json.dumps(document)


@breaks("OP-5.1")
@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        ("message/cc", "Eve", r"message: Mail has no cc: it would be shown, and not signed"),
        ("message/from", {"name": "Cow"}, r"message\.from: Person without wallet"),
        ("message/from", None, r""),
        ("message/contents", 5, r"message\.contents: a text"),
        ("message/contents", "\ud800", r"message\.contents: not text"),
        ("message/to/wallet", "0xbB", r"message\.to\.wallet: '0xbB' is no account"),
        (
            "message/to/wallet",
            "0xBBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB",
            r"message\.to\.wallet: .* mistyped",
        ),
        ("message/to", [1], r"message\.to: a Person is an object"),
        ("domain/chainId", -1, r"domain\.chainId: -1 is no uint256"),
        ("domain/chainId", 2**256, r"is no uint256"),
        ("domain/chainId", True, r"is no integer"),
        ("domain/chainId", "01", r"is no integer"),
        ("domain/chainId", 1.0, r"not JSON: 1\.0 is no integer"),
        ("domain/salt", "0x00", r"domain: EIP712Domain has no salt"),
        ("domain", [], r"domain: an object"),
        ("message", None, r"message: an object"),
        ("primaryType", "Letter", r"primaryType: 'Letter' is not one of the types"),
        ("primaryType", "EIP712Domain", r"message: nothing of it is signed"),
        ("types/EIP712Domain", [], r"EIP712Domain: some of"),
        ("types/EIP712Domain/0/type", "bytes", r"EIP712Domain: some of"),
        ("types/Mail/0/type", "Persona", r"Mail\.from: 'Persona' is no type"),
        ("types/Mail/0/type", "uint7", r"is no type"),
        ("types/Mail/0/type", "uint264", r"is no type"),
        ("types/Mail/0/type", "bytes33", r"is no type"),
        ("types/Mail/0/type", "Person[-1]", r"is no type"),
        ("types/Mail/0/type", "Person" + "[]" * 100, r"more than 200 characters"),
        ("types/Mail/0/name", "a b", r"'a b' is no name for a field"),
        ("types/Mail/1/name", "from", r"Mail: two fields of one name"),
        ("types/Mail/0", {"name": "from", "type": "Person", "note": ""}, r"name and type"),
        ("types/Mail", {}, r"Mail: a list of fields"),
        ("types/bytes4", [], r"'bytes4' is no name for a struct"),
        ("types/A(uint8 b)", [], r"is no name for a struct"),
        ("types", {"Mail": []}, r"no EIP712Domain"),
        ("extra", 1, r"document: an object of exactly"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_by_name(path: str, value: Any, why: str) -> None:
    if path == "message/from" and value is None:
        assert read(changed(path, value)).signed_bytes  # as wallets have it: nobody
        return
    with pytest.raises(UsageError, match=rf"^OP-5\.1 typed data: .*{why}") as refused:
        read(changed(path, value))
    assert refused.value.code == "INVALID_PAYLOAD"


@breaks("OP-5.1")
@pytest.mark.parametrize(
    ("kind", "value", "why"),
    [
        ("uint8[2]", [1], r"message\.value: 1 items in uint8\[2\]"),
        ("uint8[]", {"0": 1}, r"message\.value: uint8\[\] is a list"),
        ("uint8[]", [1, 256], r"message\.value\[1\]: 256 is no uint8"),
        ("int8", 128, r"128 is no int8"),
        ("bool", 1, r"true or false"),
        ("bool", "true", r"true or false"),
        ("bytes4", "0x000000", r"3 bytes in bytes4"),
        ("bytes", "text", r"bytes are hex after 0x"),
        ("bytes", "0xabc", r"bytes are hex after 0x"),
        ("string", None, r"a text"),
        ("uint8" + "[1]" * (MAX_DEPTH + 1), json.loads("[" * 33 + "1" + "]" * 33), r"levels deep"),
    ],
)
def test_a_value_that_is_not_of_its_type_is_refused(kind: str, value: Any, why: str) -> None:
    with pytest.raises(UsageError, match=rf"^OP-5\.1 typed data: .*{why}"):
        read(json.dumps(with_value(kind, value)))


@breaks("OP-5.1")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '"text"',
        "NaN",
        "[" * 100_000,
        '{"types": ' * 100_000,
        json.dumps(MAIL)[:-1] + ', "message": {}}',  # which of the two?
        json.dumps(MAIL).replace('"chainId": 1', '"chainId": 1, "chainId": 5'),
        json.dumps(MAIL).replace('"chainId": 1', '"chainId": 1e0'),
        json.dumps(MAIL).replace('"chainId": 1', '"chainId": Infinity'),
        json.dumps(with_value("uint8", 1, **{f"T{n}": [] for n in range(MAX_TYPES)})),
    ],
)
def test_what_is_not_one_json_document_of_typed_data_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^OP-5\.1 typed data: "):
        read(text)
