"""Somebody with the disk in hand."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any


def raw_sql(store: Path, statement: str, *values: Any) -> list[Any]:
    connection = sqlite3.connect(store)
    try:
        with connection:
            return connection.execute(statement, values).fetchall()
    finally:
        connection.close()
