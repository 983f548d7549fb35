"""ES256K and ESKEC256 on whole nodes."""

from __future__ import annotations

import asyncio
import hashlib

import coincurve
import pytest
from Crypto.Hash import keccak
from msgspec.structs import replace

from quorate.ceremony.journal import known_operation
from quorate.ceremony.ports import Method, State
from quorate.ceremony.procedures import procedure_of
from quorate.ceremony.session import Patience
from quorate.ceremony.statements import Outcome, state
from quorate.ceremony.views import OperationView, SignatureView
from quorate.errors import UsageError
from quorate.identifiers import Curve
from quorate.operations.derivation import derive
from quorate.operations.kinds import BatchSign
from quorate.operations.signatures import EcdsaSignature
from quorate.protocols.ecdsa.sign import MAX_MESSAGES
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
BOTH = pytest.mark.parametrize("algorithm", ["ES256K", "ESKEC256"])


async def vault_of(world: World, weights: dict[str, int] = WEIGHTS, threshold: int = 3) -> None:
    """A vault named ops that everybody calls ready."""
    await world["alice"].create_vault("ops", weights, threshold, sole=len(weights) == 1)
    for name in weights:
        await world[name].ready("ops")


async def key_at(node: Node, path: str = "") -> bytes:
    vault = await node.ready("ops")
    root, code = vault.public_keys[Curve.SECP256K1], vault.chain_codes[Curve.SECP256K1]
    return derive(Curve.SECP256K1, root, code, path).public_key


def digest_of(algorithm: str, message: bytes) -> bytes:
    if algorithm == "ES256K":
        return hashlib.sha256(message).digest()
    return keccak.new(digest_bits=256, data=message).digest()


def assert_signs(signature: SignatureView, algorithm: str, key: bytes, message: bytes) -> None:
    """Low, and recovers the key by libsecp256k1."""
    assert signature.algorithm == algorithm
    assert signature.message == message
    assert signature.public_key == key
    assert signature.recovery_id is not None
    assert EcdsaSignature.of(signature.signature, signature.recovery_id).is_low
    recovered = coincurve.PublicKey.from_signature_and_message(
        signature.signature + bytes([signature.recovery_id]), digest_of(algorithm, message), hasher=None
    )
    assert recovered.format() == key


def signed(view: OperationView) -> tuple[SignatureView, ...]:
    assert view.state is State.COMPLETED, view
    return view.signatures


@BOTH
async def test_a_quorum_signs_and_every_member_has_the_signature(world: World, algorithm: str) -> None:
    await vault_of(world)
    view = await world["alice"].sign("ops", "hello", algorithm=algorithm)
    (signature,) = signed(view)
    assert_signs(signature, algorithm, await key_at(world["alice"]), b"hello")
    for node in world.nodes.values():
        theirs = await node.ceremonies.clients.wait(CALLER, view.id, 10)
        assert signed(theirs) == (signature,)
    asked = world["bob"].approver.asked[-1].body["signingData"]
    assert asked["coseAlgorithm"]["type"] == algorithm


@pytest.mark.usefixtures("real_setups")
async def test_a_new_vault_signs_under_the_set_ups_it_was_made_with(world: World) -> None:
    await vault_of(world)
    (signature,) = signed(await world["carol"].sign("ops", "hello", algorithm="ESKEC256"))
    assert_signs(signature, "ESKEC256", await key_at(world["carol"]), b"hello")


@pytest.mark.parametrize("path", ["m/0", "M/44/60/0/2147483647"])
async def test_a_message_is_signed_under_the_key_at_its_path(world: World, path: str) -> None:
    await vault_of(world)
    (signature,) = signed(await world["bob"].sign("ops", "hello", algorithm="ESKEC256", path=path))
    child = await key_at(world["bob"], path)
    assert child != await key_at(world["bob"])
    assert_signs(signature, "ESKEC256", child, b"hello")


async def test_a_sole_signer_signs_alone(world: World) -> None:
    await world["alice"].create_vault("ops", {"alice": 2}, 2, sole=True)
    (signature,) = signed(await world["alice"].sign("ops", "alone", algorithm="ES256K", path="m/3"))
    assert_signs(signature, "ES256K", await key_at(world["alice"], "m/3"), b"alone")


@pytest.mark.parametrize("count", [65, 130])
async def test_a_batch_takes_as_many_chunks_as_it_needs(world: World, count: int) -> None:
    await vault_of(world)
    messages = [f"message {n % 64}" for n in range(count)]  # the later chunks sign the same again
    view = await world["alice"].sign("ops", *messages, algorithm="ES256K", batch=True, seconds=60)
    key = await key_at(world["alice"])
    for signature, message in zip(signed(view), messages, strict=True):
        assert_signs(signature, "ES256K", key, message.encode())
    assert len({signature.signature for signature in view.signatures}) == count


