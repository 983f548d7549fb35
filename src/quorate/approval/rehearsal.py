"""Asking an approver about samples, and what to do about an answer that does not count."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import MappingProxyType

from quorate.ceremony.ports import ApprovalRequest, Approver, Decision, Entropy, Peer
from quorate.operations.kinds import Kind
from quorate.operations.request_json import SignerFacts
from quorate.operations.sample import sample

_CONFIGURE = 'set [approver] in quorate.toml: type = "webhook" and its [approver.webhook] section'
_ADDRESS = "start the approver, or correct transaction_url or reshare_url in [approver.webhook]"
_ANSWER = "correct the approver: docs/spec/approval.md, The answer"
_SCHEME = (
    'have the approver send Signature: keyId="eddsa-key",algorithm="hs2019",headers="content-type digest",...'
)

REMEDIES = MappingProxyType(
    {
        "AP-1.1": _CONFIGURE,
        "AP-1.2": "use `always` for trials only: whoever may ask this node can use its shares",
        "AP-2.1": _ADDRESS,
        "AP-2.2": "make the approver answer sooner, or raise timeout in [approver.webhook]",
        "AP-2.3": "check the approver's certificate and host name, ca_file, and whether it asks for client_certificate",
        "AP-2.4": "check that an HTTP server listens there (https or http as in the URL), and look at its log",
        "AP-2.5": "put the URL it redirects to into [approver.webhook]",
        "AP-2.6": "check the URL's path and the approver's log: whatever it decides, it answers 200",
        "AP-2.7": "have the approver answer with the verdict and nothing else",
        "AP-3.1": "have the approver send Content-Type: application/json, without a charset",
        "AP-3.2": "have the approver send Digest: SHA-512=<base64> of the very bytes of its body, once",
        "AP-3.3": _SCHEME,
        "AP-3.4": _SCHEME,
        "AP-3.5": _SCHEME,
        "AP-3.6": "compare public_key in [approver.webhook] with the key the approver signs with, and what it signs: "
        "the two lines `content-type: application/json` and `digest: SHA-512=...`, no newline at the end",
        "AP-3.7": "have the approver answer with one JSON object in UTF-8",
        "AP-3.8": "have the approver write each key of its JSON once",
        "AP-3.9": "have the approver return the VS-Nonce of the question in its body, as a JSON integer "
        "(64 bits: not through a float)",
        "AP-3.10": "have the approver return the Quorate-Operation-Digest of the question it answers, or none",
        "AP-3.11": "have the approver answer with status approved, rejected or abstain",
        "AP-4.4": "look at the log: the approver failed, or gave no decision",
        "AE-1.1": "check urls, ca_file and timeout in the evm_contract section, and that the endpoints answer",
        "AE-1.2": "check each URL's path and key: an endpoint answers 200",
        "AE-1.3": "look at what the endpoint says: whether the contract reverts, and whether it serves this block",
        "AE-1.4": "use endpoints of the chain that chain_id names",
        "AE-1.5": "check that contract is an approval contract on this chain",
        "AE-1.6": "have the contract return a uint8: 0 approve, 1 reject, 2 abstain",
        "AE-1.7": 'ask again; if it persists, one of the endpoints lies or is behind: try block = "finalized"',
        "PG-3.2": "have the governing vault sign a policy, or name a bootstrap file",
        "AG-1.1": "start the approver, and check address, ca_file, server_name, client_certificate and timeout in its "
        "grpc section",
        "AG-1.2": "look at the approver's log: whatever it decides, it answers OK",
        "AG-1.3": "have the approver return the question's nonce",
        "AG-1.4": "have the approver return the question's digest",
        "AG-1.5": "have the approver answer VERDICT_APPROVE, VERDICT_REJECT or VERDICT_ABSTAIN",
    }
)
"""By rule of docs/spec/approval.md."""


def remedy_for(decision: Decision) -> str:
    return REMEDIES.get(decision.rule.partition(" ")[0], _ANSWER)


async def rehearse(
    approver: Approver,
    me: Peer,
    *,
    now_ms: int,
    entropy: Entropy,
    kinds: Sequence[Kind] = tuple(Kind),
) -> Sequence[tuple[Kind, Decision]]:
    """What the approver says to a sample of each kind, asked side by side. It is told to nobody else: no decision is
    kept, and no operation has a sample's id or digest."""
    signer = SignerFacts(
        device=me.device, uuid=me.uuid, name=me.name, client_record=me.client_record, weight=1
    )

    async def ask(kind: Kind) -> Decision:
        asked = sample(kind, signer, me.identity_key, now_ms=now_ms, salt=entropy.public(16))
        return await approver.decide(
            ApprovalRequest(
                operation=asked.id,
                digest=asked.digest,
                route=asked.route,
                body=asked.body,
                expires_ms=asked.expires_ms,
                effect=asked.effect,
            )
        )

    return tuple(zip(kinds, await asyncio.gather(*map(ask, kinds)), strict=True))
