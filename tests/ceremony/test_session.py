"""How a session ends that found out a lie: by name where there is one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from quorate.ceremony.session import Patience, Session
from quorate.errors import Stalled
from quorate.identifiers import DeviceId
from quorate.wire.dispute import DISPUTE_SLOT
from quorate.wire.mailbox import mark_of
from quorate.wire.simulator import DROP, Rewritten, Simulator, devices
from tests.rules import breaks
from tests.unit.conversations import ALICE, BOB, Pong, cheat, ping_pong


class Hurried:
    """A clock by which every look takes a while."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 0.2
        return self._now

    def now_ms(self) -> int:
        return 0


@breaks("W-5.2")
async def test_one_who_lies_about_its_view_and_never_accounts_for_it_is_waited_on_by_name() -> None:
    def lying(sender: DeviceId, recipient: DeviceId, slot: str, message: Any) -> Any:
        if (sender, slot) == (ALICE, DISPUTE_SLOT):
            return DROP
        lie = Rewritten(Pong(number=2), {"view": mark_of("/Ping") + bytes(32)})
        return cheat("/Pong", lie)(sender, recipient, slot, message)

    simulator = Simulator(dict.fromkeys(devices(2), ping_pong), tamper=lying)
    machines = simulator.start()

    class Mesh:
        def connected(self, _: DeviceId) -> bool:
            return True

        def post(self, _: DeviceId, frame: bytes) -> None:
            machines[ALICE].deliver(frame, BOB)
            self.hear_alice()

        def hear_alice(self) -> None:
            for _, frame in machines[ALICE].drain():
                session.offer(ALICE, frame)

    mesh: Any = Mesh()
    with ThreadPoolExecutor(1) as pool:
        session = Session(
            simulator.session, devices(2), lambda: machines[BOB], erase=simulator.couriers[BOB].erase,
            mesh=mesh, clock=Hurried(), pool=pool, patience=Patience(),
        )  # fmt: skip
        mesh.hear_alice()
        with pytest.raises(Stalled) as stalled:
            await session.run()
    assert stalled.value.waiting_on == {ALICE}
