"""How the client port tells who calls, what it remembers, and how much of a stranger it takes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Sequence

import grpc
import pytest

from quorate.errors import UsageError
from quorate.rpc import auth, failures
from quorate.rpc.auth import Arrival, ClientGate
from quorate.rpc.client import CLIENT_KEY, SECRET_KEY, NodeClient
from quorate.rpc.client_certificates import create_client_identity
from quorate.rpc.limits import ROOM, Buckets, Limits, Pace, RateLimited, source_of
from quorate.storage import Grant
from quorate.storage.clients import Login
from tests.rpc.fake_node import AMPLE, UNLIMITED, FakeBook, Served, secure_channel
from tests.rpc.loopback import PATIENCE
from tests.rpc.test_client_port import refusal

SLOW = 1e-6  # tokens a second: none comes back while a test runs


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def arrival(name: str, secret: str, peer: str = "ipv4:10.0.0.1:5000") -> Arrival:
    return Arrival(metadata={CLIENT_KEY: name, SECRET_KEY: secret}, peer=peer)


def limits(**paces: Pace) -> Limits:
    return Limits(**dict.fromkeys(("calls", "strangers", "failures", "checks"), AMPLE) | paces)


async def code(work: Awaitable[object]) -> str:
    with pytest.raises(UsageError) as caught:
        await work
    return caught.value.code


# --- what is remembered


class Sluggish(FakeBook):
    """The first to read the certificates hears late what it read."""

    def __init__(self) -> None:
        super().__init__()
        self.late, self.reading = threading.Event(), threading.Event()

    def certified(self) -> Sequence[Login]:
        held = super().certified()
        if not self.reading.is_set():
            self.reading.set()
            assert self.late.wait(PATIENCE)
        return held


async def test_what_was_read_before_a_certificate_was_revoked_does_not_bring_it_back() -> None:
    book = Sluggish()
    gate, identity = ClientGate(book, UNLIMITED), create_client_identity("app")
    book.pin("app", identity, Grant("signer"))
    early = asyncio.create_task(gate.refresh())
    await asyncio.to_thread(book.reading.wait, PATIENCE)
    book.pinned.clear()
    after = asyncio.create_task(gate.refresh())
    await asyncio.wait({after}, timeout=0.05)
    book.late.set()
    await asyncio.gather(early, after)
    shown = Arrival(metadata={}, peer="ipv4:10.0.0.1:5000", certificate_pem=identity.certificate_pem.encode())
    assert await code(gate.identify(shown)) == "UNAUTHENTICATED"


async def test_a_secret_is_checked_slowly_once_and_again_when_it_was_not_used_for_long() -> None:
    book, clock = FakeBook(), Clock()
    gate = ClientGate(book, UNLIMITED, now=clock)
    secret = book.enrol("app", Grant("signer"))
    for _ in range(3):
        assert (await gate.identify(arrival("app", secret))).client.id == "app"
        clock.seconds += auth.REMEMBERED_FOR - 1
    assert book.checks == 1
    clock.seconds += 1
    await gate.identify(arrival("app", secret))
    assert book.checks == 2


async def test_a_change_of_one_client_costs_the_others_nothing(served: Served) -> None:
    async with served.enrolled("app", "signer") as app, served.local() as owner:
        await app.vaults()
        await owner.add_client("other", [Grant("signer")])
        await app.vaults()
        assert served.book.checks == 1


async def test_the_memory_of_secrets_is_bounded_and_no_wrong_one_is_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED", 2)
    book = FakeBook()
    gate = ClientGate(book, UNLIMITED)
    secrets = {name: book.enrol(name, Grant("signer")) for name in ("one", "two", "three")}
    for name, secret in secrets.items():
        await gate.identify(arrival(name, secret))
        assert await code(gate.identify(arrival(name, secret + "x"))) == "UNAUTHENTICATED"
        assert await code(gate.identify(arrival(name, secret + "x"))) == "UNAUTHENTICATED"
    checked = book.checks
    await gate.identify(arrival("two", secrets["two"]))
    assert book.checks == checked
    await gate.identify(arrival("one", secrets["one"]))
    assert book.checks == checked + 1 == 10


async def test_a_secret_whose_overlap_is_over_is_not_remembered() -> None:
    book, wall = FakeBook(), Clock()
    gate = ClientGate(book, UNLIMITED, wall_ms=lambda: int(wall.seconds * 1000))
    secret = book.enrol("app", Grant("signer"))
    found = book.authenticate("app", secret)
    assert found is not None
    ends = int(wall.seconds * 1000) + 5000
    book.authenticate = lambda name, given: Login(client=found.client, until_ms=ends)  # type: ignore[method-assign,assignment]
    assert (await gate.identify(arrival("app", secret))).until_ms == ends
    book.authenticate = lambda name, given: None  # type: ignore[method-assign,assignment]
    await gate.identify(arrival("app", secret))
    wall.seconds += 5
    assert await code(gate.identify(arrival("app", secret))) == "UNAUTHENTICATED"


async def test_a_client_that_is_revoked_while_its_secret_is_checked_does_not_get_in() -> None:
    book = FakeBook()
    secret = book.enrol("app", Grant("signer"))
    loop, check = asyncio.get_running_loop(), book.authenticate

    def revoked_meanwhile(name: str, given: str) -> Login | None:
        found = check(name, given)
        if book.secrets.pop(name, None) is not None:
            loop.call_soon_threadsafe(gate.forget, name)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
        return found

    book.authenticate = revoked_meanwhile  # type: ignore[method-assign,assignment]
    gate = ClientGate(book, UNLIMITED)
    for _ in range(2):
        assert await code(gate.identify(arrival("app", secret))) == "UNAUTHENTICATED"


# --- how often


async def test_a_client_that_calls_too_often_is_told_when_to_come_again(served: Served) -> None:
    await served.stop()
    served.limits = limits(calls=Pace(0.5, 2))
    await served.start()
    async with served.enrolled("app", "signer") as app, served.enrolled("other", "signer") as other:
        for _ in range(2):
            await app.vaults()
        error = await refusal(app.vaults())
        assert error.code == "RATE_LIMITED"
        assert error.retry_after is not None
        assert 0 < error.retry_after <= 2
        cause = error.__cause__
        assert isinstance(cause, grpc.aio.AioRpcError)
        assert cause.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await other.vaults()
    assert served.refused == ["RATE_LIMITED"]


async def test_what_is_refused_is_not_even_read(served: Served) -> None:
    await served.stop()
    served.limits = limits(calls=Pace(SLOW, 1))
    await served.start()
    metadata = ((CLIENT_KEY, "app"), (SECRET_KEY, served.book.enrol("app", Grant("signer"))))
    async with secure_channel(served) as channel:
        sign = channel.unary_unary("/quorate.v1.SigningService/Sign", bytes, bytes)
        codes = []
        for _ in range(2):
            call = sign(b"\xff" * 1000, metadata=metadata, timeout=PATIENCE)
            codes.append(await call.code())
    assert codes == [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED]


async def test_failures_are_limited_harder_than_calls_and_by_where_they_come_from() -> None:
    book, clock = FakeBook(), Clock()
    gate = ClientGate(book, limits(failures=Pace(0.1, 3)), now=clock)
    secret = book.enrol("app", Grant("signer"))
    for _ in range(3):
        assert await code(gate.identify(arrival("app", "wrong"))) == "UNAUTHENTICATED"
    assert book.checks == 3
    for given in ("wrong", secret):
        assert await code(gate.identify(arrival("app", given))) == "RATE_LIMITED"
    assert book.checks == 3  # turned away before the slow check
    await gate.identify(arrival("app", secret, "ipv4:10.0.0.2:5000"))
    assert (await gate.identify(arrival("app", secret))).client.id == "app"  # known by now, so from anywhere
    clock.seconds += 10
    assert await code(gate.identify(arrival("app", "wrong"))) == "UNAUTHENTICATED"
    assert await code(gate.identify(arrival("app", "wrong"))) == "RATE_LIMITED"


async def test_success_is_no_failure() -> None:
    book = FakeBook()
    gate = ClientGate(book, limits(failures=Pace(SLOW, 1)))
    for number in range(5):
        name = f"app{number}"
        await gate.identify(arrival(name, book.enrol(name, Grant("signer"))))


async def test_a_crowd_of_strangers_is_slowed_down_whether_it_is_wrong_or_right() -> None:
    book = FakeBook()
    gate = ClientGate(book, limits(strangers=Pace(SLOW, 2)))
    for name in ("", "app"):
        assert await code(gate.identify(arrival(name, "wrong"))) == "UNAUTHENTICATED"
    assert await code(gate.identify(arrival("app", book.enrol("app", Grant("signer"))))) == "RATE_LIMITED"
    with pytest.raises(RateLimited):
        gate.admit_stranger("ipv4:10.0.0.1:6000")
    gate.admit_stranger("ipv4:10.0.0.9:6000")


async def test_all_strangers_together_cost_so_many_slow_checks_and_no_more() -> None:
    book = FakeBook()
    gate = ClientGate(book, limits(checks=Pace(SLOW, 4)))
    codes = [await code(gate.identify(arrival("a", "b", f"ipv4:10.0.{n}.1:5000"))) for n in range(6)]
    assert codes == ["UNAUTHENTICATED"] * 4 + ["RATE_LIMITED"] * 2
    assert book.checks == 4


async def test_a_flood_of_unknown_callers_is_turned_away_before_the_slow_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "CHECKS_WAITING", 0)
    gate = ClientGate(FakeBook(), UNLIMITED)
    assert await code(gate.identify(arrival("a", "b"))) == "BUSY"


async def test_health_is_told_at_a_stranger_s_pace(served: Served) -> None:
    await served.stop()
    served.limits = limits(strangers=Pace(SLOW, 2))
    await served.start()
    async with secure_channel(served) as channel:
        check = channel.unary_unary("/grpc.health.v1.Health/Check", bytes, bytes)
        codes = [await check(b"").code() for _ in range(3)]
    assert codes[2] is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert grpc.StatusCode.RESOURCE_EXHAUSTED not in codes[:2]
    assert served.refused == ["RATE_LIMITED"]


async def test_the_owner_is_not_limited(served: Served) -> None:
    await served.stop()
    served.limits = limits(calls=Pace(SLOW, 1), strangers=Pace(SLOW, 1))
    await served.start()
    async with served.local() as owner:
        for _ in range(3):
            assert await owner.vaults()


async def test_ids_and_secrets_have_a_longest(served: Served) -> None:
    for name, secret in (("x" * 257, "s"), ("app", "s" * 257)):
        async with NodeClient.remote(served.credentials(name, secret)) as node:
            assert (await refusal(node.vaults())).code == "UNAUTHENTICATED"
    assert served.book.checks == 0


# --- buckets


async def test_other_limits_count_from_the_next_call_on() -> None:
    book, clock = FakeBook(), Clock()
    gate = ClientGate(book, limits(calls=Pace(SLOW, 2)), now=clock)
    call = arrival("app", book.enrol("app", Grant("signer")))
    for _ in range(2):
        await gate.identify(call)
    assert await code(gate.identify(call)) == "RATE_LIMITED"
    gate.limit(limits(calls=Pace(1, 5)))
    assert await code(gate.identify(call)) == "RATE_LIMITED"  # what was taken is not given back
    clock.seconds += 1
    await gate.identify(call)
    clock.seconds += 100
    gate.limit(limits(calls=Pace(1, 1)))
    await gate.identify(call)
    assert await code(gate.identify(call)) == "RATE_LIMITED"
    gate.limit(limits(strangers=Pace(SLOW, 1)))
    gate.admit_stranger("ipv4:10.0.0.2:1")
    with pytest.raises(RateLimited):
        gate.admit_stranger("ipv4:10.0.0.2:2")


def test_a_bucket_fills_at_its_pace_and_no_higher_than_its_burst() -> None:
    clock = Clock()
    buckets = Buckets(Pace(2, 3), clock)
    assert [buckets.take("a") for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert buckets.take("b") == 0
    clock.seconds += 0.5
    assert [buckets.take("a") for _ in range(2)] == [0, 0.5]
    clock.seconds += 100
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    buckets.give_back("a")
    assert [buckets.take("a") for _ in range(2)] == [0, 0.5]


def test_only_so_many_buckets_are_kept() -> None:
    buckets = Buckets(Pace(SLOW, 1), Clock())
    for number in range(ROOM + 1):
        assert buckets.take(str(number)) == 0
    assert len(buckets._held) == ROOM
    assert buckets.take(str(ROOM)) > 0
    assert buckets.take("0") == 0  # forgotten


@pytest.mark.parametrize(
    ("peer", "source"),
    [
        ("ipv4:10.1.2.3:40000", "10.1.2.3"),
        ("ipv6:[2001:db8:1:2:3::4]:40000", "2001:db8:1:2::/64"),
        ("ipv6:%5B2001:db8:1:2:9::4%5D:40000", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:10.1.2.3]:40000", "10.1.2.3"),
        ("ipv6:[fe80::1%eth0]:40000", "fe80::/64"),
        ("unix:/run/q.sock", "unix:/run/q.sock"),
        ("ipv4:nonsense:1", "ipv4:nonsense"),
        ("", ""),
    ],
)
def test_where_a_call_comes_from_is_one_host(peer: str, source: str) -> None:
    assert source_of(peer) == source


def test_a_refusal_without_a_wait_says_none() -> None:
    trailing = failures.metadata_of(grpc.StatusCode.ABORTED, "X", "x", retry_after=None)
    error = grpc.aio.AioRpcError(
        grpc.StatusCode.ABORTED, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), None, None
    )
    assert failures.retry_after_of(error) is None
