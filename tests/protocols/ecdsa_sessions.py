"""ECDSA sessions of simulated vaults, and what any verifier must say of what they sign."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import coincurve
import ecdsa
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from quorate.curves import SECP256K1, Scalar
from quorate.identifiers import Curve, DeviceId
from quorate.protocols.ecdsa.batch import sign_batch
from quorate.protocols.ecdsa.sign import sign
from quorate.protocols.ecdsa.signature import Signature
from quorate.protocols.ot.setup import PairSetup
from quorate.protocols.quorum import Quorum
from quorate.wire.simulator import Outcome, Simulator, randomness
from tests.protocols.ideal import Dealer, ideal_setup, multiply_ideally
from tests.protocols.vaults import Vault

HALF = SECP256K1.order // 2


def digests(count: int) -> list[bytes]:
    return [sha256(b"message %d" % n).digest() for n in range(count)]


def signing(
    quorum: Quorum,
    messages: Sequence[bytes],
    *,
    tweak: Scalar | None = None,
    seed: int = 0,
    setups: Callable[[DeviceId, DeviceId], PairSetup] = ideal_setup,
    release: Callable[[], None] = lambda: None,
    protocol: Callable[..., Any] = sign,
) -> Callable[[Any], Any]:
    """One signer's side."""
    rng = randomness(f"ecdsa {seed} {quorum.me}")
    mine = partial(setups, quorum.me)
    return lambda net: protocol(net, quorum, messages, tweak, mine, rng, release)


def ecdsa_sign(
    vault: Vault,
    signers: Iterable[DeviceId],
    messages: Sequence[bytes],
    *,
    tweak: Scalar | None = None,
    seed: int = 0,
    dealer: Dealer | None = None,
    release: Callable[[DeviceId], None] = lambda device: None,
    setups: Callable[[DeviceId, DeviceId], PairSetup] = ideal_setup,
    ideally: bool = True,
    protocol: Callable[..., Any] = sign,
    instead: dict[DeviceId, Callable[[Quorum], Callable[[Any], Any]]] | None = None,
    **simulation: Any,
) -> Outcome[tuple[Signature, ...]]:
    """A session in which multiplications are ideal unless said otherwise. ``instead``: what a cheat runs, made of its
    quorum."""
    chosen = tuple(signers)
    protocols = {}
    for device in chosen:
        quorum = vault.quorum(device, chosen, Curve.SECP256K1)
        if instead and device in instead:
            protocols[device] = instead[device](quorum)
        else:
            protocols[device] = signing(
                quorum,
                messages,
                tweak=tweak,
                seed=seed,
                setups=setups,
                release=partial(release, device),
                protocol=protocol,
            )
    with pytest.MonkeyPatch.context() as patch:
        if ideally:
            multiply_ideally(patch, dealer or Dealer())
        return Simulator(protocols, seed=seed, **simulation).run()


def sign_wholly(
    vault: Vault, signers: Iterable[DeviceId], messages: Sequence[bytes], **session: Any
) -> Outcome[tuple[Signature, ...]]:
    """A session as a node runs it: over oblivious transfer, under the set-ups its vault was made with."""

    def setups(me: DeviceId, peer: DeviceId) -> PairSetup:
        return vault.shelves[me].setups[peer]

    return ecdsa_sign(vault, signers, messages, setups=setups, ideally=False, protocol=sign_batch, **session)


def assert_verifies(public_key: bytes, message: bytes, signature: Signature) -> None:
    """Asked of libsecp256k1, OpenSSL and plain Python, directly."""
    compact = signature.compact
    r, s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")
    assert 0 < s <= HALF
    recoverable = compact + bytes([signature.recovery_id])
    recovered = coincurve.PublicKey.from_signature_and_message(recoverable, message, hasher=None)
    assert recovered.format() == public_key
    der = encode_dss_signature(r, s)
    assert recovered.verify(der, message, hasher=None)
    openssl = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
    openssl.verify(der, message, ec.ECDSA(Prehashed(SHA256())))
    python = ecdsa.VerifyingKey.from_string(public_key, curve=ecdsa.SECP256k1)
    assert python.verify_digest(compact, message)
