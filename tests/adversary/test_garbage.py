"""One byte of any message changed, cut off or added: the session ends or goes on, and nobody honest is blamed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quorate.errors import Aborted, Contested
from quorate.wire.codec import encode
from quorate.wire.simulator import Outcome, Tamper, devices, randomness
from tests.adversary.blame import THRESHOLD, WEIGHTS, honest
from tests.protocols.vaults import generate, hand_over, roster_of, sign, try_out, vault_of

VICTIM, CHEAT, OTHER, JOINER = devices(4)


def garble(body: bytes, seed: str) -> bytes:
    rng = randomness(seed)
    place, byte = rng.below(len(body) + 1), rng.public(1)
    match rng.below(3):
        case 0:
            return body[:place] + byte + body[place + 1 :]
        case 1:
            return body[:place]
        case _:
            return body[:place] + byte + body[place:]


def garbling(slot: str, seed: int, *, all_of_them: bool) -> Tamper:
    """The same garbage for everybody, or for the victim only."""

    def tamper(sender: Any, recipient: Any, where: str, message: Any) -> Any:
        aimed = sender == CHEAT and where == slot and (all_of_them or recipient == VICTIM)
        return garble(encode(message, private=True), f"{slot} {seed}") if aimed else message

    return tamper


def assert_the_cheat_is_named_or_nobody(failure: Aborted) -> None:
    """Where one of two lies, it is the one and somebody honest is the other."""
    assert len(failure.culprits) <= (2 if isinstance(failure, Contested) else 1), failure
    assert CHEAT in failure.culprits or not failure.culprits, failure


def assert_only_the_cheat_may_be_named(outcome: Outcome[Any]) -> None:
    for device in honest(outcome, CHEAT):
        if device not in outcome.results:
            failure = outcome.failures[device]
            assert isinstance(failure, Aborted), (device, failure)
            assert_the_cheat_is_named_or_nobody(failure)
    assert len(honest(outcome, CHEAT)) == 2


OLD = vault_of(WEIGHTS, THRESHOLD)
NEW = roster_of({VICTIM: 1, CHEAT: 1, JOINER: 2}, 3)
RESHARED = [
    *(
        f"/{curve}/{kind}"
        for curve in ("secp256k1", "ed25519")
        for kind in ("Commit", "Opening", "Proof", "Shares")
    ),
    "/Objection",
    "/Endorsement",
]


@pytest.mark.parametrize("all_of_them", [True, False], ids=["to-all", "to-one"])
@pytest.mark.parametrize("slot", RESHARED)
def test_garbage_in_a_reshare_names_nobody_without_the_cheat(slot: str, all_of_them: bool) -> None:
    """An objection names two of whom one lies: so the cheat is one of them."""
    for seed in range(8):
        tamper = garbling(slot, seed, all_of_them=all_of_them)
        outcome, _ = hand_over(OLD, NEW, [VICTIM, CHEAT, OTHER], tamper=tamper)
        assert len(honest(outcome, CHEAT)) == 3
        for device in honest(outcome, CHEAT):
            failure = outcome.failures.get(device)
            if failure is not None:
                assert isinstance(failure, Aborted), (device, failure)
                assert_the_cheat_is_named_or_nobody(failure)


RUNS: dict[str, Callable[[Tamper], Outcome[Any]]] = {
    f"/{path}": lambda tamper: generate(WEIGHTS, THRESHOLD, tamper=tamper)[0]
    for path in [
        *(
            f"{curve}/{kind}"
            for curve in ("secp256k1", "ed25519")
            for kind in ("Commit", "Opening", "Proof", "Shares")
        ),
        "Verdict",
        "Endorsement",
    ]
}
RUNS |= {
    f"/ed25519/{kind}": lambda tamper: sign(
        vault_of(WEIGHTS, THRESHOLD), devices(3), [b"m", b""], tamper=tamper
    )
    for kind in ("Commitments", "Response")
}
RUNS["/Acknowledgement"] = lambda tamper: try_out(vault_of(WEIGHTS, THRESHOLD), tamper=tamper)


@pytest.mark.parametrize("all_of_them", [True, False], ids=["to-all", "to-one"])
@pytest.mark.parametrize("slot", RUNS)
def test_garbage_blames_nobody_honest(slot: str, all_of_them: bool) -> None:
    for seed in range(8):
        assert_only_the_cheat_may_be_named(RUNS[slot](garbling(slot, seed, all_of_them=all_of_them)))
