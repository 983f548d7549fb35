"""A customer's approval API, written from the published description of the request and the answer and from nothing
else: it knows no header and no field that is not in there.

The request: POST, JSON, `VS-Nonce: <integer>`. The answer: 200, `{"status": ..., "nonce": <the same>}`, with
`Content-Type: application/json`, `digest: SHA-512=<base64>`, and `Signature` over `content-type` and `digest` by
Ed25519: either `keyId="eddsa-key",algorithm="hs2019",headers="content-type digest",signature="<base64>"`, or, as a
published example has it, the base64 alone.

    python documented_approver.py PORT-FILE PUBLIC-KEY-FILE full|bare

Its own rules: a text to sign that says `reject:/alice` is rejected where it is asked for at /alice, and
`abstain:/alice` abstained from; all else is approved.
"""

import base64
import hashlib
import json
import pathlib
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PORT_FILE, KEY_FILE, FORM = sys.argv[1:]
KEY = Ed25519PrivateKey.generate()


def decide(path: str, operation: dict[str, Any]) -> str:
    signing = operation.get("signingData") or {}
    text = "\n".join([signing.get("data") or "", *(signing.get("batchData") or ())])
    if f"reject:{path}" in text:
        return "rejected"
    if f"abstain:{path}" in text:
        return "abstain"
    return "approved"


class Api(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        operation = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"status": decide(self.path, operation), "nonce": int(self.headers["VS-Nonce"])}
        body = json.dumps(answer).encode()
        digest = "SHA-512=" + base64.b64encode(hashlib.sha512(body).digest()).decode()
        signed = KEY.sign(f"content-type: application/json\ndigest: {digest}".encode())
        signature = base64.b64encode(signed).decode()
        if FORM == "full":
            signature = (
                f'keyId="eddsa-key",algorithm="hs2019",headers="content-type digest",signature="{signature}"'
            )
        # Told before it is answered, and in one piece: several are asked at once.
        sys.stdout.write(f"{operation['__typename']} {self.path} {answer['status']} {answer['nonce']}\n")
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("digest", digest)
        self.send_header("Signature", signature)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


public = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
pathlib.Path(KEY_FILE).write_bytes(public)
pathlib.Path(PORT_FILE).write_text(str(server.server_port))
server.serve_forever()
