"""Which release of Quorate this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    try:
        return version("quorate")
    except PackageNotFoundError:
        return "source"  # run from a source tree that is not installed
