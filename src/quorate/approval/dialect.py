"""The webhook dialect, without the HTTP: what a question carries, and which answers are sound.

Every check is a rule of docs/spec/approval.md. ``Denied`` refuses the answer that breaks one, by its rule;
what such an answer claims to say is not looked at.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from quorate.ceremony.ports import ApprovalRequest, Verdict
from quorate.errors import Denied
from quorate.identifiers import DeviceId

APPROVER = "webhook"
MAX_NONCE = 0x7FFFFFFFFFFFFFFE
MAX_ANSWER = 64 << 10
"""Bytes of an answer's body."""
MAX_DEPTH = 16
"""Arrays and objects within each other; the dialect itself has one."""

_CONTENT_TYPE = "application/json"
_KEY_ID = "eddsa-key"
_ALGORITHM = "hs2019"
_SIGNED_HEADERS = "content-type digest"
_STATUSES = MappingProxyType(
    {"approved": Verdict.APPROVE, "rejected": Verdict.REJECT, "abstain": Verdict.ABSTAIN}
)
_PARAMETER = r'([A-Za-z]+)="([^"]*)"'
_PARAMETERS = re.compile(rf"{_PARAMETER}(?:[ \t]*,[ \t]*{_PARAMETER})*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_BRACKET = re.compile(r"[\[\]{}]")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def insist(holds: bool, rule: str, explanation: str) -> None:
    """Refuse under ``rule`` unless the check holds."""
    if not holds:
        raise Denied(explanation, approver=APPROVER, rule=rule)


def fresh_nonce() -> int:
    """1 to ``MAX_NONCE``, for one question only."""
    return 1 + secrets.randbelow(MAX_NONCE)


def question(
    request: ApprovalRequest, *, nonce: int, sign: Callable[[bytes], bytes], device: DeviceId
) -> tuple[bytes, dict[str, str]]:
    """The body to send and its headers, signed by the device key as the approver will sign its answer."""
    body = request.encoded()
    digest = _body_digest(body)
    signature = base64.b64encode(sign(_signed_text(digest))).decode()
    return body, {
        "Content-Type": _CONTENT_TYPE,
        "Accept": _CONTENT_TYPE,
        "Accept-Encoding": "identity",  # the digest is of the bytes as sent
        "User-Agent": "quorate",
        "VS-Nonce": str(nonce),
        "Accept-Signature": f'sig1=("content-type" "digest");nonce={nonce};keyid="{_KEY_ID}"',
        "Quorate-Operation-Digest": request.digest.hex(),
        "Digest": digest,
        "Signature": (
            f'keyId="{device}",algorithm="{_ALGORITHM}",headers="{_SIGNED_HEADERS}",signature="{signature}"'
        ),
    }


def verdict(
    headers: Mapping[str, Sequence[str]],
    body: bytes,
    *,
    request: ApprovalRequest,
    nonce: int,
    key: Ed25519PublicKey,
) -> Verdict:
    """What a sound answer says. ``headers`` maps a lower-case name to every value received under it."""
    content_type = _single(headers, "content-type")
    insist(
        content_type == _CONTENT_TYPE,
        "AP-3.1 content type",
        f"the answer's content type is {_shown(content_type)}, not {_CONTENT_TYPE}",
    )
    digest = _body_digest(body)
    received = _single(headers, "digest")
    insist(
        received == digest,
        "AP-3.2 digest",
        f"the answer's digest header is {_shown(received)}, its body's digest {digest}",
    )
    _check_signature(_single(headers, "signature"), _signed_text(digest), key)
    answer = _object(body)
    # A JSON true equals 1, and 5.0 equals 5: the type counts.
    insist(
        type(answer.get("nonce")) is int and answer["nonce"] == nonce,
        "AP-3.9 nonce",
        f"the answer's nonce is {_shown(answer.get('nonce'))}, the question's {nonce}",
    )
    bound = answer.get("digest", request.digest.hex())
    insist(
        bound == request.digest.hex(),
        "AP-3.10 operation digest",
        f"the answer is for operation digest {_shown(bound)}, the question was {request.digest.hex()}",
    )
    status = answer.get("status")
    insist(
        isinstance(status, str) and status in _STATUSES,
        "AP-3.11 status",
        f"the answer's status is {_shown(status)}, not one of {', '.join(_STATUSES)}",
    )
    return _STATUSES[str(status)]


def approver_key(text: str) -> Ed25519PublicKey:
    """The approver's public key: PEM (SPKI), or the hex of that PEM text. ``ValueError`` if it is neither."""
    pem = text.strip().encode()
    if re.fullmatch(rb"(?:[0-9a-fA-F]{2})+", pem):
        pem = bytes.fromhex(pem.decode())
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("neither a PEM public key nor the hex of one") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError(f"an Ed25519 key is needed, not {type(key).__name__}")
    return key


def _check_signature(header: str | None, signed: bytes, key: Ed25519PublicKey) -> None:
    """``header`` is the signature in base64, or the form that also names key, algorithm and headers."""
    if header is not None and _BASE64.fullmatch(header):
        encoded = header
    else:
        given = _parameters(header or "")
        insist(
            given["keyId"] == _KEY_ID,
            "AP-3.4 key",
            f"the answer is signed by key {_shown(given['keyId'])}, not {_KEY_ID}",
        )
        insist(
            (given["algorithm"], given["headers"]) == (_ALGORITHM, _SIGNED_HEADERS),
            "AP-3.5 signature scheme",
            f"the signature is {_shown(given['algorithm'])} over {_shown(given['headers'])}, "
            f"not {_ALGORITHM} over {_SIGNED_HEADERS!r}",
        )
        encoded = given["signature"]
    insist(
        _verifies(encoded, signed, key),
        "AP-3.6 signature",
        "the signature does not verify with the configured public key: another key signed, or other bytes",
    )


def _parameters(header: str) -> dict[str, str]:
    pairs = re.findall(_PARAMETER, header) if _PARAMETERS.fullmatch(header) else []
    insist(
        sorted(name for name, _ in pairs) == ["algorithm", "headers", "keyId", "signature"],
        "AP-3.3 signature form",
        "one Signature header is needed: base64, or keyId, algorithm, headers and signature, each once",
    )
    return dict(pairs)


def _verifies(encoded: str, signed: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(base64.b64decode(encoded, validate=True), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def _object(body: bytes) -> dict[str, Any]:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        insist(len(dict(pairs)) == len(pairs), "AP-3.8 duplicate key", "the answer's JSON has a key twice")
        return dict(pairs)

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not JSON")

    answer = None
    with contextlib.suppress(ValueError):
        text = body.decode()
        if _shallow(text):
            answer = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    insist(isinstance(answer, dict), "AP-3.7 JSON", f"the answer's {len(body)} bytes are not one JSON object")
    return dict(answer or {})


def _shallow(text: str) -> bool:
    """Whether nothing is nested deeper than ``MAX_DEPTH``. How deep the parser goes by itself is a setting of the
    interpreter's that any imported package may have raised."""
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            return False
    return True


def _body_digest(body: bytes) -> str:
    return "SHA-512=" + base64.b64encode(hashlib.sha512(body).digest()).decode()


def _signed_text(digest: str) -> bytes:
    return f"content-type: {_CONTENT_TYPE}\ndigest: {digest}".encode()


def _single(headers: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = headers.get(name, ())
    return values[0] if len(values) == 1 else None


def _shown(value: object) -> str:
    """A stranger's words, made fit for a log: escaped and cut."""
    text = f"a {type(value).__name__}" if isinstance(value, (dict, list)) else ascii(value)
    return text if len(text) <= 100 else text[:100] + "..."
