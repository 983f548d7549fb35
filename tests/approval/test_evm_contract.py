"""The approver that is a contract: what it is asked, and everything that an endpoint can say but an approval."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import decode
from eth_utils.crypto import keccak
from pydantic import ValidationError

from quorate.approval.options import ApproverOptions
from quorate.ceremony.ports import ApprovalRequest, Decision, Verdict
from quorate.node.doctor.approver import finding
from quorate.operations.kinds import Kind
from quorate.rpc.findings import Level
from tests.approval.asking import _AUTHORITY, REQUEST, built
from tests.chain_server import FakeChain, Refused, serving
from tests.rules import breaks

CONTRACT = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
APPROVE, REJECT, ABSTAIN = (f"0x{number:064x}" for number in range(3))
REFUSE = Verdict.REFUSE


def section(*urls: str, **changes: Any) -> dict[str, Any]:
    contract = {
        "urls": urls, "contract": CONTRACT, "chain_id": 11155111, "ca_file": _AUTHORITY.file, "timeout": 30.0,
        "tries": 1, "backoff": 0.0,
    }  # fmt: skip
    return {"type": "evm-contract", "evm_contract": contract | changes}


async def ask(*urls: str, request: ApprovalRequest = REQUEST, **changes: Any) -> Decision:
    return await built(section(*urls, **changes)).decide(request)


async def told(returned: Any, **changes: Any) -> Decision:
    with serving(FakeChain(answers={"eth_call": returned})) as chain:
        return await ask(chain.url, **changes)


@contextmanager
def speaking(*scripts: Callable[[socket.socket, threading.Event], None]) -> Iterator[tuple[str, list[bytes]]]:
    """A server that does as a script says with each connection in turn, the last one for ever."""
    over, heard = threading.Event(), list[bytes]()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            script = scripts[min(len(heard), len(scripts) - 1)]
            heard.append(connection.recv(1 << 20))

            def act(connection: socket.socket = connection, script: Any = script) -> None:
                with connection, suppress(OSError):  # the other side has had enough
                    script(connection, over)

            threading.Thread(target=act, daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/", heard
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def writes(data: bytes) -> Callable[[socket.socket, threading.Event], None]:
    return lambda connection, _: connection.sendall(data)


def hangs(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def drips(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
    while not over.wait(0.01):
        connection.sendall(b" ")


@breaks("AE-1.8")
@pytest.mark.parametrize(
    ("returned", "verdict"),
    [(APPROVE, Verdict.APPROVE), (REJECT, Verdict.REJECT), (ABSTAIN, Verdict.ABSTAIN)],
)
async def test_what_the_contract_says_is_the_verdict(returned: str, verdict: Verdict) -> None:
    decision = await told(returned)
    assert (decision.verdict, decision.approver, decision.rule) == (verdict, "evm-contract", "AE-1.8 answer")


@pytest.mark.parametrize(
    ("kind", "route", "method"),
    [
        (Kind.TRANSFER_OUT, "transaction", "approvedTx"),
        (Kind.CONTRACT_CALL, "transaction", "approvedTx"),
        (Kind.SIGN, "transaction", "approvedSignOp"),
        (Kind.BATCH_SIGN, "transaction", "approvedSignOp"),
        (Kind.CREATE_VAULT, "reshare", "approvedKeygenReshare"),
        (Kind.RESHARE, "reshare", "approvedKeygenReshare"),
    ],
)
async def test_the_contract_is_asked_by_the_method_of_the_kind_about_digest_and_request(
    kind: Kind, route: Any, method: str
) -> None:
    request = replace(REQUEST, route=route, effect=replace(REQUEST.effect, kind=kind))
    with serving(FakeChain(answers={"eth_call": APPROVE})) as chain:
        await ask(chain.url, request=request, block="finalized")
        [(_, []), (_, [call, block])] = chain.calls
    assert (call["to"], block) == (CONTRACT, "finalized")
    data = bytes.fromhex(call["data"][2:])
    assert data[:4] == keccak(text=f"{method}(bytes)")[:4]
    [argument] = decode(["bytes"], data[4:])
    digest, body = decode(["bytes32", "string"], argument)
    assert (digest, body) == (request.digest, request.encoded().decode())


@breaks("AE-1.5")
@pytest.mark.parametrize("returned", ["0x", "0x00", "0x" + "00" * 31])
async def test_an_empty_or_short_return_is_a_reject_and_never_0(returned: str) -> None:
    decision = await told(returned)
    assert (decision.verdict, decision.rule) == (Verdict.REJECT, "AE-1.5 empty")
    assert finding(Kind.SIGN, decision, "approver").level is Level.PROBLEM


@breaks("AE-1.6")
@pytest.mark.parametrize(
    "returned", ["0x" + "00" * 64, f"0x{3:064x}", f"0x{256:064x}", "0x01" + "00" * 31, "0x" + "00" * 33]
)
async def test_what_is_no_verdict_is_a_refusal(returned: str) -> None:
    decision = await told(returned)
    assert (decision.verdict, decision.rule) == (REFUSE, "AE-1.6 verdict")


@breaks("AE-1.3")
@pytest.mark.parametrize("returned", [None, 0, False, [], {}, "", "00" * 32, "0x" + "zz" * 32, "0x0"])
async def test_a_result_that_is_no_bytes_is_a_refusal(returned: Any) -> None:
    decision = await told(returned)
    assert (decision.verdict, decision.rule) == (REFUSE, "AE-1.3 JSON-RPC")


@breaks("AE-1.3")
async def test_a_contract_that_reverts_and_an_answer_to_another_question_are_refusals() -> None:
    def revert(_: Any) -> str:
        raise Refused("execution reverted")

    reverted = await told(revert, tries=3)
    assert (reverted.verdict, reverted.rule) == (REFUSE, "AE-1.3 JSON-RPC")
    assert "execution reverted" in reverted.explanation
    for body in (b'{"id":1,"result":"0xaa36a7"}', b'{"result":"0xaa36a7"}', b"[]", b"garbage", b"[" * 60_000):
        reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        with speaking(writes(reply)) as (url, heard):
            stale = await ask(url, tries=3)
        assert (stale.verdict, stale.rule) == (REFUSE, "AE-1.3 JSON-RPC")
        assert len(heard) == 1


@breaks("AE-1.4")
@pytest.mark.parametrize("chain_id", ["0x1", "0xAA36A7", "11155111", 11155111, None])
async def test_another_chain_is_a_refusal_and_its_contract_is_not_asked(chain_id: Any) -> None:
    with serving(FakeChain(answers={"eth_call": APPROVE, "eth_chainId": chain_id})) as chain:
        decision = await ask(chain.url)
        assert [method for method, _ in chain.calls] == ["eth_chainId"]
    assert (decision.verdict, decision.rule) == (REFUSE, "AE-1.4 chain")


@breaks("AE-1.2")
@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n" + b" " * 70000,
    ],
)
async def test_another_status_or_too_long_a_body_is_a_refusal_for_good(reply: bytes) -> None:
    with speaking(writes(reply)) as (url, heard):
        decision = await ask(url, tries=3)
    assert (decision.verdict, decision.rule) == (REFUSE, "AE-1.2 HTTP")
    assert len(heard) == 1


@breaks("AE-1.1")
@pytest.mark.parametrize(
    "script",
    [hangs, drips, writes(b""), writes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"), writes(b"\0" * 99)],
)
async def test_an_endpoint_without_a_whole_answer_is_asked_again_as_often_as_configured(script: Any) -> None:
    with speaking(script) as (url, heard):
        decision = await ask(url, timeout=0.3, tries=2)
        assert len(heard) == 2
    assert (decision.verdict, decision.rule) == (REFUSE, "AE-1.1 answered")
    gone = await ask(url, tries=2)
    assert (gone.verdict, gone.rule) == (REFUSE, "AE-1.1 answered")


@breaks("AE-1.7")
async def test_endpoints_that_disagree_are_a_refusal_and_so_is_one_that_fails() -> None:
    with (
        serving(FakeChain(answers={"eth_call": APPROVE})) as one,
        serving(FakeChain(answers={"eth_call": APPROVE})) as two,
        serving(FakeChain(answers={"eth_call": REJECT})) as other,
    ):
        assert (await ask(one.url, two.url)).verdict is Verdict.APPROVE
        split = await ask(one.url, two.url, other.url)
        assert (split.verdict, split.rule) == (REFUSE, "AE-1.7 agreement")
        assert "secret-key" not in split.explanation
        with speaking(writes(b"")) as (down, _):
            assert (await ask(one.url, down)).rule == "AE-1.1 answered"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"urls": ["http://chain.example/"]}, "http is only for loopback"),
        ({"urls": []}, "at least 1"),
        ({"urls": ["https://a.example/"] * 2}, "agrees with itself"),
        ({"contract": "0x12"}, "20 bytes|account"),
        ({"contract": CONTRACT[:-1] + "D"}, "checksum"),
        ({"chain_id": 0}, "greater than or equal to 1"),
        ({"block": "pending"}, "latest"),
    ],
)
def test_a_section_with_a_mistake_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        ApproverOptions.model_validate(section("https://chain.example/key", **changes))
