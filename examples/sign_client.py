"""Sign with a vault from any program: a credentials file and the published proto, and nothing of Quorate's.

    python examples/sign_client.py --credentials treasury.json --vault ops --text hello

Needs grpcio, grpcio-tools (which brings protobuf) and cryptography. It asks for the signature, waits, and believes it
only after verifying it under the vault's own key; then it prints one JSON object. Exit code 1 if there is no signature.
"""

from __future__ import annotations

import argparse
import json
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parent.parent / "proto"
PACKAGE, ENTRY = "quorate.v1", "quorate/v1/node.proto"
CURVES = {"EDDSA": "CURVE_ED25519", "ES256K": "CURVE_SECP256K1"}
PATIENCE_MS = 30_000  # of one wait; a node allows 60 s


class Node:
    """The services of one node. ``ca_pem`` is the only certificate it may show, whatever its address.

    What they are comes from the published files alone, compiled to descriptors: no generated module, whose name
    another package could take.
    """

    def __init__(self, credentials: dict[str, str], proto: Path) -> None:
        self._described = described(proto)
        certificate = x509.load_pem_x509_certificate(credentials["ca_pem"].encode())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self._channel = grpc.secure_channel(
            credentials["endpoint"],
            grpc.ssl_channel_credentials(credentials["ca_pem"].encode(), *own_certificate(credentials)),
            options=[("grpc.ssl_target_name_override", names.get_values_for_type(x509.DNSName)[0])],
        )
        secret = credentials.get("secret")
        self._metadata = (
            (("quorate-client", credentials["client_id"]), ("quorate-secret", secret)) if secret else ()
        )

    def call(self, service: str, method: str, **fields: Any) -> Any:
        """The answer to one call, whose request has these fields."""
        name = f"{PACKAGE}.{service}"
        described = self._described.FindServiceByName(name).methods_by_name[method]
        request, answer = map(GetMessageClass, (described.input_type, described.output_type))
        ask = self._channel.unary_unary(
            f"/{name}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        return ask(request(**fields), metadata=self._metadata, timeout=PATIENCE_MS / 1000 + 10)


def own_certificate(credentials: dict[str, str]) -> tuple[bytes | None, bytes | None]:
    """The key and the certificate of a client that has one instead of a secret."""
    if "certificate_pem" not in credentials:
        return None, None
    key = credentials.get("private_key_pem") or Path(credentials["private_key_file"]).read_text()
    return key.encode(), credentials["certificate_pem"].encode()


def described(proto: Path) -> DescriptorPool:
    """The services and messages of the files in a directory."""
    with TemporaryDirectory() as scratch:
        out = Path(scratch, "quorate.binpb")
        command = ["protoc", f"-I{proto}", "--include_imports", f"--descriptor_set_out={out}", ENTRY]
        if protoc.main(command) != 0:
            raise SystemExit(f"{proto} does not hold the published {ENTRY}")
        files = FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def sign(node: Node, vault: str, text: str, algorithm: str, key: str) -> dict[str, Any]:
    """One signature over the text's UTF-8. The same idempotency key again is the same operation."""
    operation = node.call(
        "SigningService",
        "Sign",
        vault=vault,
        data=text,
        content_type="text/plain",
        algorithm=algorithm,
        idempotency_key=key,
    )
    states = operation.DESCRIPTOR.fields_by_name["state"].enum_type.values_by_number
    while (state := states[operation.state].name.removeprefix("OPERATION_STATE_")) in OPEN:
        operation = node.call(
            "OperationService", "WaitOperation", operation=operation.id, timeout_ms=PATIENCE_MS
        )
    if state != "COMPLETED":
        raise SystemExit(f"{operation.id} is {state}: {operation.reason} {operation.detail}")
    [made] = operation.signatures
    public_key = vault_key(node, vault, CURVES[algorithm])
    verify(algorithm, public_key, made.signature, text.encode())
    return {
        "operation": operation.id,
        "public_key": public_key.hex(),
        "signature": made.signature.hex(),
        "verified": True,
    }


OPEN = ("PROPOSED", "VOTING", "APPROVED", "RUNNING")


def vault_key(node: Node, vault: str, curve: str) -> bytes:
    """The vault's own key on this curve, as the vault and not the signature names it."""
    held = node.call("VaultService", "GetVault", vault=vault)
    names = held.public_keys[0].DESCRIPTOR.fields_by_name["curve"].enum_type.values_by_name
    [key] = [each for each in held.public_keys if each.curve == names[curve].number]
    return bytes(key.public_key)


def verify(algorithm: str, public_key: bytes, signature: bytes, message: bytes) -> None:
    """Raises InvalidSignature unless the signature is the key's over the message."""
    if algorithm == "EDDSA":
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        return
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), public_key)
    key.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Have a vault sign a text.")
    parser.add_argument("--credentials", type=Path, required=True, help="from `quorate client add`")
    parser.add_argument("--vault", required=True, help="name or id")
    parser.add_argument("--text", required=True)
    parser.add_argument("--algorithm", choices=CURVES, default="EDDSA", help="ES256K is ECDSA on secp256k1")
    parser.add_argument("--idempotency-key", default="", help="the same key and text are the same operation")
    parser.add_argument("--proto", type=Path, default=PROTO, help="directory that holds quorate/v1/*.proto")
    options = parser.parse_args()
    node = Node(json.loads(options.credentials.read_text()), options.proto)
    try:
        signed = sign(
            node, options.vault, options.text, options.algorithm, options.idempotency_key or uuid.uuid4().hex
        )
    except grpc.RpcError as error:
        raise SystemExit(f"{error.code().name}: {error.details()}") from None
    print(json.dumps(signed))


if __name__ == "__main__":
    main()
