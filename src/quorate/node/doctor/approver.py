"""Does the approver answer, and does its answer count?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from quorate.approval.configure import ApproverOptions, build_approver
from quorate.approval.rehearsal import rehearse, remedy_for
from quorate.ceremony.ports import Clock, Decision, Entropy, Peer, Verdict
from quorate.operations.kinds import Kind
from quorate.rpc.findings import Finding, Level

PATIENCE = 60.0  # seconds for all samples together


async def examine_approver(
    options: ApproverOptions,
    me: Peer,
    sign: Callable[[bytes], bytes],
    *,
    clock: Clock,
    entropy: Entropy,
    kinds: Sequence[Kind] = tuple(Kind),
) -> tuple[Finding, ...]:
    """One finding for each kind of request. Whether a sample is approved or not is the approver's business."""
    if options.type == "manual":
        return tuple(
            Finding(
                check=f"approver {kind}", level=Level.OK,
                said="a person decides: quorate approve list shows what waits",
            )
            for kind in kinds
        )  # fmt: skip
    # Reading the system's authorities takes a while.
    approver = await asyncio.to_thread(build_approver, once(options), sign=sign, device=me.device)
    try:
        async with asyncio.timeout(PATIENCE):
            said = await rehearse(approver, me, now_ms=clock.now_ms(), entropy=entropy, kinds=kinds)
    except TimeoutError:
        return tuple(
            Finding(
                check=f"approver {kind}", level=Level.PROBLEM, code="TIMEOUT",
                said=f"no answer within {PATIENCE:g} s", remedy="lower timeout in [approver.webhook]",
            )
            for kind in kinds
        )  # fmt: skip
    return tuple(finding(kind, decision) for kind, decision in said)


def once(options: ApproverOptions) -> ApproverOptions:
    """The same approver, asked only once: what is wrong the first time is to be seen."""
    webhook = options.webhook and options.webhook.model_copy(update={"tries": 1})
    return options.model_copy(update={"webhook": webhook})


def finding(kind: Kind, decision: Decision) -> Finding:
    check = f"approver {kind}"
    if decision.verdict is Verdict.REFUSE:
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
