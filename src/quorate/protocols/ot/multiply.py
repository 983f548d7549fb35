"""Multiplication of secrets, the random vector OLE of Doerner, Kondi, Lee and shelat (ePrint 2023/765, protocol 5.2):
docs/spec/ot.md, rules OT-4.

S, the sender, has two scalars a_1, a_2; R, the receiver, gets a random b; in the end c_i + d_i = a_i·b, c being S's
and d being R's. Many multiplications share one extension.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from quorate.curves import SECP256K1, Randomness, SecretVector
from quorate.errors import Bug, EncodingError, ProtocolAbort, require
from quorate.identifiers import DeviceId, Epoch, VaultId
from quorate.native import ot
from quorate.primitives.domains import Domain
from quorate.primitives.drbg import hedged
from quorate.primitives.oneshot import OneShot
from quorate.primitives.transcript import Field, digest
from quorate.protocols.ot.extension import Extension, accept, extend
from quorate.protocols.ot.setup import VERSION, PairSetup
from quorate.protocols.sharing import Member

MAX_BATCH = 8  # m2 crosses in one sealed body


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that a multiplication belongs to. ``signers`` are in order of device id; ``part`` numbers the extensions of
    one session and direction, where its batch needs several."""

    vault: VaultId
    epoch: Epoch
    setup: bytes
    sid: bytes
    signers: tuple[Member, ...]
    sender: DeviceId
    receiver: DeviceId
    part: int
    direction: tuple[bytes, bytes] = field(init=False)
    """The identity keys of sender and receiver."""
    hash: bytes = field(init=False)
    """32 bytes of all this, the first field of every hash that is made for this multiplication."""

    def __post_init__(self) -> None:
        if self.sender == self.receiver:
            raise Bug("two signers multiply")
        keys, signers = _seated(self.signers)
        direction = keys[self.sender], keys[self.receiver]
        hashed = digest(
            Domain.OT_CONTEXT,
            VERSION,
            self.vault,
            self.epoch,
            self.setup,
            self.sid,
            signers,
            *direction,
            self.part,
        )
        object.__setattr__(self, "direction", direction)
        object.__setattr__(self, "hash", hashed)

    @property
    def gadgets(self) -> bytes:
        """g_1 .. g_512, of the set-up and the direction alone: from the session they could be ground."""
        return _gadgets(self.setup, *self.direction)


class Chooser:
    """R: sends ``message`` (m1), has ``choice`` (b of each multiplication), and finishes once, with S's answer. In the
    end it is to be burnt."""

    __slots__ = ("_context", "_extension", "choice", "message")

    def __init__(self, context: Context, extension: Extension, message: bytes) -> None:
        self._context = context
        self._extension = OneShot(extension, name="the receiver's side of a multiplication")
        self.message = message
        self.choice = SecretVector(SECP256K1, ot.product(context.gadgets, extension.choices))

    @classmethod
    def start(cls, setup: PairSetup, context: Context, rng: Randomness, batch: int) -> Chooser:
        """For ``batch`` multiplications in which the peer of the set-up is S."""
        _fit(setup, context, context.sender, batch)
        fresh = hedged(rng, context.hash)
        return cls(context, *extend(context.hash, setup.receiving, batch, fresh))

    def finish(self, m2: bytes) -> SecretVector:
        """d_1, d_2 of the first multiplication, then those of the next."""
        context, extension, batch = self._context, self._extension.take(), len(self.choice)
        peer = context.sender
        with extension.choices, extension.columns:
            require(len(m2) == ot.answer_size(batch), "OT-4.1 answer length", peer)
            try:
                shares = ot.finish(
                    context.hash, context.gadgets, extension.choices, extension.columns, extension.salt, m2
                )
            except EncodingError as error:
                raise ProtocolAbort("OT-4.2 answer scalars", peer) from error
        if shares is None:
            raise ProtocolAbort("OT-4.3 product", peer, cheat=True)
        return SecretVector(SECP256K1, shares)

    def burn(self) -> None:
        """Wipe b, and the bits it is the sum of where no answer came."""
        self.choice.wipe()
        if not self._extension.spent:
            extension = self._extension.take()
            extension.choices.wipe()
            extension.columns.wipe()


def respond(
    setup: PairSetup, context: Context, m1: bytes, inputs: SecretVector, rng: Randomness, *hedge: Field
) -> tuple[bytes, SecretVector]:
    """S: m2, and c_1, c_2 of each multiplication, from a_1, a_2 of each, one after the other. The set-up's peer is R.

    The salt and the masks of m2 depend on m1 too, so not even repeated randomness answers two of them under the
    same pads. They depend on ``hedge`` as well, where the caller has something that nobody can know."""
    batch, odd = divmod(len(inputs), 2)
    if odd:
        raise Bug("a multiplication has two inputs")
    _fit(setup, context, context.receiver, batch)
    columns = accept(context.hash, setup.sending, m1, batch, context.receiver)
    fresh = hedged(rng, context.hash, m1, *hedge)
    salts = m1[: ot.SALT], fresh.public(ot.SALT)
    with columns, SECP256K1.random_secrets(fresh, batch) as checks:
        m2, shares = ot.respond(
            context.hash, context.gadgets, setup.sending, columns, salts, inputs.memory, checks.memory
        )
    return m2, SecretVector(SECP256K1, shares)


def _fit(setup: PairSetup, context: Context, peer: DeviceId, batch: int) -> None:
    if setup.id != context.setup or setup.peer != peer:
        raise Bug(f"a multiplication with {peer} under a set-up that is not the one with it")
    if not 1 <= batch <= MAX_BATCH:
        raise Bug(f"{batch} multiplications at once; 1 to {MAX_BATCH} fit")


@lru_cache(maxsize=128)
def _seated(signers: tuple[Member, ...]) -> tuple[dict[str, bytes], bytes]:
    """Each one's identity key, and a hash of all keys and weights, which many sessions have in common."""
    devices = [signer.device for signer in signers]
    if devices != sorted(set(devices)):
        raise Bug("the signers of a multiplication are in order")
    rows: Field = [[signer.identity_key, signer.weight] for signer in signers]
    return {signer.device: signer.identity_key for signer in signers}, digest(Domain.OT_SIGNERS, rows)


@lru_cache(maxsize=128)
def _gadgets(setup: bytes, sender: bytes, receiver: bytes) -> bytes:
    return ot.gadgets(digest(Domain.OT_GADGETS, setup, sender, receiver))
