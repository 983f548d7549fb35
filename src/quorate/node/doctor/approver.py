"""Does the approver answer, and does its answer count?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from types import MappingProxyType

from quorate.approval.configure import Means, build_approver
from quorate.approval.none import NoApprover
from quorate.approval.options import ApproverOptions, Named, PolicyOptions
from quorate.approval.policy.approver import NAME as POLICY
from quorate.approval.policy.approver import Fixed, PolicyApprover
from quorate.approval.policy.book import Book, Memory
from quorate.approval.policy.language import parse_policy, read_policy
from quorate.approval.policy.library import Governed, Ungoverned
from quorate.approval.policy.rules import Policy
from quorate.approval.rehearsal import rehearse, remedy_for
from quorate.ceremony.ports import Approver, Clock, Decision, Entropy, Peer, Verdict
from quorate.errors import UsageError
from quorate.node.config import Settings
from quorate.node.governance import policies_of
from quorate.operations.kinds import Kind
from quorate.rpc.approver import GrpcApprover
from quorate.rpc.findings import Finding, Level
from quorate.storage import SqliteLedger

PATIENCE = 60.0  # seconds for all samples together


async def ask_approver(
    settings: Settings, ledger: SqliteLedger, kinds: Sequence[Kind], *, clock: Clock, entropy: Entropy
) -> tuple[Finding, ...]:
    """Put samples to the approver of these settings as the node that this store is of."""
    return await examine_approver(
        settings.approver, ledger.me, ledger.identity.sign,
        clock=clock, entropy=entropy, kinds=kinds, named=settings.approvers, signed=_signed(settings, ledger),
    )  # fmt: skip


def _signed(settings: Settings, ledger: SqliteLedger) -> Policy | None:
    row = policies_of(settings, ledger).in_force()
    return None if row is None else parse_policy(row.policy, f"version {row.version}")


async def examine_approver(
    options: ApproverOptions,
    me: Peer,
    sign: Callable[[bytes], bytes],
    *,
    clock: Clock,
    entropy: Entropy,
    kinds: Sequence[Kind] = tuple(Kind),
    named: Named = MappingProxyType({}),
    signed: Policy | None = None,
) -> tuple[Finding, ...]:
    """One finding for each kind of request, of every approver that the configuration comes to. Whether a sample is
    approved or not is the approver's business. ``signed``: the policy that serves in place of a file."""
    book = Book(Memory(), here=me.device)  # of its own: a sample takes nothing of a limit
    means = Means(sign=sign, device=me.device, clock=clock, book=book, grpc=GrpcApprover.made)
    leaves = dict(_leaves(options, named, signed))
    found = await asyncio.gather(
        *(_examine(label, leaf, means, me, entropy, kinds, signed) for label, leaf in leaves.items())
    )
    return tuple(chain.from_iterable(found))


def _leaves(
    options: ApproverOptions, named: Named, signed: Policy | None, label: str = "approver"
) -> Iterator[tuple[str, ApproverOptions]]:
    """Every approver that is asked in the end, combinations taken apart, with whom policies ask."""
    asked = options.of
    if options.policy is not None:
        policy = _policy(options.policy, signed)
        asked = tuple(sorted(policy.asks)) if policy is not None else ()
        yield label, options
    elif not asked:
        yield label, options
    for name in asked:
        if name not in named:
            raise UsageError(f"there is no [approvers.{name}]")
        yield from _leaves(named[name], named, signed, f"approver {name}")


def _policy(options: PolicyOptions, signed: Policy | None) -> Policy | None:
    return signed or (read_policy(options.file) if options.file is not None else None)


async def _examine(
    label: str,
    options: ApproverOptions,
    means: Means,
    me: Peer,
    entropy: Entropy,
    kinds: Sequence[Kind],
    signed: Policy | None,
) -> tuple[Finding, ...]:
    if options.type == "manual":
        return tuple(
            Finding(
                check=f"{label} {kind}", level=Level.OK,
                said="a person decides: quorate approve list shows what waits",
            )
            for kind in kinds
        )  # fmt: skip
    try:
        # Reading the system's authorities takes a while.
        approver = await asyncio.to_thread(_alone, once(options), means, signed)
        async with asyncio.timeout(PATIENCE):
            said = await rehearse(approver, me, now_ms=means.clock.now_ms(), entropy=entropy, kinds=kinds)
    except TimeoutError:
        return tuple(
            Finding(
                check=f"{label} {kind}", level=Level.PROBLEM, code="TIMEOUT",
                said=f"no answer within {PATIENCE:g} s", remedy="lower the approver's timeout in quorate.toml",
            )
            for kind in kinds
        )  # fmt: skip
    return tuple(finding(kind, decision, label) for kind, decision in said)


def _alone(options: ApproverOptions, means: Means, signed: Policy | None) -> Approver:
    """The approver by itself: whom a policy would ask is examined apart, and not asked about its samples."""
    if options.policy is None:
        return build_approver(options, means)[0]
    policy = _policy(options.policy, signed)
    others = dict.fromkeys(policy.asks if policy is not None else (), NoApprover())
    source = Fixed(policy) if policy is not None else Governed(Ungoverned(), means.library, None)
    return PolicyApprover(source, means.book, means.clock, others=others)


def once(options: ApproverOptions) -> ApproverOptions:
    """The same approver, asked only once: what is wrong the first time is to be seen."""
    return options.model_copy(
        update={
            "webhook": options.webhook and options.webhook.model_copy(update={"tries": 1}),
            "grpc": options.grpc and options.grpc.model_copy(update={"tries": 1}),
            "evm_contract": options.evm_contract and options.evm_contract.model_copy(update={"tries": 1}),
        }
    )


def finding(kind: Kind, decision: Decision, label: str = "approver") -> Finding:
    check = f"{label} {kind}"
    if decision.approver.startswith(POLICY) and not decision.rule.startswith(("PO-3", "PG-")):
        said = f"the policy says {decision.verdict.name.lower()} to the sample: {decision.rule}"
        return Finding(check=check, level=Level.OK, said=said)
    if decision.verdict is Verdict.REFUSE or decision.rule.startswith("AE-1.5"):
        rule, _, name = decision.rule.partition(" ")
        return Finding(
            check=check,
            level=Level.PROBLEM,
            code=rule,
            said=f"{name}: {decision.explanation}",
            remedy=remedy_for(decision),
        )
    if decision.approver == "always":
        return Finding(
            check=check,
            level=Level.WARNING,
            code=decision.rule.partition(" ")[0],
            said="everything is approved without asking anybody",
            remedy=remedy_for(decision),
        )
    return Finding(
        check=check,
        level=Level.OK,
        said=f"{decision.approver} answers as it should, and says {decision.verdict.name.lower()} to the sample",
    )
