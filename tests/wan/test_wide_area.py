"""Nodes 40 ms apart, on lines that stall now and then: how often they wait for each other, counted and never timed."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from itertools import groupby
from pathlib import Path

import pytest

from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.cli.connection import vault_ready
from quorate.identifiers import Curve
from tests.soak.verify import is_signed
from tests.wan.network import Far, far

pytestmark = pytest.mark.xdist_group("wan")

NAMES = ("alice", "bob", "carol")
PATIENCE = 60.0
QUIET = 0.5  # seconds: several times the way there and back
CURVES = {"EDDSA": Curve.ED25519, "ES256K": Curve.SECP256K1}

# The proposal and the vote in its answer; the begin, with which the proposer's first message goes; then one flight for
# each message that waits for one: two rounds of FROST, three of DKLs23 and the first of those has two messages.
FLIGHTS = {"EDDSA": 4, "ES256K": 6}
ENVELOPES = {"EDDSA": 2, "ES256K": 4}  # of each of the two signers
SIGNATURES = 4

# Proposal and vote, five rounds of key generation, the call for joins and its answer, four rounds of the trial. A round
# is one flight if all speak at once, and one for each of the three if each has heard the others before it speaks; a
# begin may be one more, and so may somebody's question how things stand.
KEYGEN_FLIGHTS = range(2 + 5 + 2 + 4, 2 + 3 * 5 + 2 + 3 * 4 + 2 + 2)
KEYGEN_ENVELOPES = 38
KEYGEN_REQUESTS = ["Propose", "Begin", "Join", "Begin", "Conclude"]


@pytest.mark.parametrize("netem", [False, True], ids=["relay", "kernel"])
async def test_a_key_and_signatures_cost_no_more_flights_than_the_protocols_have(
    tmp_path: Path, netem: bool
) -> None:
    """``kernel``: by the kernel's own delay and loss where it has them, else by the relay under another seed."""
    async with far(tmp_path, NAMES, seed=2 if netem else 1, netem=netem) as nodes:
        print(f"the nodes are {nodes.line}")
        alice = nodes.cluster["alice"].node
        made = await alice.create_vault(
            name="far", weights=dict.fromkeys(NAMES, 1), threshold=2, idempotency_key=uuid.uuid4().hex
        )
        await completed(nodes, made)
        assert nodes.flights(made, "alice") in KEYGEN_FLIGHTS
        asked = [name for name in nodes.sent("alice") if name != "envelope" and "answer" not in name]
        assert [name for name, _ in groupby(asked)] == KEYGEN_REQUESTS
        assert {nodes.sent(name).count("envelope") for name in NAMES} == {KEYGEN_ENVELOPES}
        vault = await vault_ready(alice, "far", patience=PATIENCE)
        for algorithm, curve in CURVES.items():
            await sign_some(nodes, algorithm, vault.public_keys[curve])


async def sign_some(nodes: Far, algorithm: str, key: bytes) -> None:
    """A stall can make a message overtake another's cause, so that a chain looks longer than it had to be, or have
    something asked again: the least of a few counts."""
    flights, least = [], 0
    for number in range(SIGNATURES):
        before = {name: len(nodes.sent(name)) for name in NAMES}
        view = await nodes.cluster["alice"].node.sign(
            vault="far",
            data=[f"message {number}"],
            content_type="text/plain",
            algorithm=algorithm,
            idempotency_key=uuid.uuid4().hex,
        )
        view = await completed(nodes, view)
        [made] = view.signatures
        assert is_signed(algorithm, key, made.message, made.signature)
        flights.append(nodes.flights(view, "alice"))
        said = Counter[str]()
        for name in NAMES:
            said.update(nodes.sent(name)[before[name] :])
        least += said == {
            "Propose": 2, "answer to Propose": 2, "Begin": 1, "answer to Begin": 1, "Conclude": 2,
            "answer to Conclude": 2, "envelope": 2 * ENVELOPES[algorithm],
        }  # fmt: skip
    print(f"{algorithm}: {flights} flights, {least} times nothing was said twice")
    assert least
    assert min(flights) == FLIGHTS[algorithm]


async def completed(nodes: Far, view: OperationView) -> OperationView:
    """Once it has completed, all have heard of that, and nobody says anything more for a while."""
    view = await nodes.cluster["alice"].node.wait(view.id, PATIENCE)
    assert view.state is State.COMPLETED, view
    before = -1
    async with asyncio.timeout(PATIENCE):
        while (said := sum(len(nodes.sent(name)) for name in NAMES)) != before or not known(nodes, view):
            before = said
            await asyncio.sleep(QUIET)
    return view


def known(nodes: Far, view: OperationView) -> bool:
    """To all of them that it has completed."""
    ends = [(each.get("operation"), each.get("state")) for name in NAMES for each in nodes.read(name)]
    return ends.count((view.id, "COMPLETED")) >= len(NAMES)
