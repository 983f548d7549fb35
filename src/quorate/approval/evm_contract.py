"""The approver that is a contract on an EVM chain, asked by ``eth_call``. docs/spec/approval.md, By a contract (AE).

A call that finds no contract, or one that says nothing, gives no bytes; read as a number these are zero, which is to
approve. So what is short is a reject, whatever it was meant to be.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import httpx
from eth_abi.abi import encode

from quorate.approval.tries import Unanswered, asked
from quorate.ceremony.ports import ApprovalRequest, Decision, Verdict
from quorate.errors import Denied
from quorate.operations.digests import keccak256
from quorate.operations.kinds import TRANSACTIONS

NAME = "evm-contract"
MAX_ANSWER = 64 << 10
WORD = 32  # bytes of what a uint8 is returned as

_VERDICTS = MappingProxyType({0: Verdict.APPROVE, 1: Verdict.REJECT, 2: Verdict.ABSTAIN})


@dataclass(frozen=True, slots=True, kw_only=True)
class EvmContractApprover:
    """``contract``, as its chain writes it, on the chain with this id, as it is at ``block`` (a tag such as ``safe``).
    Each of ``urls`` is an endpoint of the chain, and all have to say the same. Up to ``tries`` tries of ``timeout``
    seconds each, ``backoff`` seconds and then twice as long as before between them."""

    urls: Sequence[str]
    contract: str
    chain_id: int
    block: str
    tls: ssl.SSLContext
    timeout: float
    tries: int
    backoff: float

    @property
    def name(self) -> str:
        return NAME

    async def decide(self, request: ApprovalRequest) -> Decision:
        return await asked(lambda: self._ask(request), tries=self.tries, backoff=self.backoff)

    async def _ask(self, request: ApprovalRequest) -> Decision:
        asking = [asyncio.create_task(self._ask_endpoint(url, request)) for url in self.urls]
        try:
            said = await asyncio.gather(*asking)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        verdicts = {decision.verdict for decision in said}
        if len(verdicts) > 1:
            each = ", ".join(
                f"{_host(url)} {decision.verdict.name.lower()}"
                for url, decision in zip(self.urls, said, strict=True)
            )
            raise _denied("AE-1.7 agreement", f"the endpoints disagree: {each}")
        return said[0]

    async def _ask_endpoint(self, url: str, request: ApprovalRequest) -> Decision:
        called = {"to": self.contract, "data": "0x" + question(request).hex()}
        try:
            # httpx limits each read; the slow drip of an answer needs a limit on all of them.
            async with (
                asyncio.timeout(self.timeout),
                httpx.AsyncClient(verify=self.tls, trust_env=False, timeout=self.timeout) as client,
            ):
                chain = await _call(client, url, "eth_chainId")
                if chain != hex(self.chain_id):
                    raise _denied(
                        "AE-1.4 chain",
                        f"{_host(url)} serves chain {_shown(chain)}, not {hex(self.chain_id)}",
                    )
                returned = await _call(client, url, "eth_call", called, self.block)
        except (TimeoutError, httpx.TimeoutException):
            raise _unanswered(f"{_host(url)}: no whole answer within {self.timeout:g} s") from None
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError) as error:
            # The error's own words may be the stranger's.
            raise _unanswered(f"{_host(url)}: no whole answer ({type(error).__name__})") from None
        return _decision(url, returned)


def question(request: ApprovalRequest) -> bytes:
    """The call's data: the method for this kind of operation, and as its one argument the ABI encoding of
    (bytes32 digest, string request), the operation's digest and the request as webhooks get it."""
    if request.route == "reshare":
        method = "approvedKeygenReshare"
    else:
        method = "approvedTx" if request.effect.kind in TRANSACTIONS else "approvedSignOp"
    told = encode(["bytes32", "string"], [request.digest, request.encoded().decode()])
    selector: bytes = keccak256(f"{method}(bytes)".encode())[:4]
    return selector + encode(["bytes"], [told])


def _decision(url: str, returned: object) -> Decision:
    try:
        if not isinstance(returned, str) or not returned.startswith("0x"):
            raise ValueError(returned)
        value = bytes.fromhex(returned[2:])
    except ValueError:
        raise _denied("AE-1.3 JSON-RPC", f"{_host(url)}: eth_call gives {_shown(returned)}") from None
    if len(value) < WORD:
        return Decision(
            verdict=Verdict.REJECT,
            approver=NAME,
            rule="AE-1.5 empty",
            explanation=f"the contract returns {len(value)} bytes, and a verdict has {WORD}: is it on this chain?",
        )
    number = int.from_bytes(value[:WORD], "big")
    if len(value) != WORD or number not in _VERDICTS:
        raise _denied("AE-1.6 verdict", f"the contract returns {_shown(returned)}, which is no verdict")
    verdict = _VERDICTS[number]
    return Decision(
        verdict=verdict,
        approver=NAME,
        rule="AE-1.8 answer",
        explanation=f"the contract says {verdict.name.lower()}",
    )


async def _call(client: httpx.AsyncClient, url: str, method: str, *parameters: Any) -> object:
    """The result of one JSON-RPC call."""
    number = secrets.randbelow(1 << 48)
    asked = {"jsonrpc": "2.0", "id": number, "method": method, "params": list(parameters)}
    body, headers = bytearray(), {"Accept-Encoding": "identity"}
    async with client.stream("POST", url, json=asked, headers=headers, follow_redirects=False) as response:
        if response.status_code != 200:
            raise _denied("AE-1.2 HTTP", f"{_host(url)} answers {method} with {response.status_code}")
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise _denied("AE-1.2 HTTP", f"{_host(url)} answers {method} with over {MAX_ANSWER} bytes")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or type(answer.get("id")) is not int or answer["id"] != number:
        raise _denied("AE-1.3 JSON-RPC", f"{_host(url)} answers {method} with no answer to this question")
    if "error" in answer or "result" not in answer:
        raise _denied("AE-1.3 JSON-RPC", f"{_host(url)} refuses {method}: {_shown(answer.get('error'))}")
    return answer["result"]


def _unanswered(why: str) -> Unanswered:
    return Unanswered(why, approver=NAME, rule="AE-1.1 answered")


def _denied(rule: str, why: str) -> Denied:
    return Denied(why, approver=NAME, rule=rule)


def _host(url: str) -> str:
    """The rest of a URL may hold a key."""
    return urlsplit(url).netloc


def _shown(said: object) -> str:
    return ascii(said)[:200]
