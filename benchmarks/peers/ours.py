"""Our protocols, as one more program of the comparison: what the protocol tier times."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import count

from benchmarks.protocol import LIGHT, keygen, session
from quorate.identifiers import Curve
from quorate.native.memory import keep_heap
from tests.protocols.vaults import vault_of

SCHEMES = {Curve.SECP256K1: ("ECDSA secp256k1", "DKLs23"), Curve.ED25519: ("Ed25519", "FROST")}


def main() -> None:
    keep_heap()  # as a daemon does
    cases, runs = zip(*cases_and_runs(), strict=True)
    print(json.dumps({"cases": cases}), flush=True)
    for line in sys.stdin:
        number, repeats = map(int, line.split())
        print(json.dumps({"milliseconds": [milliseconds(runs[number]) for _ in range(repeats)]}), flush=True)


def cases_and_runs() -> list[tuple[dict[str, object], Callable[[], object]]]:
    weights, threshold = LIGHT
    vault, seeds = vault_of(weights, threshold), count(1)
    of: dict[str, object] = {"threshold": threshold, "parties": len(weights)}

    def signing(curve: Curve, signers: int) -> tuple[dict[str, object], Callable[[], object]]:
        scheme, protocol = SCHEMES[curve]
        case = {"operation": "sign", "scheme": scheme, "protocol": protocol, "signers": signers, **of}
        return case, lambda: session(curve, vault, signers, next(seeds))

    both = " and ".join(scheme for scheme, _ in SCHEMES.values())
    case = {"operation": "keygen", "scheme": both, "protocol": "DKLs23 and FROST", "signers": 0, **of}
    making: tuple[dict[str, object], Callable[[], object]] = (
        case,
        lambda: keygen(weights, threshold, next(seeds)),
    )
    return [making, *(signing(curve, signers) for curve in SCHEMES for signers in (2, 3))]


def milliseconds(run: Callable[[], object]) -> float:
    """The CPU time of one, over all threads."""
    before = time.process_time()
    run()
    return (time.process_time() - before) * 1000


if __name__ == "__main__":
    main()
