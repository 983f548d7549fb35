"""An approver that is asked over a network, more than once where no whole answer came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from quorate.ceremony.ports import Decision, Verdict
from quorate.errors import Denied


class Unanswered(Denied):
    """No whole answer came, so the question may be put again. Any other ``Denied`` is an answer that is none."""


async def asked(ask: Callable[[], Awaitable[Decision]], *, tries: int, backoff: float) -> Decision:
    """What comes of up to so many tries, ``backoff`` seconds and then twice as long as before between them: a refusal
    where none brought a decision. Never an approval that was not given."""
    for tried in range(1, tries + 1):
        try:
            return await ask()
        except Denied as error:
            if tried == tries or not isinstance(error, Unanswered):
                return Decision(
                    verdict=Verdict.REFUSE, approver=error.approver, rule=error.rule, explanation=str(error)
                )
        await asyncio.sleep(backoff * 2 ** (tried - 1))
    raise AssertionError("there is at least one try")
