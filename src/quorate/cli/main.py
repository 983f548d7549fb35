"""The ``quorate`` command: every noun, and the one place where errors become a line and an exit code.

0 done, 1 failed or denied, 2 the command line or the request is wrong.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from importlib import import_module

import typer

from quorate.cli.command import common
from quorate.cli.output import Output
from quorate.errors import QuorateError, UsageError

ALONE = {
    "init": "init",
    "run": "node",
    "status": "node",
    "reload": "node",
    "rewrap": "rewrap",
    "seal": "seal",
    "unseal": "seal",
    "doctor": "doctor",
    "demo": "demo",
    "sign": "sign",
    "batch-sign": "sign",
    "sign-each": "sign",
    "transfer": "transaction",
    "contract-call": "transaction",
    "broadcast": "broadcast",
    "verify": "verify",
    "restore": "restore",
}
NOUNS = {
    "approve": "Decide on what waits, where this node's approver is a person.",
    "approver": "Who says yes before this node joins anything.",
    "policy": "Rules by which this node decides: check a file, try it, replay it.",
    "peer": "The other signers this node knows.",
    "cert": "The certificates this node shows to peers and clients.",
    "backup": "Sealed copies of this node's shares, for the day the nodes are lost.",
    "audit": "What this node did, as a signed chain of records: check it, export it, watch it.",
    "client": "Programs and people that may ask this node.",
    "vault": "Keys that several signers hold together.",
    "operation": "What was asked for, who voted how, and what came of it.",
    "receipt": "What was signed and who approved it by which rule, with the proof.",
}


def program(arguments: list[str]) -> typer.Typer:
    """The commands whose names occur in ``arguments``; if none does, all, for the help. Importing all of them takes
    longer than most commands do."""
    app = typer.Typer(
        name="quorate",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(common)
    named = {word for word in (*ALONE, *NOUNS) if word in arguments} or {*ALONE, *NOUNS}
    for module in dict.fromkeys(ALONE[word] for word in ALONE if word in named):
        import_module(f"quorate.cli.{module}").register(app)
    for noun in (noun for noun in NOUNS if noun in named):
        group = typer.Typer(no_args_is_help=True, help=NOUNS[noun])
        import_module(f"quorate.cli.{noun}").register(group)
        app.add_typer(group, name=noun)
    return app


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    output = Output(json="--json" in arguments)
    try:
        program(arguments)(arguments, prog_name="quorate")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        output.note("stopped")
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except QuorateError as error:
        output.fail(error)
        return 2 if output.code_of(error) == UsageError.reason or isinstance(error, UsageError) else 1
    except OSError as error:
        output.fail(QuorateError(f"{error.filename or 'the system'}: {error.strerror or error}"))
        return 1
    except Exception as error:
        if os.environ.get("QUORATE_DEBUG"):
            traceback.print_exc()
        kind = type(error).__name__
        output.fail(QuorateError(f"a bug in this program: {kind}: {error} (QUORATE_DEBUG=1 shows where)"))
        return 1
    return 0
