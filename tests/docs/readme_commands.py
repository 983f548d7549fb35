"""Print the commands of one of the README's named blocks, for CI to run.

    python tests/docs/readme_commands.py demo

A block is named by its info string: ```sh name=demo. Only the standard library, so it runs before any set-up.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[tuple[str, str, str]]:
    """(language, name or "", body) of every fenced block."""
    found = []
    for match in BLOCK.finditer(text):
        language, _, rest = match["info"].partition(" ")
        found.append((language, rest.removeprefix("name=").strip(), match["body"]))
    return found


def commands(name: str, text: str) -> str:
    bodies = [body for _, block, body in blocks(text) if block == name and body.strip()]
    if len(bodies) != 1:
        raise SystemExit(f"the README has {len(bodies)} blocks of commands named {name!r}, not one")
    return bodies[0]


if __name__ == "__main__":
    print(commands(sys.argv[1], README.read_text()), end="")
