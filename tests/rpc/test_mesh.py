from __future__ import annotations

import asyncio

import grpc
import pytest

from quorate.ceremony.ports import Method
from quorate.errors import Bug, Denied, PeerError, ProtocolAbort, UsageError
from quorate.identifiers import DeviceId
from quorate.rpc import options, peer_link
from quorate.rpc._pb import peer_pb2
from quorate.rpc.peer_server import REQUESTS_PER_PEER, SERVICE
from quorate.rpc.tls import create_identity, server_name_of
from tests.rpc.loopback import PATIENCE, LoopbackNode, Wire, card, eventually, introduce, moved, talk_garbage

Pair = tuple[LoopbackNode, LoopbackNode]


def test_the_peer_service_has_one_call_for_each_method_and_the_link() -> None:
    calls = peer_pb2.DESCRIPTOR.services_by_name["PeerService"].methods_by_name
    assert set(calls) == {method.value for method in Method} | {"Link"}


@pytest.mark.parametrize("method", Method)
async def test_a_request_comes_back_answered(pair: Pair, method: Method) -> None:
    alice, bob = pair
    answer = await alice.mesh.request(bob.device, method, b"body", timeout=PATIENCE)
    assert answer == alice.device.encode() + b":body"
    assert bob.handler.requests == [(alice.device, method, b"body")]


async def test_the_sender_is_whose_certificate_the_channel_has_whatever_the_body_says(pair: Pair) -> None:
    alice, bob = pair
    claims_another = DeviceId("c" * 24).encode()
    await alice.mesh.request(bob.device, Method.HELLO, claims_another, timeout=PATIENCE)
    alice.mesh.post(bob.device, claims_another)
    await eventually(lambda: bool(bob.handler.envelopes))
    assert bob.handler.requests == [(alice.device, Method.HELLO, claims_another)]
    assert bob.handler.envelopes == [(alice.device, claims_another)]


async def test_envelopes_arrive_in_order_both_ways(pair: Pair) -> None:
    alice, bob = pair
    frames = [number.to_bytes(4) * (1 + number % 50) for number in range(3 * peer_link.WINDOW)]
    for frame in frames:
        alice.mesh.post(bob.device, frame)
        bob.mesh.post(alice.device, frame)
    await eventually(lambda: len(bob.handler.envelopes) == len(alice.handler.envelopes) == len(frames))
    assert bob.handler.envelopes == [(alice.device, frame) for frame in frames]
    assert alice.handler.envelopes == [(bob.device, frame) for frame in frames]


async def test_a_link_measures_its_round_trip(pair: Pair) -> None:
    alice, bob = pair
    status = alice.mesh.status()[bob.device]
    assert status.connected
    assert status.rtt is not None
    assert status.rtt > 0
    assert (status.queued, status.dropped, status.failure) == (0, 0, "")


async def test_a_refusal_crosses_as_its_reason_code_only(pair: Pair) -> None:
    alice, bob = pair
    bob.handler.refuse_with = Denied("the chairman hates it", approver="board", rule="AP-1")
    with pytest.raises(PeerError) as caught:
        await alice.mesh.request(bob.device, Method.PROPOSE, b"", timeout=PATIENCE)
    assert (caught.value.peer, caught.value.code) == (bob.device, "DENIED")
    assert "chairman" not in str(caught.value)
    assert "AP-1" not in str(caught.value)


async def test_a_bug_in_the_handler_is_internal_to_the_peer(pair: Pair) -> None:
    alice, bob = pair
    bob.handler.refuse_with = Bug("a secret thing")
    with pytest.raises(PeerError) as caught:
        await alice.mesh.request(bob.device, Method.PROPOSE, b"", timeout=PATIENCE)
    assert caught.value.code == "INTERNAL"
    assert "secret" not in str(caught.value)


async def test_a_reason_that_is_no_code_is_not_repeated(pair: Pair) -> None:
    alice, bob = pair
    bob.handler.refuse_with = UsageError("", code="\x1b[2Jyou are hacked")
    with pytest.raises(PeerError) as caught:
        await alice.mesh.request(bob.device, Method.PROPOSE, b"", timeout=PATIENCE)
    assert caught.value.code == "REFUSED"
    assert "hacked" not in str(caught.value)


