"""Keys below a vault's own, and extended public keys as wallets read them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import base58
import pytest
from bip_utils import Bip32KeyData, Bip32KeyIndex, Bip32Slip10Secp256k1
from hypothesis import given
from hypothesis import strategies as st

from quorate.curves import ED25519, SECP256K1, Group, group_of
from quorate.errors import UsageError
from quorate.identifiers import Curve
from quorate.operations import derivation
from quorate.operations.derivation import MAX_DEPTH, ExtendedKey, child, derive, parse_path, xpub
from tests.oracle.curve import Ed25519, Secp256k1
from tests.rules import breaks

SAMPLE = Path(__file__).parents[1] / "approval" / "samples" / "sign.json"
CODE = bytes.fromhex("0123456789abcdef" * 4)

# BIP-32, test vectors 1 and 2: every parent whose next step is not hardened, that step, and the child.
PUBLISHED = [
    (
        "xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
        1,
        "xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
    ),
    (
        "xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5",
        2,
        "xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
    ),
    (
        "xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
        1000000000,
        "xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
    ),
    (
        "xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB",
        0,
        "xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH",
    ),
    (
        "xpub6ASAVgeehLbnwdqV6UKMHVzgqAG8Gr6riv3Fxxpj8ksbH9ebxaEyBLZ85ySDhKiLDBrQSARLq1uNRts8RuJiHjaDMBU4Zn9h8LZNnBC5y4a",
        1,
        "xpub6DF8uhdarytz3FWdA8TvFSvvAh8dP3283MY7p2V4SeE2wyWmG5mg5EwVvmdMVCQcoNJxGoWaU9DCWh89LojfZ537wTfunKau47EL2dhHKon",
    ),
    (
        "xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL",
        2,
        "xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt",
    ),
]


def read(serialised: str) -> ExtendedKey:
    """A secp256k1 xpub as the key it is, wherever it stands."""
    raw = base58.b58decode_check(serialised)
    return ExtendedKey(
        curve=Curve.SECP256K1,
        point=SECP256K1.point(raw[45:]),
        chain_code=raw[13:45],
        tweak=SECP256K1.scalar_of(0),
        depth=raw[4],
        parent=raw[5:9],
        number=int.from_bytes(raw[9:13], "big"),
    )


def key_of(group: Group, secret: int) -> bytes:
    return bytes(group.scalar_of(secret) * group.generator)


def path_of(steps: list[int]) -> str:
    return "/".join(["m", *map(str, steps)])


# --- xpubs


def test_the_xpubs_of_the_published_sample_come_from_their_own_keys_and_chain_codes() -> None:
    secp, edwards = (c["xpub"] for c in json.loads(SAMPLE.read_text())["details"]["vault"]["curves"])
    for curve, published, size in ((Curve.SECP256K1, secp, 33), (Curve.ED25519, edwards, 32)):
        raw = base58.b58decode(published)
        assert xpub(curve, raw[78 - size : 78], raw[13:45]) == published


def test_an_xpub_is_the_78_bytes_of_bip_32_and_their_checksum() -> None:
    raw = base58.b58decode(xpub(Curve.ED25519, b"\x07" * 32, b"\x09" * 32))
    assert raw[:-4].hex() == "0488b21e" + "00" * 9 + "09" * 32 + "00" + "07" * 32
    assert raw[-4:] == hashlib.sha256(hashlib.sha256(raw[:-4]).digest()).digest()[:4]


def test_the_root_of_bip_32_test_vector_1() -> None:
    key = bytes.fromhex("0339a36013301597daef41fbe593a02cc513d0b55527ec2df1050e2e8ff49c85c2")
    chain_code = bytes.fromhex("873dff81c02f525623fd1fe5167eac3a55a049de3d314bb42ee227ffed37d508")
    published = (
        "xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8"
    )  # fmt: skip
    assert xpub(Curve.SECP256K1, key, chain_code) == published
    assert derive(Curve.SECP256K1, key, chain_code).xpub == published


@pytest.mark.parametrize(
    ("curve", "key", "chain_code"),
    [(Curve.SECP256K1, 32, 32), (Curve.ED25519, 33, 32), (Curve.ED25519, 31, 32), (Curve.SECP256K1, 33, 31)],
)
def test_a_key_or_chain_code_of_another_length_is_refused(curve: Curve, key: int, chain_code: int) -> None:
    with pytest.raises(ValueError, match=f"{curve}: {key} bytes of key and {chain_code} of chain code"):
        xpub(curve, bytes(key), bytes(chain_code))


# --- children


@pytest.mark.parametrize(("parent", "index", "published"), PUBLISHED)
def test_every_public_step_of_bip_32_test_vectors_1_and_2(parent: str, index: int, published: str) -> None:
    assert read(parent).xpub == parent
    assert child(read(parent), index).xpub == published


@given(
    secret=st.integers(1, SECP256K1.order - 1),
    code=st.binary(min_size=32, max_size=32),
    steps=st.lists(st.integers(0, 2**31 - 1), max_size=6),
)
def test_random_paths_on_secp256k1_are_those_of_another_library(
    secret: int, code: bytes, steps: list[int]
) -> None:
    public = key_of(SECP256K1, secret)
    derived = derive(Curve.SECP256K1, public, code, path_of(steps))
    theirs = Bip32Slip10Secp256k1.FromPublicKey(public, Bip32KeyData(chain_code=code))
    for step in steps:
        theirs = theirs.ChildKey(Bip32KeyIndex(step))
    assert derived.xpub == theirs.PublicKey().ToExtended()
    assert (derived.depth, derived.number) == (len(steps), steps[-1] if steps else 0)


def test_the_check_value_of_the_ed25519_scheme() -> None:
    secret = 0x9D61B19DEFFD5A60BA844AF492EC2CC44449C5697B326919703BAC031CAE7F60
    first = derive(Curve.ED25519, key_of(ED25519, secret), CODE, "m/0")
    assert first.public_key.hex() == "f0668f57fe91dd5ef7c83ef38754831e37116aedcaaaeb248e3c90005e6ea51c"


def test_an_ed25519_child_stands_in_its_xpub_as_a_root_of_its_own() -> None:
    derived = derive(Curve.ED25519, key_of(ED25519, 5), CODE, "m/7/8")
    assert derived.depth == 2
    assert derived.xpub == xpub(Curve.ED25519, derived.public_key, derived.chain_code)
    onwards = derive(Curve.ED25519, derived.public_key, derived.chain_code, "m/9")
    assert onwards.public_key == derive(Curve.ED25519, key_of(ED25519, 5), CODE, "m/7/8/9").public_key


@pytest.mark.parametrize(("group", "oracle"), [(SECP256K1, Secp256k1()), (ED25519, Ed25519())])
def test_the_tweak_is_the_sum_of_every_step_s_delta(group: Group, oracle: Secp256k1 | Ed25519) -> None:
    public, code, total = key_of(group, 1234), CODE, 0
    for index in (0, 2**31 - 1, 44):
        stretched = derivation.expand(code, public, index)
        total += oracle.number(stretched[:32])
        public, code = key_of(group, 1234 + total), stretched[32:]
    derived = derive(group.curve, key_of(group, 1234), CODE, f"m/0/{2**31 - 1}/44")
    assert (derived.public_key, derived.chain_code) == (public, code)
    assert int(derived.tweak) == total % oracle.q
    assert derive(group.curve, key_of(group, 1234), CODE).tweak.is_zero()


@pytest.mark.parametrize("curve", Curve)
def test_the_longest_path_is_followed(curve: Curve) -> None:
    assert derive(curve, key_of(group_of(curve), 3), CODE, "m" + "/0" * MAX_DEPTH).depth == MAX_DEPTH


def expanding_to(monkeypatch: pytest.MonkeyPatch, left: int, group: Group) -> None:
    monkeypatch.setattr(derivation, "expand", lambda *_: left.to_bytes(32, group.byteorder) + bytes(32))


def refusal(key: ExtendedKey) -> UsageError:
    with pytest.raises(UsageError) as refused:
        child(key, 9)
    return refused.value


@breaks("OP-2.1")
@pytest.mark.parametrize("excess", [0, 1])
def test_a_step_of_the_order_or_more_is_no_key_on_secp256k1(
    excess: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expanding_to(monkeypatch, SECP256K1.order + excess, SECP256K1)
    refused = refusal(derive(Curve.SECP256K1, key_of(SECP256K1, 3), CODE))
    assert str(refused).startswith("OP-2.1 range: child 9")
    assert refused.code == "NO_SUCH_KEY"


def test_a_step_above_the_order_is_reduced_on_ed25519(monkeypatch: pytest.MonkeyPatch) -> None:
    expanding_to(monkeypatch, ED25519.order + 2, ED25519)
    reduced = child(derive(Curve.ED25519, key_of(ED25519, 3), CODE), 9)
    assert (reduced.public_key, int(reduced.tweak)) == (key_of(ED25519, 5), 2)


@breaks("OP-2.2")
@pytest.mark.parametrize(("group", "left"), [(SECP256K1, 0), (ED25519, 0), (ED25519, ED25519.order)])
def test_a_step_of_zero_is_refused(group: Group, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expanding_to(monkeypatch, left, group)
    refused = refusal(derive(group.curve, key_of(group, 3), CODE))
    assert str(refused).startswith("OP-2.2 zero: child 9")
    assert refused.code == "NO_SUCH_KEY"


@breaks("OP-2.3")
@pytest.mark.parametrize("group", [SECP256K1, ED25519])
def test_a_child_that_is_the_identity_is_refused(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    expanding_to(monkeypatch, group.order - 3, group)
    refused = refusal(derive(group.curve, key_of(group, 3), CODE))
    assert str(refused).startswith("OP-2.3 identity: child 9")
    assert refused.code == "NO_SUCH_KEY"


# --- paths


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("", ()),
        ("m", ()),
        ("M", ()),
        ("m/0", (0,)),
        ("M/0/5", (0, 5)),
        ("m/2147483647/44", (2147483647, 44)),
    ],
)
def test_a_path_is_read_from_the_root_down(path: str, steps: tuple[int, ...]) -> None:
    assert parse_path(path) == steps


@breaks("OP-1.1")
@pytest.mark.parametrize(
    "path",
    [" ", "/", "0", "0/1", "/0", "m/", "m//0", "m/0/", "n/0", "mm/0", "m0", "m/00", "m/01", "m/-1", "m/+1", "m/0x1",
     "m/1 ", " m/1", "m/1\n", "m/1.0", "m/１", "m/*", "m/a", "m/'", "m\\0", "m/1_0", "m/0''", "x" * 10**6],
)  # fmt: skip
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match=r"^OP-1\.1 path: ") as refused:
        parse_path(path)
    assert refused.value.code == "INVALID_DERIVATION"
    assert len(str(refused.value)) < 600


@breaks("OP-1.2")
@pytest.mark.parametrize(
    "path", ["m/0'", "m/44'/0", "m/0h", "m/0H", "M/1/2'", "m/2147483648", "m/4294967296", "m/" + "9" * 5000]
)
def test_a_hardened_step_is_refused_as_such(path: str) -> None:
    with pytest.raises(UsageError, match=r"^OP-1\.2 hardened: ") as refused:
        parse_path(path)
    assert refused.value.code == "HARDENED_DERIVATION"
    assert len(str(refused.value)) < 200


@breaks("OP-1.3")
def test_a_path_of_256_steps_is_refused() -> None:
    assert len(parse_path("m" + "/1" * 255)) == 255
    with pytest.raises(UsageError, match=r"^OP-1\.3 depth: .* 256 steps; at most 255") as refused:
        parse_path("m" + "/1" * 256)
    assert refused.value.code == "DERIVATION_TOO_DEEP"


@given(st.text(alphabet="mM/0123456789'hH -+", max_size=24))
def test_every_text_is_a_path_or_refused(path: str) -> None:
    try:
        steps = parse_path(path)
    except UsageError:
        return
    assert path in ("", *(f"{root}{path_of(list(steps))[1:]}" for root in "mM"))
