"""The reason codes that the source can give, found where codes are given."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src/quorate"
CODE = re.compile(r"[A-Z][A-Z0-9]+(_[A-Z0-9]+)*\Z")


def codes() -> dict[str, str]:
    """Each code and one place that gives it."""
    found: dict[str, str] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        if "_pb" not in path.parts and path.name != "reasons.py":
            for node in ast.walk(ast.parse(path.read_text())):
                for code in given(node):
                    found.setdefault(code, f"{path.relative_to(SOURCE)}:{getattr(node, 'lineno', 1)}")
    return found


def given(node: ast.AST) -> Iterator[str]:
    """``code="X"`` and ``reason="X"`` in calls, as defaults and on classes, a module's ``X = "X"``, and what an
    operation ends for."""
    match node:
        case ast.Call(func=called, args=arguments, keywords=words):
            yield from (
                code for word in words if word.arg in ("code", "reason") for code in literals(word.value)
            )
            if isinstance(called, ast.Attribute) and called.attr == "_end" and len(arguments) > 2:
                yield from literals(arguments[2])
            if isinstance(called, ast.Name) and called.id == "RemoteError" and arguments:
                yield from literals(arguments[0])
        case ast.FunctionDef(args=parameters):
            named = zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True)
            yield from (code for name, value in named if name.arg == "code" for code in literals(value))
        case ast.ClassDef(body=body):
            yield from (
                code for name, value in assigned(body) if name == "reason" for code in literals(value)
            )
        case ast.Module(body=body):
            yield from (name for name, value in assigned(body) if [name] == literals(value))


def assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr | None]]:
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                yield name, value
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                yield name, value


def literals(value: ast.AST | None) -> list[str]:
    """The codes an expression may come to, as far as they stand in it."""
    texts = (each.value for each in ast.walk(value) if isinstance(each, ast.Constant)) if value else ()
    return [text for text in texts if isinstance(text, str) and CODE.match(text)]
