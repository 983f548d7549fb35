"""``quorate sign``, ``batch-sign`` and ``sign-each``."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.cli.command import Body, Call, command
from quorate.cli.connection import connect
from quorate.cli.manner import Manner
from quorate.cli.views import operation_record, operation_text
from quorate.errors import UsageError
from quorate.operations import payload
from quorate.operations.kinds import Algorithm, SigningData

TEXT = "text/plain"
AT_ONCE = 16  # operations under way, of many that are asked for apart
PERSONAL, TYPED_DATA = payload.PERSONAL, payload.TYPED_DATA
HEX = "application/octet-stream+hex"
BASE64 = "application/octet-stream+base64"

Texts = Annotated[list[str] | None, typer.Option("--text", help="The message as text.")]
Hexes = Annotated[list[str] | None, typer.Option("--hex", help="The message in hexadecimal.")]
Base64s = Annotated[list[str] | None, typer.Option("--base64", help="The message in base64.")]
Personals = Annotated[
    list[str] | None,
    typer.Option("--personal", help="A text that an Ethereum wallet would sign (EIP-191); ESKEC256."),
]
TypedData = Annotated[
    list[Path] | None,
    typer.Option("--typed-data", help="A file of typed data as JSON (EIP-712); ESKEC256."),
]
Files = Annotated[list[Path] | None, typer.Option("--file", help="A file whose bytes are the message.")]
AlgorithmName = Annotated[
    str,
    typer.Option(
        "--algorithm",
        "--alg",
        metavar="NAME",
        help="EDDSA (Ed25519), or ECDSA on secp256k1: ES256K of the message's SHA-256, ESKEC256 of its Keccak-256, "
        "as Ethereum signs.",
    ),
]
Der = Annotated[bool, typer.Option("--der", help="Show ECDSA signatures in DER.")]


def register(app: typer.Typer) -> None:
    command(app, "sign", "Sign one message, once enough weight approves.")(asking(batch=False))
    command(app, "batch-sign", "Sign several messages in one ceremony: all or none.")(asking(batch=True))
    command(app, "sign-each", "Sign several messages, of which each is approved or refused by itself.")(
        asking(apart=True)
    )


def asking(*, batch: bool = False, apart: bool = False) -> Body[...]:
    """``apart``: an operation for each message."""

    async def ask(
        call: Call,
        vault: Annotated[str, typer.Option("--vault", help="Name or id.")],
        text: Texts = None,
        hex_: Hexes = None,
        base64_: Base64s = None,
        file: Files = None,
        personal: Personals = None,
        typed_data: TypedData = None,
        algorithm: AlgorithmName = Algorithm.EDDSA.value,
        path: Annotated[str, typer.Option("--path", help="Derivation path, such as m/0/5.")] = "",
        der: Der = False,
        *,
        manner: Manner,
    ) -> None:
        content_type, data = payload_of(text, hex_, base64_, file, personal, typed_data)
        chosen = algorithm_of(algorithm)
        if der and chosen is Algorithm.EDDSA:
            raise UsageError("--der: EDDSA signatures have no such form; it is for ES256K and ESKEC256")
        if der and not manner.wait:
            raise UsageError(
                "--der: there is no signature yet; add --wait, or use `quorate operation show --der`"
            )
        signing = SigningData(
            data=tuple(data), content_type=content_type, algorithm=chosen, derivation_path=path
        )
        if apart:
            payload.messages(signing)  # nothing is asked for if one of them does not read
        requests = [((each,), f"{manner.key}/{number}") for number, each in enumerate(data)]
        few = asyncio.Semaphore(AT_ONCE)
        async with connect(call) as node:
            with call.output.progress("asking for a signature") as tell:

                async def one(items: Sequence[str], own_key: str) -> OperationView:
                    async with few:
                        view = await node.sign(
                            vault=vault,
                            data=items,
                            batch=batch,
                            content_type=content_type,
                            algorithm=chosen.value,
                            derivation_path=path,
                            idempotency_key=own_key,
                            expires_in_ms=manner.expires_in_ms,
                        )
                        return await manner.waited(node, view, tell)

                wanted = requests if apart else [(data, manner.key)]
                outcomes = await asyncio.gather(*(one(*each) for each in wanted), return_exceptions=True)
        views = [each for each in outcomes if isinstance(each, OperationView)]
        for view in views:
            call.output.show(operation_record(view, der=der), operation_text(view, der=der))
        for failure in outcomes:
            if isinstance(failure, BaseException):
                if apart:
                    call.output.note(
                        f"asked again with --idempotency-key {manner.key}, only what is left is done"
                    )
                raise failure
        unsigned = [number for number, view in enumerate(views) if view.state is not State.COMPLETED]
        if manner.wait and apart:
            call.output.note(f"{len(views) - len(unsigned)} of {len(views)} signed")
        if manner.wait and unsigned:
            raise typer.Exit(1)

    return ask


def algorithm_of(name: str) -> Algorithm:
    """In either case: ``--algorithm es256k`` is meant well."""
    return payload.algorithm(name.upper())


def payload_of(
    text: Sequence[str] | None,
    hex_: Sequence[str] | None,
    base64_: Sequence[str] | None,
    file: Sequence[Path] | None,
    personal: Sequence[str] | None = None,
    typed_data: Sequence[Path] | None = None,
) -> tuple[str, list[str]]:
    """The content type and the payloads of the one form that was used."""
    forms = {
        "--text": (TEXT, list(text or ())),
        "--hex": (HEX, list(hex_ or ())),
        "--base64": (BASE64, list(base64_ or ())),
        "--file": (BASE64, [base64.b64encode(path.read_bytes()).decode() for path in file or ()]),
        "--personal": (PERSONAL, list(personal or ())),
        "--typed-data": (TYPED_DATA, [_text(path) for path in typed_data or ()]),
    }
    used = [form for form, (_, data) in forms.items() if data]
    if len(used) != 1:
        given = " and ".join(used) or "none"
        raise UsageError(f"give the message as one of {', '.join(forms)}; given: {given}")
    return forms[used[0]]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path}: not text in UTF-8") from None
