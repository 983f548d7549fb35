"""``quorate vault``: history, and verify-history, which needs no node."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.cli.command import Call, command
from quorate.cli.connection import connect
from quorate.cli.output import escape
from quorate.cli.views import rows
from quorate.errors import EncodingError, UsageError
from quorate.protocols.certificate import Certificate, EpochRecord
from quorate.protocols.history import check_line, line_of
from quorate.wire.codec import decode

LARGEST = 256 << 20  # bytes of a file


def register(app: typer.Typer) -> None:
    @command(app, "history")
    async def history(call: Call, vault: Annotated[str, typer.Argument(help="Name or id.")]) -> None:
        """The epochs of a vault. With --json also their certificates: a file for verify-history."""
        async with connect(call) as node:
            shown = await node.history(vault)
            names = dict(await _names(call))
        certificates, forks = ([read(each) for each in part] for part in (shown.certificates, shown.forks))
        if call.output.json:
            call.output.line(
                {
                    "vault": certificates[0].record.vault if certificates else vault,
                    "epochs": [epoch_record(each.record) for each in certificates],
                    "certificates": [each.hex() for each in shown.certificates],
                    "forks": [
                        {
                            **epoch_record(each.record),
                            "signers_of_both": signers_of_both(each, certificates),
                            "evidence": encoded.hex(),
                        }
                        for each, encoded in zip(forks, shown.forks, strict=True)
                    ],
                }
            )
            return
        body = [epoch_row(each.record, names) for each in certificates]
        call.output.out.print(
            rows(("EPOCH", "ATTEMPT", "THRESHOLD", "SIGNERS", "DEALT BY", "CERTIFICATE"), body)
        )
        for each in forks:
            both = ", ".join(
                escape(names.get(device, device)) for device in signers_of_both(each, certificates)
            )
            call.output.out.print(
                f"[red]FORK[/]: another epoch {each.record.epoch}, attempt {each.record.attempt}, was shown and"
                f" refused: {each.record.hash.hex()}; signed, like one above, by {both or 'nobody of these'}"
            )

    @command(app, "verify-history")
    async def verify_history(
        call: Call,
        source: Annotated[
            str,
            typer.Argument(metavar="FILE|VAULT", help="A file of `vault history --json`, or a vault here."),
        ],
    ) -> None:
        """Check the chain of a vault's certificates: every signature, who dealt, and that the keys stayed. A file is
        checked offline."""
        shown = from_file(Path(source))
        if shown is None:
            async with connect(call) as node:
                shown = (await node.history(source)).certificates
        chain = line_of([read(each) for each in shown])
        check_line(chain)
        first, last = chain[0].record, chain[-1].record
        record = {
            "valid": True,
            "complete": first.epoch == 0,
            "vault": last.vault,
            "from_epoch": first.epoch,
            "to_epoch": last.epoch,
            "certificate": last.hash.hex(),
            "public_keys": {str(key.curve): key.public_key.hex() for key in last.keys},
        }
        text = (
            f"[green]valid[/]: vault {last.vault}, epochs {first.epoch} to {last.epoch}, under the same keys"
        )
        if first.epoch:
            text += (
                f"\n[yellow]what came before epoch {first.epoch} is not in it[/]: ask a signer that was there"
            )
        call.output.show(record, text)


async def _names(call: Call) -> Sequence[tuple[str, str]]:
    """Of the devices whose cards the node has, where we may ask for them."""
    from quorate.rpc.failures import RemoteError

    try:
        async with connect(call) as node:
            return [(peer.device, peer.name) for peer in await node.peers()]
    except RemoteError:
        return []


def from_file(path: Path) -> Sequence[bytes] | None:
    """None if there is no such file."""
    if not path.is_file():
        return None
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(f"{path} is over {LARGEST >> 20} MiB: no history is so long")
        fields = json.loads(path.read_text())
        return [bytes.fromhex(each) for each in fields["certificates"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no file of `quorate vault history --json`: {error}") from None


def read(shown: bytes) -> Certificate:
    try:
        return decode(Certificate, shown)
    except EncodingError as error:
        raise UsageError(
            f"what is no certificate stands in the history: {error}", code="BAD_CERTIFICATE"
        ) from None


def signers_of_both(fork: Certificate, certificates: Sequence[Certificate]) -> list[str]:
    """The devices that signed it, and also an epoch in whose place it would stand, under the same identity key."""
    record = fork.record
    beside = [
        each.record for each in certificates
        if each.record.epoch == record.epoch
        and (each.record.attempt == record.attempt or each.record.previous != record.previous)
    ]  # fmt: skip
    return sorted({device for each in beside for device, _ in each.signers.items() & record.signers.items()})


def epoch_record(record: EpochRecord) -> dict[str, Any]:
    return {
        "epoch": record.epoch,
        "attempt": record.attempt,
        "threshold": record.threshold,
        "signers": [{"id": place.device, "weight": place.weight} for place in record.roster],
        "dealers": [dealer.device for dealer in record.dealers],
        "certificate": record.hash.hex(),
        "previous": record.previous.hex(),
    }


def epoch_row(record: EpochRecord, names: dict[str, str]) -> tuple[str, ...]:
    def named(device: str) -> str:
        return escape(names.get(device, device))

    total = sum(place.weight for place in record.roster)
    return (
        str(record.epoch),
        str(record.attempt),
        f"{record.threshold} of {total}",
        ", ".join(f"{named(place.device)} {place.weight}" for place in record.roster),
        ", ".join(named(dealer.device) for dealer in record.dealers) or "everybody",
        record.hash.hex(),
    )
