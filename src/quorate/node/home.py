"""Where a node lives. Apart from the rest, so that asking a node need not import one."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT = Path("~/.quorate")
VARIABLE = "QUORATE_HOME"


def home_of(given: Path | None) -> Path:
    """The node's directory: the option, else ``QUORATE_HOME``, else ``~/.quorate``."""
    return (given or Path(os.environ.get(VARIABLE) or DEFAULT)).expanduser().absolute()
