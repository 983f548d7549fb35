"""The node key from AWS KMS: 32 random bytes of which the store holds only what a key in KMS encrypted.

boto3 finds credentials as it always does (environment, profile, instance or task role); it is imported by nodes that
are configured so and by no others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from quorate.errors import Corrupt, Locked, UsageError
from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes
from quorate.primitives.domains import Domain
from quorate.wire.codec import Bytes16

TRIES = 3
# What KMS, or what signs the call, says no with, and what to do then.
REFUSALS: Mapping[str, str] = {
    "AccessDeniedException": "access is denied: the node's role needs kms:Encrypt and kms:Decrypt on this key",
    "DisabledException": "the key is disabled: enable it",
    "KMSInvalidStateException": "the key is not in a state to be used: it may be pending deletion",
    "NotFoundException": "there is no such key in this region and account",
    "IncorrectKeyException": "the store was locked under another key: name that one, or `quorate rewrap` from it",
    "InvalidCiphertextException": "it did not encrypt what the store holds: changed, or of another store or device",
    "InvalidKeyUsageException": "the key is not for encryption: a symmetric ENCRYPT_DECRYPT key is needed",
    "ExpiredTokenException": "the credentials have expired",
    "UnrecognizedClientException": "the credentials are not valid",
    "InvalidSignatureException": "the credentials are not valid, or this machine's clock is off",
    "ThrottlingException": "KMS is throttling this account: try again",
}


class _Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    key: str  # ARN, as KMS answered
    store: Bytes16  # random, a part of the context
    ciphertext: bytes


class Kms(Protocol):
    """What is used of boto3's client."""

    def encrypt(self, **fields: Any) -> Mapping[str, Any]: ...

    def decrypt(self, **fields: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKms:
    """``key``: id, ARN or alias of a symmetric key. ``timeout``: seconds for each of the tries."""

    key: str
    region: str = ""
    endpoint: str = ""
    timeout: float = 5.0

    @property
    def scheme(self) -> str:
        return "aws-kms"

    def enrol(self, device: DeviceId, /) -> str:
        store = os.urandom(16)
        with SecretBytes.random(32) as node_key, self._named():
            answer = self._client().encrypt(
                KeyId=self.key, Plaintext=node_key.reveal(), EncryptionContext=_context(device, store)
            )
        made = _Parameters(key=answer["KeyId"], store=store, ciphertext=answer["CiphertextBlob"])
        return msgspec.json.encode(made).decode()

    def unlock(self, device: DeviceId, parameters: str, /) -> SecretBytes:
        try:
            stored = msgspec.json.decode(parameters, type=_Parameters)
        except msgspec.MsgspecError as error:
            raise Corrupt(f"node: the KMS parameters do not read: {error}") from None
        with self._named():
            answer = self._client().decrypt(
                KeyId=self.key,
                CiphertextBlob=stored.ciphertext,
                EncryptionContext=_context(device, stored.store),
            )
        node_key = SecretBytes.of(answer["Plaintext"])
        if len(node_key) != 32:
            raise Corrupt("node: what KMS decrypted is no node key")
        return node_key

    def _client(self) -> Kms:
        import boto3
        from botocore.config import Config

        config = Config(
            connect_timeout=self.timeout,
            read_timeout=self.timeout,
            retries={"total_max_attempts": TRIES, "mode": "standard"},
        )
        client: Kms = boto3.session.Session().client(
            "kms", region_name=self.region or None, endpoint_url=self.endpoint or None, config=config
        )
        return client

    @contextmanager
    def _named(self) -> Iterator[None]:
        """ST-2.5 kms: whatever goes wrong is ``Locked``, and says what."""
        try:
            from botocore import exceptions as aws
        except ImportError:
            raise UsageError("AWS KMS needs boto3: pip install 'quorate[aws]'", code="NO_BOTO3") from None
        try:
            yield
        except (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError) as error:
            raise self._locked(f"no AWS credentials are found: {error}") from None
        except aws.NoRegionError:
            raise self._locked("no region is set: region in [key], or AWS_REGION") from None
        except aws.ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            why = REFUSALS.get(code, "KMS refused")
            raise self._locked(f"{why} ({code})") from None
        except (aws.ConnectionError, aws.HTTPClientError) as error:
            raise self._locked(f"no answer from KMS: {error}") from None
        except aws.BotoCoreError as error:
            raise self._locked(f"KMS cannot be asked: {error}") from None

    def _locked(self, why: str) -> Locked:
        return Locked(f"ST-2.5 kms: the node key is not opened by {self.key}: {why}; nothing was changed")


def _context(device: DeviceId, store: bytes) -> dict[str, str]:
    """What KMS authenticates with the key, and writes into its log."""
    return {"purpose": Domain.STORE_KEY.value, "device": device, "store": store.hex()}
