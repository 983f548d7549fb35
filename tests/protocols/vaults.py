"""Vaults in memory: key generations and signings of simulated devices, honest but for a tamper hook."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any, TypeVar

from quorate.curves import Scalar
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.protocols.certificate import Certificate, EpochRecord, Place
from quorate.protocols.eddsa import frost
from quorate.protocols.keygen import create
from quorate.protocols.ot.setup import PairSetup
from quorate.protocols.quorum import KeyShare, Quorum, Sharing, sharing_of
from quorate.protocols.reshare import Handover, reshare
from quorate.protocols.trial import Trial, trial
from quorate.wire.codec import Message
from quorate.wire.net import Net
from quorate.wire.simulator import Outcome, Simulator, Tamper, devices, identity_key, randomness, signer
from tests.protocols.ideal import dealt_setups

T = TypeVar("T")

VAULT = VaultId("vault".ljust(24, "2"))


def members(weights: Sequence[int]) -> list[Place]:
    """One member per weight, in order of device id."""
    return [
        Place(device=device, identity_key=identity_key(device), weight=weight, reduced=1)
        for device, weight in zip(devices(len(weights)), weights, strict=True)
    ]


def roster_of(weights: Mapping[DeviceId, int], threshold: int) -> Sharing:
    """The sharing of these devices, in any order."""
    named = [
        Place(device=device, identity_key=identity_key(device), weight=weight, reduced=1)
        for device, weight in weights.items()
    ]
    return sharing_of(named, threshold, allow_sole_signer=True)


def sharing(weights: Sequence[int], threshold: int) -> Sharing:
    return sharing_of(members(weights), threshold, allow_sole_signer=True)


@dataclass(slots=True)
class Shelf:
    """A book in memory, with the order of what was written to it."""

    events: list[str] = field(default_factory=list)
    record: EpochRecord | None = None
    shares: dict[Curve, KeyShare] = field(default_factory=dict)
    setups: dict[DeviceId, PairSetup] = field(default_factory=dict)
    certificate: Certificate | None = None

    def pending(self, record: EpochRecord, shares: Sequence[KeyShare], setups: Sequence[PairSetup]) -> None:
        self.events.append("pending")
        self.record, self.shares = record, {share.curve: share for share in shares}
        self.setups = {setup.peer: setup for setup in setups}

    def signed(self, record: EpochRecord) -> None:
        assert record == self.record
        self.events.append("signed")

    def activate(self, certificate: Certificate) -> None:
        assert certificate.record == self.record
        self.events.append("active")
        self.certificate = certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """A finished key generation, seen from everywhere at once."""

    record: EpochRecord
    shelves: dict[DeviceId, Shelf]

    @property
    def devices(self) -> tuple[DeviceId, ...]:
        return tuple(self.shelves)

    def public_key(self, curve: Curve) -> bytes:
        return self.record.key(curve).public_key

    def quorum(self, me: DeviceId, signers: Iterable[DeviceId], curve: Curve = Curve.ED25519) -> Quorum:
        return self.record.quorum(self.shelves[me].shares[curve], signers)


def generate(
    weights: Sequence[int],
    threshold: int,
    *,
    seed: int = 0,
    tamper: Tamper | None = None,
    ideally: bool = True,
    **simulation: Any,
) -> tuple[Outcome[Certificate], dict[DeviceId, Shelf]]:
    """A key generation, and what each device's book holds afterwards. Set-ups are dealt unless said otherwise."""
    roster = sharing(weights, threshold)
    shelves = {device: Shelf() for device in roster.devices}
    protocols = {
        device: lambda net, device=device: create(
            net,
            roster,
            randomness(f"keygen {seed} {device}"),
            shelves[device],
            vault=VAULT,
            attempt=1,
            sign=signer(device),
        )
        for device in roster.devices
    }
    with dealt_setups() if ideally else nullcontext():
        return Simulator(protocols, seed=seed, tamper=tamper, **simulation).run(), shelves


def handover(vault: Vault, dealers: Iterable[DeviceId], target: Sharing, me: DeviceId) -> Handover:
    """What one party of a reshare knows of it."""
    chosen = frozenset(dealers)
    shares = {curve: vault.quorum(me, chosen, curve) for curve in Curve} if me in chosen else None
    return Handover(previous=vault.record, dealers=chosen, target=target, shares=shares)


