"""``quorate-recover``: a vault's keys from enough of its backups. Offline; asks no node, opens no connection.

It prints no key unless told to, writes over no file, and what it writes only its owner can read.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from quorate.errors import QuorateError, UsageError
from quorate.operations.derivation import parse_path
from quorate.recovery.backup import Held, open_backup
from quorate.recovery.exports import Form, addresses, export
from quorate.recovery.files import backup_at, openers_of, secret_at, shares_at
from quorate.recovery.locks import key_to
from quorate.recovery.rebuild import of_one_epoch, rebuild

_LARGEST_RANGE = 1000


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
    except QuorateError as error:
        print(f"quorate-recover: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"quorate-recover: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def show(options: argparse.Namespace) -> None:
    """What files say of themselves."""
    for backup in map(backup_at, map(Path, options.files)):
        print(f"{backup.source}: {backup.label}, made {backup.label.made}; opens with {key_to(backup.lock)}")


def check(options: argparse.Namespace) -> None:
    """Opens each, and checks all that is in it."""
    held = _opened(options)
    for each in held:
        print(f"{each.source}: sound: {each.label}, weight {each.weight}")
    chosen = of_one_epoch(held, options.epoch)
    record = chosen[0].record
    weight = record.sharing.weight_of([each.device for each in chosen])
    enough = "enough" if weight >= record.threshold else "NOT enough"
    print(f"together a weight of {weight}, which is {enough}: the threshold is {record.threshold}")
    if record.epoch and chosen[0].certificates[0].record.epoch:
        print(f"the chain of certificates begins with epoch {chosen[0].certificates[0].record.epoch}, not 0")


def key(options: argparse.Namespace) -> None:
    """Rebuilds, compares, exports."""
    form = Form(options.export)
    _require_new(options)
    keys = rebuild(_opened(options), options.epoch)
    try:
        own = [public.public_key.hex() for public in keys.record.keys]
        if options.public_key and options.public_key.lower() not in own:
            raise UsageError(f"the vault's keys are {' and '.join(own)}: neither was named with --public-key")
        if form is Form.ADDRESSES and options.range:
            text = addresses(keys, _paths(options.path, options.range))
        else:
            file = options.keystore_password_file
            password = secret_at(Path(file)) if file else None
            text = export(keys, form, options.path, password=password and password.rstrip(b"\r\n"))
        name = keys.vault_name or keys.record.vault
        print(
            f"vault {name} ({keys.record.vault}), epoch {keys.record.epoch}, of {len(keys.signers)} signers' shares:",
            file=sys.stderr,
        )
        for public in keys.record.keys:
            print(f"  {public.curve} public key {public.public_key.hex()}: matches", file=sys.stderr)
        _deliver(text, form, options)
    finally:
        keys.wipe()


def _opened(options: argparse.Namespace) -> list[Held]:
    openers = openers_of(map(Path, options.passphrase_file or ()), map(Path, options.recovery_key or ()))
    return [open_backup(shares_at(Path(name)), openers) for name in options.files]


def _paths(path: str, text: str) -> list[str]:
    first, dots, last = text.partition("..")
    if not (dots and first.isascii() and last.isascii() and first.isdigit() and last.isdigit()):
        raise UsageError(f"--range: {text!r} is none; one looks like 0..19")
    numbers = range(int(first[:11]), int(last[:11]) + 1)
    if not 0 < len(numbers) <= _LARGEST_RANGE:
        raise UsageError(f"--range: 1 to {_LARGEST_RANGE} keys at a time")
    paths = [f"{path or 'm'}/{number}" for number in numbers]
    parse_path(paths[-1])
    return paths


def _require_new(options: argparse.Namespace) -> None:
    """Before anything is opened."""
    if bool(options.out) == bool(options.print):
        raise UsageError("where is it to go? --out FILE, or --print to show it on the screen")
    if options.out and Path(options.out).exists():
        raise UsageError(f"{options.out} exists: a key is not written over another file")


def _deliver(text: str, form: Form, options: argparse.Namespace) -> None:
    if options.print:
        sys.stdout.write(text)
        return
    handle = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "w") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
    except OSError:
        Path(options.out).unlink()  # part of a key is of no use, and a secret
        raise
    what = "PRIVATE KEY: whoever reads it can spend" if form.secret else "nothing secret"
    print(f"written to {options.out} ({what})", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quorate-recover", description="A vault's keys from enough of its backups, offline."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(run.__name__, help=text, description=text)
        made.set_defaults(run=run)
        made.add_argument("files", nargs="+", metavar="FILE", help="backups")
        return made

    def opening(made: argparse.ArgumentParser) -> None:
        made.add_argument(
            "--passphrase-file", action="append", metavar="FILE", help="may be repeated: each is tried"
        )
        made.add_argument(
            "--recovery-key",
            action="append",
            metavar="FILE",
            help="X25519 private key in PEM; may be repeated",
        )
        made.add_argument("--epoch", type=int, metavar="N", help="leave out backups of other epochs")

    command(show, "What files say of themselves, unopened.")
    opening(command(check, "Open each file and check all that is in it; nothing secret is shown."))
    rebuilt = command(key, "Rebuild the keys, compare them with the public keys, and export one.")
    opening(rebuilt)
    rebuilt.add_argument(
        "--export", required=True, choices=[form.value for form in Form], help="in which form"
    )
    rebuilt.add_argument(
        "--path", default="", help="of the key below the vault's own, such as m/0/5 [the vault's own]"
    )
    rebuilt.add_argument(
        "--range", metavar="FIRST..LAST", help="with --export addresses: one more step, each of these"
    )
    rebuilt.add_argument("--public-key", metavar="HEX", help="refuse a vault that has another one")
    rebuilt.add_argument("--keystore-password-file", metavar="FILE", help="with --export keystore")
    rebuilt.add_argument("--out", metavar="FILE", help="a new file, for its owner's eyes")
    rebuilt.add_argument("--print", action="store_true", help="to the screen instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
