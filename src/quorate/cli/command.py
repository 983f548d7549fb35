"""How a command of this program is declared: with ``--home``, ``--credentials`` and ``--json`` on every one.

The three may stand before the noun or after the verb; the later one wins.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Coroutine
from copy import copy
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, TypeGuard, get_args, get_origin

import typer
from rich import markup
from rich.text import Text

from quorate.ceremony.versions import SPOKEN
from quorate.cli.output import Output
from quorate.errors import UsageError
from quorate.node.home import home_of
from quorate.node.release import program_version

P = ParamSpec("P")

Home = Annotated[
    Path | None, typer.Option("--home", help=r"The node's directory. \[default: $QUORATE_HOME or ~/.quorate]")
]
CredentialsFile = Annotated[
    Path | None,
    typer.Option("--credentials", help="Ask a remote node, with a file written by `quorate client add`."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line on stdout.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What every command gets first: whose node it is about, and where its words go."""

    home: Path
    credentials: Path | None
    output: Output

    def confirm(self, told: Text, question: str = "Go on?") -> None:
        """Have a person at a terminal agree to what is ``told``; ends the command if they do not, and raises
        ``UsageError`` where nobody can be asked."""
        if self.output.json or not (self.output.err.is_terminal and sys.stdin.isatty()):
            raise UsageError(f"{told.plain}: nobody is there to ask: {question} If so, give --yes")
        self.output.err.print(told)
        if not typer.confirm(f"  {question}", err=True):
            raise typer.Exit(1)


@dataclass(slots=True)
class Given:
    """The common options as they stood before the noun."""

    home: Path | None = None
    credentials: Path | None = None
    json: bool = False


def show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"quorate {program_version()}, protocol {SPOKEN}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=show_version,
        is_eager=True,
        help="The release, and the protocol it speaks to peers.",
    ),
]


def common(
    ctx: typer.Context,
    home: Home = None,
    credentials: CredentialsFile = None,
    json: Json = False,
    version: Version = False,  # noqa: ARG001 - its callback ends the command
) -> None:
    """A virtual signer: weighted-threshold signatures, an approval first, and no key in one place."""
    ctx.obj = Given(home, credentials, json)


Body = Callable[Concatenate[Call, P], Coroutine[Any, Any, None] | None]


def command(app: typer.Typer, name: str, text: str | None = None) -> Callable[[Body[P]], Body[P]]:
    """Register a function ``(call, **options)``, async or not, as the command ``name`` of ``app``. Its help is
    ``text``, or the function's docstring. A parameter of a dataclass stands for one option for each of its fields."""

    def register(body: Body[P]) -> Body[P]:
        @functools.wraps(body)
        def run(ctx: typer.Context, **options: Any) -> None:
            before = ctx.find_root().obj or Given()
            call = Call(
                home=home_of(options.pop("home") or before.home),
                credentials=options.pop("credentials") or before.credentials,
                output=Output(json=options.pop("json") or before.json),
            )
            for group, parameter in groups(body):
                own = {field.name: options.pop(field.name) for field in fields(group) if field.init}
                options[parameter] = group(**own)
            outcome = body(call, **options)  # type: ignore[call-arg] # the signature below is what typer checks
            if inspect.iscoroutine(outcome):
                asyncio.run(outcome)

        declare(run, body)
        app.command(name, help=markup.escape(text or inspect.getdoc(body) or ""))(run)
        return body

    return register


def groups(body: Callable[..., Any]) -> list[tuple[type[Any], str]]:
    """The dataclasses among its parameters, and the names of those."""
    parameters = list(inspect.signature(body, eval_str=True).parameters.values())[1:]
    return [(each.annotation, each.name) for each in parameters if is_group(each.annotation)]


def is_group(kind: Any) -> TypeGuard[type[Any]]:
    return isinstance(kind, type) and is_dataclass(kind)


def literal(parameter: inspect.Parameter) -> inspect.Parameter:
    """Its help is text: Rich would take ``[default: ...]`` for markup, and show nothing."""
    if get_origin(parameter.annotation) is not Annotated:
        return parameter
    kind, option = get_args(parameter.annotation)
    option = copy(option)
    option.help = option.help and markup.escape(option.help)
    return parameter.replace(annotation=Annotated[kind, option])


def declare(run: Callable[..., None], body: Callable[..., Any]) -> None:
    """Give ``run`` the signature typer reads: the body's own options, then the common ones."""
    own: list[inspect.Parameter] = []
    for parameter in list(inspect.signature(body, eval_str=True).parameters.values())[1:]:
        kind = parameter.annotation
        own += inspect.signature(kind, eval_str=True).parameters.values() if is_group(kind) else [parameter]
    every = inspect.signature(common, eval_str=True).parameters
    shared = [every[name] for name in every if name != "version"]  # that one ends the command
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [each.replace(kind=keyword) for each in (*map(literal, own), *shared)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    del run.__wrapped__  # type: ignore[attr-defined] # typer would look through it
