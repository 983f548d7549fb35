"""Who may touch the compiled module."""

import ast
from pathlib import Path

import quorate

ROOT = Path(quorate.__file__).parent


def imports_the_compiled_module(source: Path) -> bool:
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Import(names=names) if any("_native" in name.name.split(".") for name in names):
                return True
            case ast.ImportFrom(module=module, names=names) if "_native" in (module or "").split(".") or any(
                name.name == "_native" for name in names
            ):
                return True
    return False


def test_only_native_imports_the_compiled_module() -> None:
    importers = {
        path.relative_to(ROOT).parts[0] for path in ROOT.rglob("*.py") if imports_the_compiled_module(path)
    }
    assert importers == {"native"}
