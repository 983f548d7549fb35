"""What a governing vault signs to put a policy in force: an internal message that no client can ask for.

docs/spec/policy.md. The message binds version and digest of the policy, the vault, and the epoch that signed; whoever
knows the vault's public key, which no reshare changes, can check a signature without any other record.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated

from msgspec import Meta

from quorate.curves import Randomness
from quorate.identifiers import Curve
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.eddsa import frost
from quorate.protocols.quorum import Quorum
from quorate.protocols.trial import Purpose, internal_message
from quorate.wire.codec import Bytes32, Bytes64, Identifier, Message
from quorate.wire.net import Net

MAX_POLICY = 512 << 10  # bytes

Version = Annotated[int, Meta(ge=1, le=2**31 - 1)]
PolicyBytes = Annotated[bytes, Meta(min_length=1, max_length=MAX_POLICY)]


class PolicyHead(Message):
    """That the vault signed a policy of this version and digest (SHA-256 of its bytes), while the certificate of this
    hash was live. It proves itself, without the policy."""

    vault: Identifier
    version: Version
    digest: Bytes32
    certificate: Bytes32
    signature: Bytes64

    def verify(self, public_key: bytes) -> bool:
        """Whether the vault with this Ed25519 key signed it."""
        message = policy_message(self.certificate, self.vault, self.version, self.digest)
        return verify_ed25519(public_key, message, self.signature)


class SignedPolicy(Message):
    """A policy with what proves that the vault put it in force."""

    vault: Identifier
    version: Version
    policy: PolicyBytes
    certificate: Bytes32
    signature: Bytes64

    @property
    def head(self) -> PolicyHead:
        return PolicyHead(
            vault=self.vault, version=self.version, digest=policy_digest(self.policy), certificate=self.certificate,
            signature=self.signature,
        )  # fmt: skip


def policy_digest(policy: bytes) -> bytes:
    return sha256(policy).digest()


def policy_message(certificate: bytes, vault: str, version: int, digest: bytes) -> bytes:
    """M of docs/spec/keygen.md (Trial) with purpose 2, on Ed25519 alone."""
    return internal_message(Purpose.POLICY, Curve.ED25519, certificate, vault, [version, digest])


async def sign_policy(
    net: Net, quorum: Quorum, version: int, digest: bytes, rng: Randomness, release: Callable[[], None]
) -> bytes:
    """The signature that puts this policy in force, by the quorum's own key: no derivation leads here. ``release`` as
    in ``frost.sign``."""
    message = policy_message(quorum.certificate, quorum.vault, version, digest)
    [signature] = await frost.sign(net, quorum, [message], None, rng, release)
    return signature