@pytest.mark.parametrize("failure", [ProtocolAbort("WI-1 thing"), ValueError("odd"), Bug("ours")])
async def test_an_envelope_that_is_refused_does_not_break_the_link(pair: Pair, failure: Exception) -> None:
    alice, bob = pair
    bob.handler.refuse_with = failure
    alice.mesh.post(bob.device, b"bad")
    await eventually(lambda: len(bob.handler.envelopes) == 1)
    bob.handler.refuse_with = None
    alice.mesh.post(bob.device, b"good")
    await eventually(lambda: len(bob.handler.envelopes) == 2)
    assert alice.mesh.connected(bob.device)


async def test_a_silent_peer_is_named_when_time_is_up(pair: Pair) -> None:
    alice, bob = pair
    bob.handler.gate = asyncio.Event()
    with pytest.raises(PeerError) as caught:
        await alice.mesh.request(bob.device, Method.JOIN, b"", timeout=0.05)
    bob.handler.gate.set()
    assert (caught.value.peer, caught.value.code) == (bob.device, "TIMEOUT")


async def test_a_peer_that_hangs_up_does_not_stop_the_handler_half_way(pair: Pair) -> None:
    alice, bob = pair
    finished = asyncio.Event()

    class Slow:
        async def on_request(self, sender: DeviceId, method: Method, body: bytes) -> bytes:
            await gate.wait()
            await asyncio.sleep(0)
            finished.set()
            return b""

        def on_envelope(self, sender: DeviceId, frame: bytes) -> None: ...

    gate = asyncio.Event()
    assert bob.server is not None
    bob.server._handler = Slow()
    with pytest.raises(PeerError):
        await alice.mesh.request(bob.device, Method.JOIN, b"", timeout=0.05)
    gate.set()
    async with asyncio.timeout(PATIENCE):
        await finished.wait()


async def test_one_peer_has_at_most_so_many_requests_under_way(pair: Pair) -> None:
    alice, bob = pair
    bob.handler.gate = asyncio.Event()
    under_way = [
        asyncio.create_task(alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE))
        for _ in range(REQUESTS_PER_PEER)
    ]
    await eventually(lambda: len(bob.handler.requests) == REQUESTS_PER_PEER)
    with pytest.raises(PeerError) as caught:
        await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
    bob.handler.gate.set()
    await asyncio.gather(*under_way)
    assert caught.value.code == "BUSY"
    await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)


async def test_links_come_back_after_a_peer_restarts(pair: Pair) -> None:
    alice, bob = pair
    await bob.silence()
    await eventually(lambda: not alice.mesh.connected(bob.device))
    alice.mesh.post(bob.device, b"waits")
    await bob.serve()
    await eventually(lambda: (alice.device, b"waits") in bob.handler.envelopes)
    await eventually(lambda: alice.mesh.connected(bob.device))
    assert await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)


