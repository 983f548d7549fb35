"""Where a key is paid: the address of a public key on each chain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

import base58
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from quorate.identifiers import Curve
from quorate.operations.digests import hash160, keccak256

_BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_CHECKSUM = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


class Chain(StrEnum):
    BITCOIN = "bitcoin"
    ETHEREUM = "ethereum"
    SOLANA = "solana"

    @property
    def curve(self) -> Curve:
        return Curve.ED25519 if self is Chain.SOLANA else Curve.SECP256K1


def address(chain: Chain, public_key: bytes) -> str:
    """The main-net address of a key of the chain's curve: 33 compressed bytes on secp256k1, 32 on Ed25519.

    ``ValueError`` for a key of another length or, where the address needs the point, that is no point.
    """
    size = 33 if chain.curve is Curve.SECP256K1 else 32
    if len(public_key) != size:
        raise ValueError(f"{chain}: {len(public_key)} bytes of key, not {size}")
    match chain:
        case Chain.BITCOIN:
            return segwit("bc", hash160(public_key))
        case Chain.ETHEREUM:
            return checksummed(ethereum_account(public_key))
        case Chain.SOLANA:
            return base58.b58encode(public_key).decode()


def segwit(prefix: str, program: bytes) -> str:
    """A witness program of version 0 in Bech32 (BIP-173); later versions have another checksum (BIP-350)."""
    data = [0, *_five_bits(program)]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    checksum = _polymod([*expanded, *data, *[0] * 6]) ^ 1
    data += [checksum >> shift & 31 for shift in range(25, -1, -5)]
    return f"{prefix}1{''.join(_BECH32[value] for value in data)}"


def ethereum_account(public_key: bytes) -> bytes:
    """The last 20 bytes of Keccak-256 over both coordinates of the point."""
    return keccak256(uncompressed(public_key)[1:])[-20:]


def uncompressed(public_key: bytes) -> bytes:
    """A secp256k1 key as 04 and both coordinates; ``ValueError`` for what is no point."""
    point = EllipticCurvePublicKey.from_encoded_point(SECP256K1(), public_key)
    return point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def checksummed(account: bytes) -> str:
    """An Ethereum account in hex, its case carrying a checksum (EIP-55)."""
    lower = account.hex()
    hashed = keccak256(lower.encode()).hex()
    return "0x" + "".join(c.upper() if int(h, 16) >= 8 else c for c, h in zip(lower, hashed, strict=False))


def account_of(text: str) -> bytes:
    """The 20 bytes of an Ethereum account: hex after 0x, all of one case or with the checksum of EIP-55, so that a
    mistyped one is found. ``ValueError`` for anything else."""
    if re.fullmatch(r"0x[0-9a-fA-F]{40}", text) is None:
        raise ValueError(f"{text!r} is no account: 0x and 40 hex digits")
    account = bytes.fromhex(text[2:])
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()) and text != checksummed(account):
        raise ValueError(f"{text} has the checksum of another account (EIP-55): mistyped?")
    return account


def _polymod(values: Iterable[int]) -> int:
    """The checksum of BIP-173 over values of 5 bits."""
    remainder = 1
    for value in values:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate(_CHECKSUM):
            if top >> bit & 1:
                remainder ^= generator
    return remainder


def _five_bits(data: bytes) -> list[int]:
    """The bits of ``data`` in groups of five, the last filled with zeros."""
    bits = "".join(f"{byte:08b}" for byte in data)
    return [int(bits[start : start + 5].ljust(5, "0"), 2) for start in range(0, len(bits), 5)]
