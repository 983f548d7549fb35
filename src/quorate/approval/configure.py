"""From a node's configuration to its approver."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from quorate.approval.always import AlwaysApprover
from quorate.approval.combination import AllOf, AnyOf, FirstDecisive
from quorate.approval.dialect import approver_key
from quorate.approval.evm_contract import EvmContractApprover
from quorate.approval.manual import ManualApprover
from quorate.approval.none import NoApprover
from quorate.approval.options import (
    BUILT_IN,
    COMBINATIONS,
    ApproverOptions,
    EvmContractOptions,
    GrpcOptions,
    Named,
    PolicyOptions,
    WebhookOptions,
    entry_point,
    wrong_references,
)
from quorate.approval.policy.approver import PolicyApprover
from quorate.approval.policy.book import Book
from quorate.approval.policy.language import read_policy
from quorate.approval.policy.library import InForce, Library, Ungoverned
from quorate.approval.webhook import WebhookApprover
from quorate.ceremony.ports import Approver, Clock
from quorate.errors import Bug, UsageError
from quorate.identifiers import DeviceId

_COMBINED: Mapping[str, Callable[[Sequence[Approver]], Approver]] = MappingProxyType(
    {"all-of": AllOf, "any-of": AnyOf, "first-decisive": FirstDecisive}
)
GrpcFactory = Callable[[GrpcOptions, DeviceId], Approver]


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What an approver of another package is made with: it is called with this by its entry point. ``name`` is what
    the configuration calls it, ``sign`` gives the device key's signature."""

    name: str
    device: DeviceId
    sign: Callable[[bytes], bytes]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What approvers need of their node. ``grpc`` makes one that is asked over gRPC; ``library`` has the policies that
    are signed."""

    sign: Callable[[bytes], bytes]
    device: DeviceId
    clock: Clock
    book: Book
    grpc: GrpcFactory
    library: Library = field(default_factory=lambda: Library(Ungoverned(), None))


@dataclass(slots=True)
class Workshop:
    """Makes each approver of a configuration once, whoever asks it. ``person`` is there once a manual one was made."""

    named: Named
    means: Means
    person: ManualApprover | None = None
    _made: dict[str, Approver] = field(default_factory=dict)

    def make(self, options: ApproverOptions, where: str = "approver") -> Approver:
        """``UsageError`` names the option or the file that cannot be used."""
        means = self.means
        if options.type in COMBINATIONS:
            return _COMBINED[options.type](tuple(map(self.named_approver, options.of)))
        if options.type == "always":
            return AlwaysApprover()
        if options.type == "manual":
            self.person = self.person or ManualApprover()
            return self.person
        if options.type not in BUILT_IN:
            return self._foreign(options, where)
        if options.webhook is not None:
            return _webhook(options.webhook, means, where)
        if options.policy is not None:
            return self._policy(options.policy, where)
        if options.grpc is not None:
            return means.grpc(options.grpc, means.device)
        if options.evm_contract is not None:
            return _evm_contract(options.evm_contract, where)
        return NoApprover()

    def named_approver(self, name: str) -> Approver:
        if name not in self._made:
            self._made[name] = self.make(self.named[name], f"approvers.{name}")
        return self._made[name]

    def _policy(self, options: PolicyOptions, where: str) -> Approver:
        policy = read_policy(options.file) if options.file is not None else None
        known = askable(self.named)
        for name in sorted(policy.asks - known) if policy is not None else ():
            why = "which asks a policy again" if name in self.named else f"and there is no [approvers.{name}]"
            raise UsageError(f"{options.file}: a rule asks {name}, {why}")
        source = self.means.library.source(where, policy, bootstrap=options.bootstrap)
        draft = read_policy(options.shadow) if options.shadow is not None else None
        governed = options.bootstrap or policy is None  # by a policy that is yet to come, too
        asked = known if governed else policy.asks if policy is not None else ()
        others = {name: self.named_approver(name) for name in asked}
        return PolicyApprover(source, self.means.book, self.means.clock, others=others, draft=draft)

    def _foreign(self, options: ApproverOptions, where: str) -> Approver:
        means, given = self.means, MappingProxyType(options.options or {})
        try:
            build = entry_point(options.type).load()
            made: Approver = build(Foreign(name=where, device=means.device, sign=means.sign, options=given))
        except Exception as error:
            raise UsageError(f"{where}: type {options.type} cannot be used: {error}") from error
        return made


def askable(named: Named) -> frozenset[str]:
    """Whom a policy may ask: who decides by no policy itself, nor asks one that does."""

    def by_policy(name: str) -> bool:
        return named[name].policy is not None or any(map(by_policy, named[name].of))

    return frozenset(name for name in named if not by_policy(name))


def library_of(options: ApproverOptions, named: Named, policies: InForce) -> Library:
    """For the approvers of a configuration."""
    decide = any(each.policy is not None for each in (options, *named.values()))
    return Library(policies, askable(named) if decide else None)


def build_approver(
    options: ApproverOptions, means: Means, named: Named = MappingProxyType({})
) -> tuple[Approver, ManualApprover | None]:
    """The approver that ``options`` ask for, and where requests wait for a person if one of them is manual."""
    for place, why in wrong_references(options, named):
        raise UsageError(f"{'.'.join(place)}: {why}")
    workshop = Workshop(named, means)
    return workshop.make(options), workshop.person


def _webhook(webhook: WebhookOptions, means: Means, where: str) -> Approver:
    return WebhookApprover(
        urls={"transaction": webhook.transaction_url, "reshare": webhook.reshare_url},
        key=_key(webhook, where),
        sign=means.sign,
        device=means.device,
        tls=_tls(webhook, where),
        timeout=webhook.timeout,
        tries=webhook.tries,
        backoff=webhook.backoff,
    )


def _evm_contract(options: EvmContractOptions, where: str) -> Approver:
    return EvmContractApprover(
        urls=options.urls, contract=options.contract, chain_id=options.chain_id, block=options.block,
        tls=_authorities(options.ca_file, f"{where}.evm_contract"), timeout=options.timeout, tries=options.tries,
        backoff=options.backoff,
    )  # fmt: skip


def _key(options: WebhookOptions, where: str) -> Ed25519PublicKey:
    if options.public_key is not None:
        return approver_key(options.public_key)
    if options.public_key_file is None:
        raise Bug("neither key, although the options were checked")
    try:
        return approver_key(options.public_key_file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}.webhook.public_key_file: {options.public_key_file}: {error}") from None


def _authorities(ca_file: Path | None, where: str) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{where}.ca_file: {ca_file}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _tls(options: WebhookOptions, where: str) -> ssl.SSLContext:
    context = _authorities(options.ca_file, f"{where}.webhook")
    if options.client_certificate is not None:
        try:
            # An encrypted key must fail here, not stop to ask at a terminal.
            context.load_cert_chain(options.client_certificate, options.client_key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            files = f"{options.client_certificate}, {options.client_key}"
            raise UsageError(f"{where}.webhook.client_certificate, client_key: {files}: {error}") from None
    return context
