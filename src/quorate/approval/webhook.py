"""The approver that asks a customer's HTTP service. It refuses unless it gets a sound answer in time."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quorate.approval.dialect import APPROVER, MAX_ANSWER, fresh_nonce, insist, question, verdict
from quorate.approval.tries import Unanswered, asked
from quorate.ceremony.ports import ApprovalRequest, Decision
from quorate.identifiers import DeviceId


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookApprover:
    """Up to ``tries`` tries of ``timeout`` seconds each, connecting included, ``backoff`` seconds and then twice
    as long as before between them. Only a try that got no whole answer is followed by another."""

    urls: Mapping[Literal["transaction", "reshare"], str]
    key: Ed25519PublicKey
    sign: Callable[[bytes], bytes]
    device: DeviceId
    tls: ssl.SSLContext
    timeout: float
    tries: int
    backoff: float

    @property
    def name(self) -> str:
        return APPROVER

    async def decide(self, request: ApprovalRequest) -> Decision:
        return await asked(lambda: self._ask(request), tries=self.tries, backoff=self.backoff)

    async def _ask(self, request: ApprovalRequest) -> Decision:
        """One try, on a connection of its own, under a nonce of its own."""
        url, nonce = self.urls[request.route], fresh_nonce()
        host = urlsplit(url).netloc  # the rest of a URL may hold a token
        body, headers = question(request, nonce=nonce, sign=self.sign, device=self.device)
        try:
            # httpx limits each read; the slow drip of an answer needs a limit on all of them.
            async with (
                asyncio.timeout(self.timeout),
                httpx.AsyncClient(verify=self.tls, trust_env=False, timeout=self.timeout) as client,
                client.stream("POST", url, content=body, headers=headers, follow_redirects=False) as response,
            ):
                answer = await _read(response)
        except (TimeoutError, httpx.TimeoutException):
            raise _unanswered("AP-2.2 timeout", f"{host}: no whole answer within {self.timeout} s") from None
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError) as error:
            insist(not _is_tls(error), "AP-2.3 TLS", f"{host}: {error}; check the certificates of both sides")
            if isinstance(error, httpx.ConnectError):
                raise _unanswered("AP-2.1 unreachable", f"{host}: {error}") from None
            # The error's own words may be the stranger's.
            raise _unanswered(
                "AP-2.4 broken off", f"{host}: no whole answer ({type(error).__name__})"
            ) from None
        received = {name: response.headers.get_list(name) for name in response.headers}
        said = verdict(received, answer, request=request, nonce=nonce, key=self.key)
        return Decision(
            verdict=said, approver=self.name, rule="AP-1.3 answer",
            explanation=f"operation {request.operation}: the approver says {said.name.lower()}",
        )  # fmt: skip


async def _read(response: httpx.Response) -> bytes:
    """The body of a 200, as sent; given up as soon as it is known to be too long."""
    status = response.status_code
    insist(
        not 300 <= status < 400,
        "AP-2.5 redirect",
        f"the approver redirects ({status}); configure the final URL",
    )
    insist(status == 200, "AP-2.6 status code", f"the approver answered {status}, not 200")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        insist(len(body) <= MAX_ANSWER, "AP-2.7 size", f"the answer is longer than {MAX_ANSWER} bytes")
    return bytes(body)


def _unanswered(rule: str, why: str) -> Unanswered:
    return Unanswered(why, approver=APPROVER, rule=rule)


def _is_tls(error: BaseException | None) -> bool:
    """Whether the two sides could not agree on TLS; a TLS connection that just ends is broken off."""
    while error is not None:
        if isinstance(error, ssl.SSLError) and not isinstance(
            error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
