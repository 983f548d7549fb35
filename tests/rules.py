"""Ties a test to the rules of docs/spec that it breaks; ``tests/docs/test_rules.py`` compares the sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def breaks(*rules: str) -> Callable[[F], F]:
    """Mark a test as the adversary of these rules, by id: ``@breaks("KG-2.1", "KG-2.2")``."""

    def mark(test: F) -> F:
        test.rules = (*getattr(test, "rules", ()), *rules)  # type: ignore[attr-defined]
        return test

    return mark
