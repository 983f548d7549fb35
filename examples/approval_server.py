"""An approval server for Quorate's `webhook` approver, in one file: the standard library and `cryptography`.

    python examples/approval_server.py --port 8080 --key key.pem --reject no --abstain later@/carol
    python examples/approval_server.py --key key.pem --print-public-key

It approves what a node asks unless a word of a rule occurs in the request's memo or in the data to be signed
(batch items, and hex or base64 data decoded). `WORD@/carol` applies to requests whose path starts with
/carol, so one server can answer several nodes differently. A start, and nothing more: it checks no caller.

Every answer echoes the request's nonce and operation digest, and is signed with Ed25519 over its content type
and SHA-512 digest.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

MAX_BODY = 4 << 20
MAX_NONCE = 0x7FFFFFFFFFFFFFFE


class Rule(NamedTuple):
    verdict: str
    word: str
    path: str

    @classmethod
    def parse(cls, verdict: str, text: str) -> Rule:
        word, separator, path = text.rpartition("@/")
        return cls(verdict, word, "/" + path) if separator else cls(verdict, text, "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    key: Ed25519PrivateKey
    rules: tuple[Rule, ...]
    delay: float

    def decide(self, path: str, request: dict[str, Any]) -> str:
        texts = list(texts_of(request))
        for rule in self.rules:
            if path.startswith(rule.path) and any(rule.word in text for text in texts):
                return rule.verdict
        return "approved"

    def answer(self, verdict: str, nonce: int, operation: str | None) -> tuple[bytes, dict[str, str]]:
        """The body, and the headers that prove it."""
        bound = {"digest": operation} if operation else {}
        body = json.dumps({"status": verdict, "nonce": nonce, **bound}).encode()
        digest = "SHA-512=" + base64.b64encode(hashlib.sha512(body).digest()).decode()
        signed = f"content-type: application/json\ndigest: {digest}".encode()
        signature = base64.b64encode(self.key.sign(signed)).decode()
        return body, {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Digest": digest,
            "Signature": 'keyId="eddsa-key",algorithm="hs2019",headers="content-type digest",'
            f'signature="{signature}"',
        }


def texts_of(request: dict[str, Any]) -> Iterator[str]:
    """Everything a rule reads: the memo, and the data to be signed as text."""
    yield str((request.get("details") or {}).get("memo") or "")
    signing = request.get("signingData") or {}
    content_type = str(signing.get("contentType") or "")
    for item in [signing.get("data") or "", *(signing.get("batchData") or [])]:
        yield decode(str(item), content_type)


def decode(item: str, content_type: str) -> str:
    if content_type.endswith("+hex"):
        return bytes.fromhex(item.removeprefix("0x")).decode(errors="replace")
    if content_type.endswith("+base64"):
        return base64.b64decode(item, validate=True).decode(errors="replace")
    return item


def handler_for(approver: Approver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            try:
                size = int(self.headers["Content-Length"] or "")
                nonce = int(self.headers["VS-Nonce"] or "")
                if not (0 <= size <= MAX_BODY and 1 <= nonce <= MAX_NONCE):
                    raise ValueError("a size or a nonce out of bounds")
                request = json.loads(self.rfile.read(size))
                verdict = approver.decide(self.path, request)
            except (ValueError, TypeError, AttributeError, binascii.Error) as malformed:
                report(self.path, "malformed", type(malformed).__name__)
                self.close_connection = True
                self.send_error(400)
                return
            time.sleep(approver.delay)
            body, headers = approver.answer(verdict, nonce, self.headers["Quorate-Operation-Digest"])
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            report(self.path, str(request.get("__typename")), verdict)

        def log_message(self, *_: object) -> None:
            """Nothing: ``report`` has said it already."""

    return Handler


def report(*words: str) -> None:
    """One line for each request: where, what kind, which verdict. Never a body."""
    print(*(word.encode("unicode_escape").decode()[:80] for word in words), file=sys.stderr, flush=True)


def load_key(path: Path) -> Ed25519PrivateKey:
    """The PEM key at ``path``, made there, readable by its owner only, if there is none."""
    if path.exists():
        key = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise SystemExit(f"{path} holds no Ed25519 key")
        return key
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return key


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer Quorate's approval requests.")
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one and prints it")
    parser.add_argument("--key", type=Path, required=True, help="Ed25519 key file (PEM), created if absent")
    parser.add_argument("--print-public-key", action="store_true", help="print the public key (PEM) and exit")
    parser.add_argument(
        "--public-key", type=Path, metavar="FILE", help="also write the public key (PEM) there"
    )
    parser.add_argument("--reject", metavar="WORD[@/PATH]", action="append", default=[])
    parser.add_argument("--abstain", metavar="WORD[@/PATH]", action="append", default=[])
    parser.add_argument("--delay", type=float, default=0.0, help="seconds to think before each answer")
    options = parser.parse_args()
    key = load_key(options.key)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if options.print_public_key:
        print(public.decode(), end="")
        return
    if options.public_key is not None:
        options.public_key.write_bytes(public)
    rules = [Rule.parse("rejected", text) for text in options.reject]
    rules += [Rule.parse("abstain", text) for text in options.abstain]
    approver = Approver(key=key, rules=tuple(rules), delay=options.delay)
    server = ThreadingHTTPServer((options.bind, options.port), handler_for(approver))
    print(f"listening on http://{options.bind}:{server.server_port}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


if __name__ == "__main__":
    main()
