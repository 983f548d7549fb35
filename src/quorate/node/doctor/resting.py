"""Examines a node that does not run: whether it could, and whether anything listens where its peers should be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from quorate.ceremony.ports import Peer
from quorate.errors import QuorateError, UsageError
from quorate.node import config, founding, logs
from quorate.node.doctor.approver import ask_approver
from quorate.node.doctor.examiner import ONE_OF_EACH_URL
from quorate.node.doctor.machine import examine_disk, examine_ports, examine_store, refused
from quorate.node.doctor.verdicts import fine, problem, warning
from quorate.node.entropy import SystemClock, SystemEntropy
from quorate.operations.kinds import Kind
from quorate.rpc.findings import Examination, Finding

CONNECT = 3.0  # seconds


async def examine_resting(home: Path) -> Examination:
    logs.configure("error", "text", home.name)
    findings = [warning("node", code="NOT_RUNNING", said=f"no node runs on {home}")]
    try:
        settings = config.load(home)
    except UsageError as error:
        return Examination(findings=(*findings, refused("settings", error)))
    findings.append(fine("settings", str(home / config.FILE)))
    findings += [examine_disk(home), examine_store(home, home / founding.STORE), *examine_ports(settings)]
    try:
        with founding.opened(home, settings) as ledger:
            findings.append(fine("key", "opens the store"))
            me, known = ledger.me, ledger.peers()
            findings += await ask_approver(
                settings, ledger, ONE_OF_EACH_URL, clock=SystemClock(), entropy=SystemEntropy()
            )
    except QuorateError as error:
        return Examination(findings=(*findings, refused("key", error)))
    others = [peer for peer in known.values() if peer.device != me.device]
    if not others:
        findings.append(problem("peers", code="NO_PEERS", said="no other signer is known here"))
    findings += await asyncio.gather(*map(_knock, others))
    return Examination(findings=tuple(findings))


async def try_approver(home: Path) -> Sequence[Finding]:
    """The same samples a running node would send."""
    logs.configure("error", "text", home.name)
    settings = config.load(home)
    with founding.opened(home, settings) as ledger:
        return await ask_approver(settings, ledger, tuple(Kind), clock=SystemClock(), entropy=SystemEntropy())


async def _knock(peer: Peer) -> Finding:
    """Whether anything listens at the address; who it is shows only to a running node."""
    check = f"peer {peer.name}"
    host, _, port = peer.address.rpartition(":")
    try:
        async with asyncio.timeout(CONNECT):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        writer.close()
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or "no such host"
        return problem(check, code="UNREACHABLE", said=f"nothing listens at {peer.address}: {why}")
    return fine(check, f"something listens at {peer.address}")
