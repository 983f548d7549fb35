"""A node that asks a backend: its options, its device key, its question."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from quorate.approval.configure import Means, build_approver
from quorate.approval.options import ApproverOptions
from quorate.approval.policy.book import Book, Memory
from quorate.ceremony.ports import ApprovalRequest, Approver, Decision
from quorate.node.entropy import SystemClock
from quorate.operations.reading import effect_of
from quorate.operations.request_json import route, sign_json
from quorate.rpc.approver import GrpcApprover
from tests.approval.authorities import Authority
from tests.approval.backend import APPROVER_KEY, Backend
from tests.approval.facts import ALICE, sign, vault

_FILES = TemporaryDirectory()
# One authority that nothing here is certified by: it loads much faster than the system's hundreds.
_AUTHORITY = Authority(Path(_FILES.name), "nobody's")
DEVICE_KEY = Ed25519PrivateKey.from_private_bytes(b"device".ljust(32, b"."))
APPROVER_PEM = (
    APPROVER_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
)
OPERATION = sign()
REQUEST = ApprovalRequest(
    operation=OPERATION.id,
    digest=OPERATION.digest,
    route=route(OPERATION.kind),
    body=sign_json(OPERATION, vault()),
    expires_ms=OPERATION.expires_ms,
    effect=effect_of(OPERATION),
)


def options(url: str, **changes: Any) -> dict[str, Any]:
    """A webhook section for this backend, one try and a patience no sound answer runs out of."""
    return {
        "transaction_url": f"{url}/transactions",
        "reshare_url": f"{url}/reshares",
        "public_key": APPROVER_PEM,
        "ca_file": _AUTHORITY.file,
        "timeout": 60.0,
        "tries": 1,
        "backoff": 0.0,
        **changes,
    }


def approver(url: str, **changes: Any) -> Approver:
    section = {"type": "webhook", "webhook": options(url, **changes)}
    return built(section)


def means() -> Means:
    """What approvers get of a node that remembers nothing."""
    book = Book(Memory(), here=ALICE)
    return Means(sign=DEVICE_KEY.sign, device=ALICE, clock=SystemClock(), book=book, grpc=GrpcApprover.made)


def built(section: dict[str, Any], **named: dict[str, Any]) -> Approver:
    """The approver of a section, which may name others."""
    others = {name: ApproverOptions.model_validate(each) for name, each in named.items()}
    return build_approver(ApproverOptions.model_validate(section), means(), others)[0]


async def ask(backend: Backend, request: ApprovalRequest = REQUEST, **changes: Any) -> Decision:
    return await approver(backend.url, **changes).decide(request)
