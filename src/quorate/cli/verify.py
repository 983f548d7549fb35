"""``quorate verify``: does a signature hold? Offline, by the same libraries that nodes ask."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli.command import Call, command
from quorate.cli.sign import AlgorithmName, Base64s, Files, Hexes, Texts, algorithm_of, payload_of
from quorate.curves import group_of
from quorate.errors import EncodingError, UsageError
from quorate.identifiers import Curve
from quorate.operations.digests import signing_digest
from quorate.operations.kinds import Algorithm, SigningData
from quorate.operations.payload import messages
from quorate.operations.signatures import EcdsaSignature, compact_of_der
from quorate.primitives.verify import verify_ecdsa, verify_ed25519

KEY_SIZE = {Curve.ED25519: 32, Curve.SECP256K1: 33}
COMPACT = 64


def register(app: typer.Typer) -> None:
    command(app, "verify")(verify)


def verify(
    call: Call,
    public_key: Annotated[
        str,
        typer.Option("--public-key", metavar="HEX", help="EDDSA: 32 bytes; ECDSA: 33, a compressed point."),
    ],
    signature: Annotated[
        str, typer.Option("--signature", metavar="HEX", help="64 bytes; ECDSA: these, r then s, or DER.")
    ],
    text: Texts = None,
    hex_: Hexes = None,
    base64_: Base64s = None,
    file: Files = None,
    algorithm: AlgorithmName = Algorithm.EDDSA.value,
) -> None:
    """Check a signature, offline. Exit code 1 if it does not hold."""
    chosen = algorithm_of(algorithm)
    content_type, data = payload_of(text, hex_, base64_, file)
    read = messages(
        SigningData(data=tuple(data), content_type=content_type, algorithm=chosen, derivation_path="")
    )
    if len(read) != 1:
        raise UsageError(f"verify takes one message, not {len(read)}")
    key = key_of(chosen, bytes_of("--public-key", public_key))
    fault = fault_in(bytes_of("--signature", signature), chosen, key, read[0])
    if fault is None:
        call.output.show({"valid": True}, "[green]valid[/]")
    else:
        call.output.show({"valid": False, "why": fault}, f"[red]not valid[/]: {fault}")
        raise typer.Exit(1)


def fault_in(signature: bytes, algorithm: Algorithm, key: bytes, message: bytes) -> str | None:
    """Why a signature does not hold, or ``None`` if it does."""
    other = "it is not this key's signature of this message"
    if algorithm is Algorithm.EDDSA:
        if len(signature) != COMPACT:
            return f"an EDDSA signature has {COMPACT} bytes, not {len(signature)}"
        return None if verify_ed25519(key, message, signature) else other
    try:
        compact = signature if len(signature) == COMPACT else compact_of_der(signature)
        low = EcdsaSignature.of(compact, 0).is_low
    except EncodingError as error:
        return f"{len(signature)} bytes that are no ECDSA signature: {error}"
    if not low:
        return "s is above half the order; nodes and chains take the lower of the two"
    return None if verify_ecdsa(key, signing_digest(algorithm, message), compact) else other


def key_of(algorithm: Algorithm, key: bytes) -> bytes:
    size = KEY_SIZE[algorithm.curve]
    if len(key) != size:
        fitting = [str(each) for each in Algorithm if KEY_SIZE[each.curve] == len(key)]
        hint = f"; such a key goes with --algorithm {' or '.join(fitting)}" if fitting else ""
        raise UsageError(f"--public-key: {algorithm} has keys of {size} bytes, not {len(key)}{hint}")
    try:
        group_of(algorithm.curve).point(key)
    except EncodingError as error:
        raise UsageError(f"--public-key: not a key of {algorithm}: {error}") from None
    return key


def bytes_of(option: str, text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise UsageError(f"{option}: not hexadecimal") from None
