"""Who may touch the compiled module, and who may take a secret out of its memory."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import quorate
from quorate.node.entropy import SystemEntropy

ROOT = Path(quorate.__file__).parent

REVEALERS = {
    "curves/scalar.py": "what reveal and publish are made of",
    "node/certificates.py": "gRPC takes the TLS keys as bytes",
    "primitives/drbg.py": "hashlib: fresh randomness is folded with what it is for",
    "protocols/ecdsa/lane.py": "hashlib: the hedge goes into the seed of nonces",
    "protocols/ecdsa/terms.py": "hashlib: a share of zero is a hash of the seed",
    "protocols/eddsa/hashes.py": "hashlib: a nonce is a hash of secrets",
    "protocols/eddsa/nonces.py": "hashlib: fresh randomness is folded with what it is for",
    "protocols/quorum.py": "hashlib: the hedge secret is a hash of the shares",
    "protocols/reshare.py": "hashlib: the hedge goes into what a dealer draws",
    "recovery/backup.py": "sealing; what was sealed is decoded",
    "recovery/device.py": "what was sealed is decoded",
    "recovery/exports.py": "what its user asked for: a key",
    "recovery/locks.py": "sealing; argon2 takes the passphrase as bytes",
    "storage/certificates.py": "OpenSSL reads the TLS key",
    "storage/keywrap/aws_kms.py": "KMS encrypts the node key, and takes it as bytes",
    "storage/sealed.py": "sealing",
    "protocols/ot/setup.py": "hashlib takes the halves of the zero seed as bytes; the name of a set-up that was kept",
    "wire/codec.py": "private messages",
    "wire/courier.py": "hashlib takes a shared secret as bytes; a complaint discloses a session key",
}


def modules() -> dict[str, ast.Module]:
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}


def imports_the_compiled_module(module: ast.Module) -> bool:
    for node in ast.walk(module):
        match node:
            case ast.Import(names=names) if any("_native" in name.name.split(".") for name in names):
                return True
            case ast.ImportFrom(module=source, names=names) if "_native" in (source or "").split(".") or any(
                name.name == "_native" for name in names
            ):
                return True
    return False


def reveals(module: ast.Module) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr == "reveal" for node in ast.walk(module))


def test_the_systems_secret_randomness_does_not_pass_through_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def urandom(_: int) -> bytes:
        raise AssertionError("a copy in Python's memory")

    monkeypatch.setattr("os.urandom", urandom)
    first, second = (SystemEntropy().secret(64) for _ in range(2))
    assert len(first) == 64
    assert first != second


def test_only_native_imports_the_compiled_module() -> None:
    importers = {
        name.split("/")[0] for name, module in modules().items() if imports_the_compiled_module(module)
    }
    assert importers == {"native"}


def test_a_secret_leaves_its_memory_only_where_a_reason_is_given() -> None:
    revealers = {name for name, module in modules().items() if reveals(module)}
    assert revealers == set(REVEALERS)