def hand_over(
    vault: Vault,
    target: Sharing,
    dealers: Iterable[DeviceId] | None = None,
    *,
    seed: int = 0,
    attempt: int = 1,
    tamper: Tamper | None = None,
    ideally: bool = True,
    instead: Mapping[DeviceId, Callable[[Net], Coroutine[Any, None, Any]]] | None = None,
    **simulation: Any,
) -> tuple[Outcome[Certificate], dict[DeviceId, Shelf]]:
    """A reshare by these dealers, or by all members, and what each party's book holds afterwards. ``instead``: what a
    cheat runs."""
    chosen = tuple(vault.devices if dealers is None else dealers)
    shelves = {device: Shelf() for device in sorted({*chosen, *target.devices})}
    protocols = {
        device: lambda net, device=device: reshare(
            net,
            handover(vault, chosen, target, device),
            randomness(f"reshare {seed} {device}"),
            shelves[device],
            attempt=attempt,
            sign=signer(device),
        )
        for device in shelves
    }
    with dealt_setups() if ideally else nullcontext():
        run = Simulator({**protocols, **(instead or {})}, seed=seed, tamper=tamper, **simulation)
        return run.run(), shelves


def handed_over(
    vault: Vault, target: Sharing, dealers: Iterable[DeviceId] | None = None, **how: Any
) -> Vault:
    """The vault in the epoch that an honest reshare makes."""
    outcome, shelves = hand_over(vault, target, dealers, **how)
    assert not outcome.failures, outcome.failures
    (certificate,) = set(outcome.results.values())
    return Vault(record=certificate.record, shelves={device: shelves[device] for device in target.devices})


def believing(
    lies: Callable[[DeviceId, str, Message], Message], protocol: Callable[[Net], Coroutine[Any, None, T]]
) -> Callable[[Net], Coroutine[Any, None, T]]:
    """The protocol as run by a party that changes what it says before its own machine hears it: unlike with a tamper
    hook, the views it signs later are those of what it sent. ``lies(recipient, slot, message)``."""

    def run(net: Net) -> Coroutine[Any, None, T]:
        post = net.box.post
        net.box.post = lambda draft: post(
            replace(draft, message=lies(draft.recipient, draft.slot, draft.message))
        )
        return protocol(net)

    return run


def vault_of(weights: Sequence[int], threshold: int, *, seed: int = 0) -> Vault:
    """The vault an honest key generation makes. The same one, shared, for the same arguments."""
    return _vault(tuple(weights), threshold, seed)


@cache
def _vault(weights: tuple[int, ...], threshold: int, seed: int) -> Vault:
    outcome, shelves = generate(weights, threshold, seed=seed)
    assert not outcome.failures, outcome.failures
    return Vault(record=next(iter(outcome.results.values())).record, shelves=shelves)


def sign(
    vault: Vault,
    signers: Iterable[DeviceId],
    messages: Sequence[bytes],
    *,
    tweak: Scalar | None = None,
    seed: int = 0,
    tamper: Tamper | None = None,
    release: Callable[[DeviceId], None] = lambda device: None,
    **simulation: Any,
) -> Outcome[tuple[bytes, ...]]:
    chosen = tuple(signers)
    protocols = {
        device: lambda net, device=device: frost.sign(
            net,
            vault.quorum(device, chosen),
            messages,
            tweak,
            randomness(f"sign {seed} {device}"),
            lambda: release(device),
        )
        for device in chosen
    }
    return Simulator(protocols, seed=seed, tamper=tamper, **simulation).run()


def try_out(
    vault: Vault,
    *,
    seed: int = 0,
    tamper: Tamper | None = None,
    setups: Callable[[DeviceId, DeviceId], PairSetup] | None = None,
    **simulation: Any,
) -> Outcome[Trial]:
    """The trial of a new vault, by all its members, with real multiplications under the set-ups of its shelves."""
    held = setups or (lambda me, peer: vault.shelves[me].setups[peer])

    def run(device: DeviceId) -> Callable[[Net], Any]:
        rng = randomness(f"trial {seed} {device}")
        quorums = {curve: vault.quorum(device, vault.devices, curve) for curve in Curve}
        mine = partial(held, device)
        return lambda net: trial(net, vault.record, quorums, mine, rng, signer(device))

    protocols = {device: run(device) for device in vault.devices}
    return Simulator(protocols, seed=seed, tamper=tamper, **simulation).run()