async def test_a_peer_that_is_down_is_named_and_posting_to_it_never_blocks(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    monkeypatch.setattr(peer_link, "QUEUE_FRAMES", 8)
    await bob.silence()
    await eventually(lambda: not alice.mesh.connected(bob.device))
    with pytest.raises(PeerError, match="cannot reach node-b") as caught:
        await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
    assert (caught.value.peer, caught.value.code) == (bob.device, "UNREACHABLE")
    for number in range(20):
        alice.mesh.post(bob.device, bytes([number]))
    status = alice.mesh.status()[bob.device]
    assert (status.queued, status.dropped) == (8, 12)
    await bob.serve()
    await eventually(lambda: len(bob.handler.envelopes) == 8)
    assert bob.handler.envelopes == [(alice.device, bytes([number])) for number in range(8)]


async def test_envelopes_wait_unharmed_through_any_number_of_attempts_to_connect(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    monkeypatch.setattr(peer_link, "RETRY_SECONDS", 0.01)
    await bob.silence()
    await eventually(lambda: not alice.mesh.connected(bob.device))
    for number in range(5):
        alice.mesh.post(bob.device, bytes([number]))
    link = alice.mesh._remotes[bob.device].link
    attempts = 0
    inner = link._open

    def counted() -> peer_link.Call:
        nonlocal attempts
        attempts += 1
        return inner()

    monkeypatch.setattr(link, "_open", counted)
    await eventually(lambda: attempts > 5)
    await bob.serve()
    await eventually(lambda: len(bob.handler.envelopes) == 5)
    assert bob.handler.envelopes == [(alice.device, bytes([number])) for number in range(5)]


async def test_a_peer_that_goes_without_a_word_is_noticed_and_linked_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    monkeypatch.setattr(options, "KEEPALIVE", 300)
    monkeypatch.setattr(options, "KEEPALIVE_TIMEOUT", 300)
    await bob.silence()
    await bob.serve()  # with the shorter times
    async with Wire(bob.port) as wire:
        alice.know(moved(bob.card, f"127.0.0.1:{wire.port}"))
        await eventually(lambda: alice.mesh.connected(bob.device))
        wire.cut()
        await eventually(lambda: alice.mesh.status()[bob.device].failure.startswith("cannot reach"))
        wire.mend()
        await eventually(lambda: alice.mesh.connected(bob.device))
        await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)


async def test_a_bug_in_writing_is_not_the_end_of_the_link() -> None:
    faults = [ZeroDivisionError()]

    def observe(direction: str, _: DeviceId, size: int) -> None:
        if direction == "send" and size == 3 and faults:
            raise faults.pop()

    alice, bob = LoopbackNode("a", observer=observe), LoopbackNode("b")
    try:
        for node in (alice, bob):
            await node.start()
        await introduce((alice, bob))
        for frame in (b"one", b"two", b"three"):
            alice.mesh.post(bob.device, frame)
        await eventually(lambda: len(bob.handler.envelopes) == 2)
    finally:
        await alice.stop()
        await bob.stop()
    assert [frame for _, frame in bob.handler.envelopes] == [b"two", b"three"]


async def test_a_queue_is_also_bounded_in_bytes(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    alice, bob = pair
    await bob.silence()
    await eventually(lambda: not alice.mesh.connected(bob.device))
    monkeypatch.setattr(peer_link, "QUEUE_BYTES", 1000)
    for _ in range(3):
        alice.mesh.post(bob.device, bytes(400))
    status = alice.mesh.status()[bob.device]
    assert (status.queued, status.dropped) == (2, 1)


async def test_a_stranger_is_not_asked_and_gets_no_envelope(pair: Pair) -> None:
    alice, _ = pair
    stranger = DeviceId("z" * 24)
    alice.mesh.post(stranger, b"frame")
    assert not alice.mesh.connected(stranger)
    with pytest.raises(PeerError) as caught:
        await alice.mesh.request(stranger, Method.HELLO, b"", timeout=PATIENCE)
    assert (caught.value.peer, caught.value.code) == (stranger, "UNKNOWN_PEER")


async def test_a_request_over_the_limit_is_not_sent(pair: Pair) -> None:
    alice, bob = pair
    with pytest.raises(UsageError) as caught:
        await alice.mesh.request(
            bob.device, Method.PROPOSE, bytes(options.PEER_BODY_LIMIT + 1), timeout=PATIENCE
        )
    assert caught.value.code == "TOO_LARGE"
    assert not bob.handler.requests


async def test_a_request_of_exactly_the_limit_is_answered(pair: Pair) -> None:
    alice, bob = pair
    body = bytes(options.PEER_BODY_LIMIT - 25)
    assert len(await alice.mesh.request(bob.device, Method.PROPOSE, body, timeout=PATIENCE)) == len(body) + 25
    alice.mesh.post(bob.device, bytes(options.PEER_BODY_LIMIT))
    await eventually(lambda: len(bob.handler.envelopes) == 1)


async def test_an_oversize_message_is_refused_and_the_server_stays(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = pair
    creds = alice.trust.channel_credentials(bob.card)
    arguments: options.Arguments = [
        ("grpc.ssl_target_name_override", server_name_of(bob.identity.certificate_pem)),
        ("grpc.max_send_message_length", -1),
    ]
    async with grpc.aio.secure_channel(bob.card.address, creds, options=arguments) as channel:
        hello = channel.unary_unary(
            f"/{SERVICE}/Hello",
            request_serializer=peer_pb2.Statement.SerializeToString,
            response_deserializer=peer_pb2.Statement.FromString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await hello(peer_pb2.Statement(signed=bytes(options.PEER_BODY_LIMIT + 2000)))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not bob.handler.requests
    assert await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)


async def test_garbage_on_the_port_leaves_the_server_alive(pair: Pair) -> None:
    alice, bob = pair
    await talk_garbage(bob.port)
    assert await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)


async def test_an_unknown_certificate_is_refused_and_the_dialler_told_why(pair: Pair) -> None:
    _, bob = pair
    carol = LoopbackNode("c")
    await carol.start()
    carol.know(bob)
    try:
        with pytest.raises(PeerError, match="our certificate: have this node's current card added") as caught:
            await carol.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
        assert (caught.value.peer, caught.value.code) == (bob.device, "UNKNOWN_CERTIFICATE")
        assert not bob.handler.requests
        assert not carol.mesh.connected(bob.device)
    finally:
        await carol.stop()


async def test_a_server_with_another_certificate_than_the_cards_is_not_spoken_to(pair: Pair) -> None:
    alice, bob = pair
    impostor = create_identity(bob.device)
    alice.know(card(bob.device, impostor, bob.card.address))
    with pytest.raises(PeerError, match="does not hold the certificate on the card of node-b") as caught:
        await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
    assert (caught.value.peer, caught.value.code) == (bob.device, "WRONG_CERTIFICATE")
    assert not bob.handler.requests


async def test_a_port_without_tls_is_named_as_such(pair: Pair) -> None:
    alice, bob = pair

    async def chatter(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n" * 20)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(chatter, "127.0.0.1", 0) as other:
        alice.know(moved(bob.card, f"127.0.0.1:{other.sockets[0].getsockname()[1]}"))
        with pytest.raises(PeerError, match="does not speak TLS") as caught:
            await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
    assert caught.value.code == "NOT_A_PEER"


async def test_a_peer_added_while_running_is_linked_both_ways(pair: Pair) -> None:
    alice, bob = pair
    carol = LoopbackNode("c")
    await carol.start()
    try:
        await introduce((alice, bob, carol))
        assert await alice.mesh.request(carol.device, Method.HELLO, b"", timeout=PATIENCE)
        assert await carol.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
    finally:
        await carol.stop()


async def test_a_peer_removed_while_running_is_refused_on_the_connection_it_has(pair: Pair) -> None:
    alice, bob = pair
    bob.know()
    with pytest.raises(PeerError) as caught:
        await alice.mesh.request(bob.device, Method.HELLO, b"", timeout=PATIENCE)
    assert caught.value.code == "UNKNOWN_CERTIFICATE"
    alice.mesh.post(bob.device, b"frame")
    await eventually(lambda: not alice.mesh.connected(bob.device))
    assert not bob.handler.envelopes
    assert not bob.mesh.connected(alice.device)


async def test_a_peer_that_moved_is_reached_at_its_new_address(pair: Pair) -> None:
    alice, bob = pair
    await bob.silence()
    bob.port = 0
    await bob.serve()
    alice.know(bob)
    await eventually(lambda: alice.mesh.connected(bob.device))
    alice.mesh.post(bob.device, b"frame")
    await eventually(lambda: bob.handler.envelopes == [(alice.device, b"frame")])


async def test_the_observer_sees_every_statement_and_envelope_at_both_ends() -> None:
    seen: dict[str, list[tuple[str, DeviceId, int]]] = {"a": [], "b": []}
    alice = LoopbackNode("a", observer=lambda *event: seen["a"].append(event))
    bob = LoopbackNode("b", observer=lambda *event: seen["b"].append(event))
    try:
        for node in (alice, bob):
            await node.start()
        await introduce((alice, bob))
        await alice.mesh.request(bob.device, Method.HELLO, b"12345", timeout=PATIENCE)
        bob.mesh.post(alice.device, b"1234567")
        await eventually(lambda: len(alice.handler.envelopes) == 1)
    finally:
        await alice.stop()
        await bob.stop()
    assert seen["a"] == [("send", bob.device, 5), ("receive", bob.device, 30), ("receive", bob.device, 7)]
    assert seen["b"] == [("receive", alice.device, 5), ("send", alice.device, 30), ("send", alice.device, 7)]
