"""A rebuilt key in the forms that other software takes. Each is a secret but for ``addresses``."""

from __future__ import annotations

import csv
import io
import json
import os
import uuid
from collections.abc import Iterable
from enum import StrEnum

import base58
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from quorate.curves import SecretScalar
from quorate.errors import UsageError
from quorate.identifiers import Curve
from quorate.operations.addresses import Chain, address, ethereum_account
from quorate.operations.derivation import ExtendedKey
from quorate.operations.digests import keccak256
from quorate.recovery.rebuild import Keys

_WIF, _COMPRESSED = b"\x80", b"\x01"
_XPRV = bytes.fromhex("0488ade4")
_SCRYPT_N = 1 << 18  # what go-ethereum takes for keys that are kept


class Form(StrEnum):
    """``hex``: 32 bytes, big-endian on secp256k1. ``scalar``: Ed25519's number, little-endian: no seed, so software
    that takes seeds can't use it."""

    HEX = "hex"
    WIF = "wif"
    KEYSTORE = "keystore"
    XPRV = "xprv"
    SCALAR = "scalar"
    ADDRESSES = "addresses"

    @property
    def curve(self) -> Curve | None:
        """``None``: of both."""
        match self:
            case Form.ADDRESSES:
                return None
            case Form.SCALAR:
                return Curve.ED25519
            case _:
                return Curve.SECP256K1

    @property
    def secret(self) -> bool:
        return self is not Form.ADDRESSES


def export(keys: Keys, form: Form, path: str = "", *, password: bytes | None = None) -> str:
    """The key at ``path`` as text, with a line end. ``password`` is for a keystore alone."""
    curve = form.curve
    if curve is None:
        return addresses(keys, [path or "m"])
    child, secret = keys.below(curve, path)
    with secret:
        match form:
            case Form.WIF:
                text = base58.b58encode_check(_WIF + secret.reveal() + _COMPRESSED).decode()
            case Form.KEYSTORE:
                text = keystore(secret, ethereum_account(child.public_key), password)
            case Form.XPRV:
                text = xprv(child, secret)
            case _:
                text = secret.reveal().hex()
    return text + "\n"


def keystore(secret: SecretScalar, account: bytes, password: bytes | None) -> str:
    """Ethereum's Web3 secret storage, version 3: AES-128-CTR under half of scrypt, and Keccak-256 of the other half and
    the ciphertext. Of OpenSSL's parts: the library for it brings a pairing curve into whatever installs it."""
    if not password:
        raise UsageError("a keystore has a password of its own: --keystore-password-file")
    salt, counter = os.urandom(32), os.urandom(16)
    derived = Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=8, p=1).derive(password)
    cipher = Cipher(AES(derived[:16]), CTR(counter)).encryptor()
    encrypted = cipher.update(secret.reveal()) + cipher.finalize()
    crypto = {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": counter.hex()},
        "ciphertext": encrypted.hex(),
        "kdf": "scrypt",
        "kdfparams": {"dklen": 32, "n": _SCRYPT_N, "r": 8, "p": 1, "salt": salt.hex()},
        "mac": keccak256(derived[16:] + encrypted).hex(),
    }
    made = {"version": 3, "id": str(uuid.uuid4()), "address": account.hex(), "crypto": crypto}
    return json.dumps(made, indent=2)


def xprv(child: ExtendedKey, secret: SecretScalar) -> str:
    """BIP-32's extended private key: with it every key below, which the vault's chain code made public anyway, is
    private no more."""
    place = bytes([child.depth]) + child.parent + child.number.to_bytes(4, "big")
    return base58.b58encode_check(_XPRV + place + child.chain_code + b"\0" + secret.reveal()).decode()


def addresses(keys: Keys, paths: Iterable[str]) -> str:
    """CSV: each path on each chain. Nothing in it is secret."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("path", "chain", "address", "public_key"))
    for path in paths:
        for chain in Chain:
            child, secret = keys.below(chain.curve, path)
            secret.wipe()
            rows.writerow((path, chain.value, address(chain, child.public_key), child.public_key.hex()))
    return out.getvalue()
