"""Recovery drills: keys out of backups alone, compared with what independent libraries make of them."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import random
from dataclasses import replace
from itertools import combinations

import coincurve
import msgspec
import pytest
from bip_utils import Bip32Slip10Secp256k1, P2WPKHAddrEncoder, SolAddrEncoder, WifDecoder
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_account import Account
from nacl.bindings import (
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
)

from quorate.curves import SECP256K1, group_of
from quorate.errors import Corrupt, UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.certificate import Certificate
from quorate.recovery.exports import Form, addresses, export
from quorate.recovery.rebuild import rebuild, require_key
from quorate.wire.simulator import devices
from tests.protocols.vaults import Vault, handed_over, roster_of, vault_of
from tests.recovery.files import held_by
from tests.rules import breaks

POOL = devices(7)


def drilled() -> list[Vault]:
    """A weighted vault after three reshares: growing, shrinking, disjoint."""
    line = [vault_of([3, 2, 1], 4)]
    for number, (weights, threshold) in enumerate(
        [({0: 3, 1: 2, 2: 1, 3: 4}, 6), ({0: 1, 3: 2}, 3), ({4: 2, 5: 3, 6: 2, 1: 1}, 5)]
    ):
        roster = roster_of({POOL[place]: weight for place, weight in weights.items()}, threshold)
        line.append(handed_over(line[-1], roster, seed=number))
    return line


LINE = drilled()
LAST = LINE[-1]


def quorums() -> list[tuple[DeviceId, ...]]:
    """All sets of the last roster that reach its threshold."""
    every = [each for size in range(1, 5) for each in combinations(LAST.devices, size)]
    return [each for each in every if LAST.record.sharing.reaches(each)]


def ed25519_signature(scalar: bytes, message: bytes) -> bytes:
    """RFC 8032 with a bare number for a key: any nonce does, once."""
    point = crypto_scalarmult_ed25519_base_noclamp(scalar)
    nonce = crypto_core_ed25519_scalar_reduce(hashlib.sha512(b"a nonce for a test" + message).digest())
    commitment = crypto_scalarmult_ed25519_base_noclamp(nonce)
    challenge = crypto_core_ed25519_scalar_reduce(hashlib.sha512(commitment + point + message).digest())
    return commitment + crypto_core_ed25519_scalar_add(
        nonce, crypto_core_ed25519_scalar_mul(challenge, scalar)
    )


@pytest.mark.parametrize("line", [LINE[:1], LINE[:2], LINE[:3], LINE], ids=["0", "1", "2", "3"])
def test_in_every_epoch_enough_backups_give_the_keys_the_vault_was_made_with(line: list[Vault]) -> None:
    keys = rebuild(held_by(line, line[-1].devices))
    for curve in Curve:
        public = bytes(keys.secrets[curve] * group_of(curve).generator)
        assert public == LINE[0].public_key(curve) == line[-1].public_key(curve)


@pytest.mark.parametrize("signers", quorums(), ids=lambda each: f"{len(each)}")
def test_every_set_that_reaches_the_threshold_gives_the_same_keys(signers: tuple[DeviceId, ...]) -> None:
    held = held_by(LINE, signers)
    random.Random(7).shuffle(held)
    keys = rebuild(held)
    assert keys.signers == tuple(sorted(signers))
    secret = bytes.fromhex(export(keys, Form.HEX))
    assert coincurve.PrivateKey(secret).public_key.format() == LAST.public_key(Curve.SECP256K1)


@breaks("BK-3.3")
def test_one_unit_of_weight_short_nothing_is_rebuilt_and_the_files_are_named() -> None:
    tried = 0
    for size in range(1, 5):
        for signers in combinations(LAST.devices, size):
            weight = LAST.record.sharing.weight_of(signers)
            if weight >= LAST.record.threshold:
                continue
            with pytest.raises(
                UsageError, match=rf"weight of {weight}, and the vault's threshold is 5"
            ) as refused:
                rebuild(held_by(LINE, signers))
            assert all(f"{signer}.backup" in str(refused.value) for signer in signers)
            tried += weight == LAST.record.threshold - 1
    assert tried


@breaks("BK-3.3")
def test_the_same_file_twice_counts_once() -> None:
    heavy = max(LAST.devices, key=lambda device: LAST.record.sharing.seat(device).weight)
    with pytest.raises(UsageError, match="weight of 3, and the vault's threshold is 5"):
        rebuild(held_by(LINE, [heavy, heavy]))


@breaks("BK-3.2")
def test_backups_of_different_epochs_are_never_mixed() -> None:
    old, new = held_by(LINE[:2], LINE[1].devices), held_by(LINE, LAST.devices)
    with pytest.raises(UsageError, match=r"BK-3\.2 one epoch.*--epoch"):
        rebuild([*old, *new])
    with pytest.raises(UsageError, match="none of these is of epoch 7"):
        rebuild([*old, *new], epoch=7)
    assert rebuild([*old, *new], epoch=1).secrets == rebuild([*old, *new], epoch=3).secrets


@breaks("BK-3.2")
def test_two_attempts_of_one_epoch_are_ambiguous_even_if_the_epoch_is_named() -> None:
    roster = roster_of({POOL[0]: 1, POOL[3]: 2}, 3)
    twin = handed_over(LINE[1], roster, seed=99, attempt=2)
    one, other = held_by(LINE[:3], LINE[2].devices), held_by([*LINE[:2], twin], twin.devices)
    with pytest.raises(
        UsageError, match=r"BK-3\.2 one epoch: these are backups of different epochs or attempts"
    ):
        rebuild([one[0], other[1]], epoch=2)


@breaks("BK-3.1")
def test_backups_of_different_vaults_are_never_mixed() -> None:
    mine = held_by(LINE, LAST.devices)
    record = msgspec.structs.replace(LAST.record, vault="elsewhere".ljust(24, "2"))
    other = Certificate(record=record, signatures=mine[0].certificates[-1].signatures)
    moved = replace(mine[0], certificates=(other,))
    with pytest.raises(UsageError, match=r"BK-3\.1 one vault"):
        rebuild([*mine, moved])


@breaks("BK-3.2")
def test_a_vault_of_the_same_name_made_anew_is_another_one() -> None:
    mine, anew = held_by(LINE[:1], LINE[0].devices), held_by([vault_of([1, 1], 2, seed=8)], POOL[:2])
    with pytest.raises(UsageError, match=r"BK-3\.2 one epoch"):
        rebuild([*mine, *anew], epoch=0)


@breaks("BK-3.4")
def test_a_number_that_is_not_the_private_key_is_never_handed_out() -> None:
    keys = rebuild(held_by(LINE, LAST.devices))
    secret = keys.secrets[Curve.SECP256K1]
    with pytest.raises(Corrupt, match=r"BK-3\.4 key"):
        require_key(secret + SECP256K1.scalar_of(1), LAST.public_key(Curve.SECP256K1), "secp256k1")


@pytest.mark.parametrize("path", ["", "m/0/5", "M/7"])
def test_recovered_keys_sign_for_the_vaults_addresses_under_independent_libraries(path: str) -> None:
    keys = rebuild(held_by(LINE, LAST.devices))
    rows = {row["chain"]: row for row in csv.DictReader(io.StringIO(addresses(keys, [path or "m"])))}

    xprv = Bip32Slip10Secp256k1.FromExtendedKey(export(keys, Form.XPRV, path).strip())
    secret = bytes.fromhex(export(keys, Form.HEX, path))
    assert xprv.PrivateKey().Raw().ToBytes() == secret
    account = Account.from_key(secret)
    assert account.address == rows["ethereum"]["address"]
    assert P2WPKHAddrEncoder.EncodeKey(xprv.PublicKey().KeyObject(), hrp="bc") == rows["bitcoin"]["address"]
    signature = coincurve.PrivateKey(secret).sign(b"funds")
    assert coincurve.PublicKey(bytes.fromhex(rows["bitcoin"]["public_key"])).verify(signature, b"funds")

    scalar = bytes.fromhex(export(keys, Form.SCALAR, path))
    public = bytes.fromhex(rows["solana"]["public_key"])
    assert crypto_scalarmult_ed25519_base_noclamp(scalar) == public
    Ed25519PublicKey.from_public_bytes(public).verify(ed25519_signature(scalar, b"funds"), b"funds")
    assert SolAddrEncoder.EncodeKey(public) == rows["solana"]["address"]


def test_children_of_the_recovered_xprv_are_the_vaults_children() -> None:
    keys = rebuild(held_by(LINE, LAST.devices))
    root = Bip32Slip10Secp256k1.FromExtendedKey(export(keys, Form.XPRV).strip())
    for path in ("m/1", "m/44/60/0"):
        child = root.DerivePath(path.removeprefix("m/"))
        assert child.PrivateKey().Raw().ToHex() == export(keys, Form.HEX, path).strip()
        assert child.ChainCode().ToHex() == keys.below(Curve.SECP256K1, path)[0].chain_code.hex()


def test_the_keystore_opens_with_eth_account_and_the_wif_is_bitcoins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorate.recovery.exports._SCRYPT_N", 1 << 10)  # the cost is in the file
    keys = rebuild(held_by(LINE, LAST.devices))
    stored = json.loads(export(keys, Form.KEYSTORE, password=b"for the keystore"))
    secret = bytes.fromhex(export(keys, Form.HEX))
    assert bytes(Account.decrypt(stored, "for the keystore")) == secret
    assert "0x" + stored["address"] == Account.from_key(secret).address.lower()
    with pytest.raises(ValueError, match="MAC"):
        Account.decrypt(stored, "another password")

    decoded, _ = WifDecoder.Decode(export(keys, Form.WIF).strip())
    assert decoded == secret


def test_a_keystore_without_a_password_is_refused() -> None:
    with pytest.raises(UsageError, match="--keystore-password-file"):
        export(rebuild(held_by(LINE, LAST.devices)), Form.KEYSTORE)
