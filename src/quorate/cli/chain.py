"""An Ethereum chain, as its JSON-RPC endpoint tells of it. Believed in nothing that is not shown or compared."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from quorate.approval.options import is_loopback
from quorate.errors import QuorateError, UsageError
from quorate.node import config
from quorate.operations.addresses import checksummed
from quorate.operations.transactions.evm import Transaction, transaction_id

TIMEOUT = 20.0  # seconds
MAX_ANSWER = 1 << 20  # bytes
FEES_OF = 20  # blocks, of which the tip is taken
_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}", re.ASCII)
_HASH = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)


class ChainError(QuorateError):
    """What an endpoint of a chain answered instead of a result, or that it did not answer."""

    reason = "CHAIN_UNREACHABLE"

    def __init__(self, message: str, *, code: str = "CHAIN_UNREACHABLE") -> None:
        super().__init__(message)
        self.code = code


class Endpoint:
    """``url`` is never printed: it may carry a key of its owner."""

    def __init__(self, url: str) -> None:
        try:
            config.rpc_url(url)
            parts = httpx.URL(url)
        except (ValueError, httpx.InvalidURL) as error:
            raise UsageError(f"--rpc: {error}") from None
        self._url, self.host = url, parts.host
        # Redirects are not followed (httpx's default); what is here is not for a proxy.
        self._http = httpx.AsyncClient(timeout=TIMEOUT, trust_env=not is_loopback(parts.host))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def require_chain(self, chain_id: int) -> None:
        found = await self._quantity("eth_chainId")
        if found != chain_id:
            raise ChainError(
                f"{self.host} serves chain {found}, and the transaction is for chain {chain_id}",
                code="WRONG_CHAIN",
            )

    async def nonce(self, account: bytes) -> int:
        """The next one, after all that wait."""
        return await self._quantity("eth_getTransactionCount", checksummed(account), "pending")

    async def gas_price(self) -> int:
        return await self._quantity("eth_gasPrice")

    async def gas(self, source: bytes, to: bytes, value: int, data: bytes) -> int:
        """What running it now would use."""
        call = {"from": checksummed(source), "value": hex(value), "data": f"0x{data.hex()}"}
        return await self._quantity("eth_estimateGas", call | ({"to": checksummed(to)} if to else {}))

    async def dynamic_fees(self) -> tuple[int, int]:
        """The next block's base fee, and the median tip of late: wei."""
        method = "eth_feeHistory"
        history = await self._call(method, hex(FEES_OF), "latest", [50])
        try:
            base = self._number(method, history["baseFeePerGas"][-1])
            tips = sorted(self._number(method, tips[0]) for tips in history["reward"])
        except (KeyError, IndexError, TypeError):
            raise ChainError(
                f"{self.host} tells no fees of this chain; name --max-fee and --priority-fee, or use --legacy",
                code="CHAIN_REFUSED",
            ) from None
        return base, tips[len(tips) // 2] if tips else 0

    async def send(self, raw: bytes) -> bool:
        """Hand a signed transaction in; False if the chain had it before. ``ChainError`` if it does not take it, or
        calls it otherwise than we do."""
        ours = f"0x{transaction_id(raw).hex()}"
        try:
            said = await self._call("eth_sendRawTransaction", f"0x{raw.hex()}")
        except ChainError as error:
            if error.code == "CHAIN_REFUSED" and ("already known" in str(error) or await self._has(ours)):
                return False
            raise
        if not isinstance(said, str) or not _HASH.fullmatch(said) or said.lower() != ours:
            raise ChainError(
                f"{self.host} took transaction {ours}, and calls it {_shown(said)}: look for it elsewhere",
                code="CHAIN_DISAGREES",
            )
        return True

    async def _has(self, transaction: str) -> bool:
        try:
            found = await self._call("eth_getTransactionByHash", transaction)
        except ChainError:
            return False
        return isinstance(found, dict) and str(found.get("hash", "")).lower() == transaction

    async def _quantity(self, method: str, *parameters: object) -> int:
        return self._number(method, await self._call(method, *parameters))

    def _number(self, method: str, value: Any) -> int:
        if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
            raise ChainError(f"{self.host} answers {method} with {_shown(value)}", code="CHAIN_REFUSED")
        return int(value, 16)

    async def _call(self, method: str, *parameters: object) -> Any:
        asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)}
        body = bytearray()
        try:
            async with self._http.stream("POST", self._url, json=asked) as response:
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER:
                        raise ChainError(f"{self.host} answers {method} with more than {MAX_ANSWER} bytes")
        except httpx.HTTPError as error:
            raise ChainError(f"{self.host} does not answer {method}: {type(error).__name__}") from None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
            raise ChainError(f"{self.host} answers {method} with HTTP {response.status_code} and no result")
        if (refusal := answer.get("error")) is not None:
            said = refusal.get("message", refusal) if isinstance(refusal, dict) else refusal
            raise ChainError(f"{self.host} refuses {method}: {_shown(said)}", code="CHAIN_REFUSED")
        return answer.get("result")


def endpoint_of(home: Path, chain_id: int, rpc: str) -> Endpoint | None:
    """That of ``--rpc``, else the configured one of the chain, if there is one."""
    if rpc:
        return Endpoint(rpc)
    chain = settings_of(home).chains.get(chain_id)
    return Endpoint(chain.rpc) if chain is not None else None


def settings_of(home: Path) -> config.Settings:
    """Those of the node in ``home``; with no node there, which a remote one is asked without, the environment's."""
    file = home / config.FILE
    return config.load(home) if file.exists() else config.parse("", file)


def require_endpoint(home: Path, transaction: Transaction, rpc: str) -> Endpoint:
    endpoint = endpoint_of(home, transaction.chain_id, rpc)
    if endpoint is None:
        raise UsageError(
            f"no endpoint of chain {transaction.chain_id} is known: give --rpc URL, or set rpc in"
            f" [chains.{transaction.chain_id}] of {home / config.FILE}"
        )
    return endpoint


def _shown(said: object) -> str:
    """An endpoint's words, for a terminal."""
    return "".join(each if each.isprintable() else " " for each in str(said)[:300])
