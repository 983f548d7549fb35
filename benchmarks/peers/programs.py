"""The libraries compared, and where their versions are pinned."""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from benchmarks.harness import ROOT

HERE = Path(__file__).parent


class Language(StrEnum):
    PYTHON = "Python and C"
    GO = "Go"
    RUST = "Rust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """``package`` is the directory of the program below its language's; ``module`` what the registry calls the
    library. ``licence`` is the library's SPDX expression, read in its source; ``tools`` is what building it takes."""

    name: str
    module: str
    licence: str
    language: Language
    package: str = ""
    tools: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        match self.language:
            case Language.PYTHON:
                return own_version()
            case Language.GO:
                return pinned_go(self.module)
            case Language.RUST:
                return pinned_rust(self.module)


def own_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def pinned_go(module: str) -> str:
    manifest = (HERE / "go" / "go.mod").read_text()
    found = re.search(rf"^\t{re.escape(module)} (v\S+)", manifest, re.MULTILINE)
    if found is None:
        raise LookupError(f"go.mod does not pin {module}")
    return found[1]


def pinned_rust(crate: str) -> str:
    lock = tomllib.loads((HERE / "rust" / "Cargo.lock").read_text())
    return next(str(package["version"]) for package in lock["package"] if package["name"] == crate)


PROGRAMS = (
    Program(
        name="Quorate",
        module="quorate",
        licence="Apache-2.0",
        language=Language.PYTHON,
        package="benchmarks.peers.ours",
        tools=(sys.executable,),
    ),
    Program(
        name="multi-party-sig",
        module="github.com/taurusgroup/multi-party-sig",
        licence="Apache-2.0",
        language=Language.GO,
        package="multi-party-sig",
        tools=("go",),
    ),
    Program(
        name="tss-lib",
        module="github.com/bnb-chain/tss-lib/v2",
        licence="MIT",
        language=Language.GO,
        package="tss-lib",
        tools=("go",),
    ),
    Program(
        name="ZF FROST",
        module="frost-ed25519",
        licence="MIT OR Apache-2.0",
        language=Language.RUST,
        package="frost",
        tools=("cargo",),
    ),
    Program(
        name="cait-sith",
        module="cait-sith",
        licence="MIT",
        language=Language.RUST,
        package="cait-sith",
        tools=("cargo",),
    ),
    Program(
        name="cggmp24",
        module="cggmp24",
        licence="MIT OR Apache-2.0 (GMP under it: LGPL-3.0-or-later)",
        language=Language.RUST,
        package="cggmp",
        # GMP's own build asks for m4 and a C compiler.
        tools=("cargo", "m4", "make", "cc"),
    ),
)