async def test_a_long_batch_may_take_longer_by_what_it_multiplies(world: World) -> None:
    await vault_of(world)
    context = world["alice"].ceremonies._context
    parties = [world["alice"].device, world["bob"].device]
    usual, longer = context.limits.patience, []
    for algorithm, count in (("ES256K", 2), ("ES256K", 4), ("EDDSA", 4)):
        messages = [f"{algorithm} {n} of {count}" for n in range(count)]
        view = await world["alice"].sign("ops", *messages, algorithm=algorithm, batch=True)
        operation = known_operation(context, view.id)
        given = procedure_of(context, operation).patience(parties)
        longer.append((given.deadline - usual.deadline, given.silence - usual.silence))
        assert procedure_of(context, operation).patience(parties[:1]) == usual
    two, four, edwards = longer
    assert four == pytest.approx((2 * two[0], 2 * two[1]))
    assert two > edwards == (0, 0)


async def test_silence_may_last_as_long_as_one_chunk_is_work(world: World) -> None:
    """Of a batch of many chunks as of one: nobody computes more before it speaks."""
    await vault_of(world)
    context = world["alice"].ceremonies._context
    parties = [world["alice"].device, world["bob"].device]
    view = await world["alice"].sign("ops", "one", algorithm="ES256K", batch=True)
    operation = known_operation(context, view.id)
    request = operation.request
    assert isinstance(request, BatchSign)

    def given(count: int) -> Patience:
        signing = replace(request.signing, data=("one",) * count)
        longer = replace(operation, request=replace(request, signing=signing))
        return procedure_of(context, longer).patience(parties)

    one, many = given(MAX_MESSAGES), given(5 * MAX_MESSAGES)
    assert one.silence == many.silence > context.limits.patience.silence
    assert one.deadline < many.deadline


async def test_a_proposer_that_is_no_signer_gets_the_signature(world: World) -> None:
    await vault_of(world, {"alice": 1, "bob": 2, "carol": 2}, 4)
    view = await world["alice"].sign("ops", "hello", algorithm="ES256K")
    assert world["alice"].device not in view.signers
    assert_signs(signed(view)[0], "ES256K", await key_at(world["alice"]), b"hello")


@breaks("CE-5.1")
@pytest.mark.parametrize(
    "change", ["high s", "recovery id", "no recovery id", "other algorithm", "other path"]
)
async def test_an_ecdsa_signature_of_another_kind_is_not_believed(world: World, change: str) -> None:
    await vault_of(world)
    other = {"other algorithm": "ESKEC256"}.get(change, "ES256K")
    path = {"other path": "m/1"}.get(change, "")
    done = await world["alice"].sign("ops", "hello", algorithm=other, path=path)
    row = world["alice"].ledger.operation(done.id)
    assert row is not None
    (signature,) = signed(done)
    assert signature.recovery_id is not None
    kept = signature.signature + bytes([signature.recovery_id])
    assert row.result.count(kept) == 1
    twin = EcdsaSignature.of(signature.signature, signature.recovery_id)
    high = EcdsaSignature(r=twin.r, s=twin_of(twin.s), recovery=twin.recovery ^ 1)
    changed = {
        "high s": high.compact() + bytes([high.recovery]),
        "recovery id": signature.signature + bytes([signature.recovery_id ^ 1]),
    }.get(change, kept)
    result = row.result.replace(kept, changed)
    if change == "no recovery id":
        result = row.result.replace(bytes([0xC4, 65]) + kept, bytes([0xC4, 64]) + kept[:64])
        assert result != row.result

    world["bob"].approver.gate = world["carol"].approver.gate = asyncio.Event()
    wanted = await world["alice"].sign("ops", "hello", algorithm="ES256K", seconds=0.5)
    known = world["bob"].ledger.operation(wanted.id)
    assert known is not None
    shown = Outcome(
        operation=known.id, digest=known.digest, state="COMPLETED", attempt=1, reason="", culprits=(),
        released=False, result=result,
    )  # fmt: skip
    carol = world["carol"].ledger.identity
    with pytest.raises(UsageError, match=r"^CE-5\.1 signatures: a signature shown does not verify"):
        await world["bob"].ceremonies.on_request(carol.device, Method.CONCLUDE, state(carol, shown))


def twin_of(s: int) -> int:
    return 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - s
