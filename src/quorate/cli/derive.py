"""``quorate vault derive``: the keys below a vault's own, and where they are paid."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from quorate.ceremony.views import VaultView
from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.cli.views import rows
from quorate.errors import UsageError
from quorate.operations.addresses import Chain, address
from quorate.operations.derivation import ExtendedKey, derive, parse_path

MAX_KEYS = 1000
_RANGE = re.compile(r"([0-9]{1,10})\.\.([0-9]{1,10})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payee:
    """One key of a vault on one chain."""

    path: str
    chain: Chain
    key: ExtendedKey

    @property
    def address(self) -> str:
        return address(self.chain, self.key.public_key)

    def record(self, vault: str) -> dict[str, Any]:
        return {
            "vault": vault,
            "path": self.path,
            "chain": str(self.chain),
            "address": self.address,
            "curve": str(self.key.curve),
            "public_key": self.key.public_key.hex(),
            "xpub": self.key.xpub,
        }


def register(app: typer.Typer) -> None:
    @command(app, "derive")
    async def derive_(
        call: Call,
        vault: Annotated[str, typer.Argument(help="Name or id.")],
        path: Annotated[str, typer.Option("--path", help="Derivation path, such as m/0.")] = "m",
        range_: Annotated[
            str | None, typer.Option("--range", metavar="FIRST..LAST", help="One more step: each of these.")
        ] = None,
        chain: Annotated[
            list[Chain] | None, typer.Option("--chain", help="Only this chain; may be repeated.")
        ] = None,
    ) -> None:
        """Keys below a vault's own, and their addresses. Computed here, from public keys: no signer is asked."""
        paths = paths_of(path, range_)
        async with connect(call) as node:
            view = await node.vault(vault)
        payees = list(payees_of(view, paths, chain or tuple(Chain)))
        if call.output.json:
            for payee in payees:
                call.output.line(payee.record(view.id))
            return
        body = ((payee.path, str(payee.chain), payee.address, payee.key.public_key.hex()) for payee in payees)
        call.output.out.print(rows(("PATH", "CHAIN", "ADDRESS", "PUBLIC KEY"), body))


def payees_of(view: VaultView, paths: Iterable[str], chains: Sequence[Chain]) -> Iterator[Payee]:
    """Each path on each chain. ``UsageError`` for a vault that is not ready: what it is paid might be lost."""
    if view.state != "ready":
        raise UsageError(
            f"vault {view.name} is {view.state}, not ready: pay nothing to it before every signer has shown "
            "that it can sign",
            code="VAULT_NOT_READY",
        )
    for path in paths:
        for chain in dict.fromkeys(chains):
            key = derive(chain.curve, view.public_keys[chain.curve], view.chain_codes[chain.curve], path)
            yield Payee(path=path, chain=chain, key=key)


def paths_of(path: str, range_: str | None) -> list[str]:
    """The path, or with a range the path and each index of it. ``UsageError`` before a node is asked."""
    parent = path or "m"
    if range_ is None:
        paths = [parent]
    else:
        match = _RANGE.fullmatch(range_)
        if match is None:
            raise UsageError(f"--range {range_}: a range looks like 0..9")
        first, last = int(match[1]), int(match[2])
        if not 1 <= last - first + 1 <= MAX_KEYS:
            raise UsageError(f"--range {range_}: from the lesser to the greater, at most {MAX_KEYS} keys")
        paths = [f"{parent}/{index}" for index in range(first, last + 1)]
    for each in paths:
        parse_path(each)
    return paths
