"""``quorate rewrap``: another source for the key of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.command import Call, command
from quorate.cli.output import escape
from quorate.errors import UsageError
from quorate.node import founding


def register(app: typer.Typer) -> None:
    @command(app, "rewrap")
    def rewrap(
        call: Call,
        passphrase_file: Annotated[
            Path | None, typer.Option("--to-passphrase-file", help="Holds the passphrase from now on.")
        ] = None,
        key_file: Annotated[
            Path | None,
            typer.Option("--to-key-file", help="Holds 32 random bytes; made if it does not exist."),
        ] = None,
        kms: Annotated[
            str,
            typer.Option("--to-kms", metavar="KEY", help="Id, ARN or alias of a symmetric key in AWS KMS."),
        ] = "",
        region: Annotated[
            str, typer.Option("--region", help="Of that key, where the environment does not say.")
        ] = "",
        endpoint: Annotated[str, typer.Option("--endpoint", help="Of KMS, where it is not AWS's own.")] = "",
    ) -> None:
        """Lock the store of a node that does not run with another passphrase, key file or KMS key. Change [key] in
        quorate.toml afterwards. Old copies of the store go on opening with the old key."""
        if sum(map(bool, (passphrase_file, key_file, kms))) != 1:
            raise UsageError("give one of --to-passphrase-file, --to-key-file and --to-kms")
        wanted = {
            "passphrase_file": str(passphrase_file.absolute()) if passphrase_file else "",
            "key_file": str(key_file.absolute()) if key_file else "",
            "kms_key_id": kms,
            "region": region,
            "endpoint": endpoint,
        }
        wanted = {name: value for name, value in wanted.items() if value}
        with call.output.progress("wrapping the keys of the store anew"):
            count = founding.rewrap(call.home, wanted)
        settings = [f"{name} = {founding.quoted(value)}" for name, value in wanted.items()]
        call.output.show(
            {"values": count, "key": wanted},
            f"{count} values are under the new key. In {escape(str(call.home / 'quorate.toml'))}, or wherever it is"
            " set, \\[key] has to be\n" + "\n".join(f"  [bold]{escape(line)}[/]" for line in settings),
        )
        call.output.note(
            "Backups keep the locks they have. Copies of the disk from before still open with the old key: destroy"
            " those, or the key. Where somebody may have both, make new shares: `quorate vault refresh`."
        )
