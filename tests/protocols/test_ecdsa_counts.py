"""What an ECDSA session puts on the wire, over oblivious transfer as it is: counted to the byte, never timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from quorate.native import keys
from quorate.native.ot import answer_size, extension_size
from quorate.wire.simulator import Outcome
from tests.protocols.ecdsa_sessions import digests, sign_wholly
from tests.protocols.vaults import Vault, vault_of

KINDS = ("Commitments", "Factor", "Product", "Shares")
AROUND = 1_488  # bytes a signer sends another, less m1 and m2: points, scalars and hashes; four envelopes
LISTED = 34  # bytes for each other envelope of the flight that one leaves in


def session(vault: Vault, signers: int, messages: int = 1) -> Outcome[Any]:
    outcome = sign_wholly(vault, vault.devices[:signers], digests(messages), lockstep=True)
    assert not outcome.failures
    return outcome


@pytest.mark.parametrize("signers", [2, 3, 5])
def test_every_signer_sends_every_other_four_frames_in_three_rounds(signers: int) -> None:
    outcome = session(vault_of([1] * signers, signers), signers)
    pairs = signers * (signers - 1)
    assert (outcome.rounds, outcome.messages) == (3, 4 * pairs)
    assert Counter(each.slot.rpartition("/")[2] for each in outcome.sent) == dict.fromkeys(KINDS, pairs)
    peers = signers - 1
    listed = LISTED * (
        2 * peers + peers - 1
    )  # round 1: a commitment and a factor for each; round 2: a product each
    assert outcome.bytes == pairs * (extension_size(1) + answer_size(1) + AROUND + listed)


@pytest.mark.parametrize("signers", [2, 3])
def test_a_signer_signs_once_in_each_round_and_verifies_once_for_each_peer(signers: int) -> None:
    done = Counter[str]()

    def counted(name: str) -> Callable[..., Any]:
        genuine = getattr(keys, name)

        def call(*args: Any) -> Any:
            done[name] += 1
            return genuine(*args)

        return call

    vault = vault_of([1] * signers, signers)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("sign", "verify"):
            patch.setattr(keys, name, counted(name))
        session(vault, signers)
    assert done == {"sign": 3 * signers, "verify": 3 * signers * (signers - 1)}


def test_a_lane_of_eight_is_as_many_frames_as_one_message() -> None:
    vault = vault_of([1, 1], 2)
    assert session(vault, 2, 8).messages == session(vault, 2).messages == 8


@pytest.mark.parametrize("signers", [2, 3])
def test_weights_cost_nothing_on_the_wire(signers: int) -> None:
    heavy, light = (
        session(vault, signers) for vault in (vault_of([499, 307, 194], 501), vault_of([1, 1, 1], 2))
    )
    assert (heavy.rounds, heavy.messages, heavy.bytes) == (light.rounds, light.messages, light.bytes)
    assert sizes(heavy) == sizes(light)


def sizes(outcome: Outcome[Any]) -> Counter[tuple[str, int]]:
    return Counter((each.slot, len(each.frame)) for each in outcome.sent)
