"""The operating system's clock and randomness, behind the ceremony's ports."""

from __future__ import annotations

import os
import time

from quorate.native.memory import SecretBytes


class SystemEntropy:
    """The system's. What is secret never passes through Python's memory."""

    def public(self, size: int) -> bytes:
        return os.urandom(size)

    def secret(self, size: int) -> SecretBytes:
        return SecretBytes.random(size)


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()
