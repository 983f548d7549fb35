"""The whole product, but that it writes every secret it draws to a file, so that a test knows what to look for.

QUORATE_HOME=... python -m tests.cluster.confessing
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from dataclasses import asdict

from quorate.native.memory import SecretBytes
from quorate.node import daemon, wiring
from quorate.node.entropy import SystemEntropy
from quorate.node.home import home_of
from quorate.primitives.drbg import Drbg

DRAWN = "drawn"
KEY_SIZES = range(16, 129)

home = home_of(None)
lock = threading.Lock()
inner = Drbg.secret


def confess(drawn: SecretBytes) -> SecretBytes:
    if len(drawn) in KEY_SIZES:
        with (
            lock,
            os.fdopen(os.open(home / DRAWN, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file,
        ):
            file.write(drawn.reveal().hex() + "\n")
    return drawn


class Confessing(SystemEntropy):
    """Session keys and seeds come from here."""

    def secret(self, size: int) -> SecretBytes:
        return confess(super().secret(size))


def main() -> None:
    vars(wiring)["SystemEntropy"] = Confessing
    # nonces and the coefficients of sharings
    Drbg.secret = lambda self, size: confess(inner(self, size))  # type: ignore[method-assign]

    def ready(news: daemon.Ready) -> None:
        print(json.dumps(asdict(news)), flush=True)

    asyncio.run(daemon.run(home, ready=ready))


if __name__ == "__main__":
    main()
