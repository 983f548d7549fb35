"""Signing under keys below the vault's own, on whole nodes."""

from __future__ import annotations

import asyncio

import pytest

from quorate.ceremony.ports import Method, State
from quorate.ceremony.statements import Outcome, state
from quorate.ceremony.views import OperationView, SignatureView
from quorate.errors import UsageError
from quorate.identifiers import Curve, DeviceId
from quorate.operations.derivation import derive
from quorate.primitives.verify import verify_ed25519
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}


async def key_at(node: Node, path: str) -> bytes:
    vault = await node.ready("ops")
    root, code = vault.public_keys[Curve.ED25519], vault.chain_codes[Curve.ED25519]
    return derive(Curve.ED25519, root, code, path).public_key


def signed(view: OperationView) -> tuple[SignatureView, ...]:
    assert view.state is State.COMPLETED, view
    return view.signatures


@pytest.mark.parametrize("path", ["m/0", "M/44/2147483647/5"])
async def test_a_message_is_signed_under_the_key_at_its_path(world: World, path: str) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    child = await key_at(world["alice"], path)
    (signature,) = signed(await world["alice"].sign("ops", "hello", path=path))
    assert signature.public_key == child != await key_at(world["alice"], "")
    assert verify_ed25519(child, b"hello", signature.signature)
    asked = world["alice"].approver.asked[-1].body["signingData"]
    assert (asked["data"], asked["derivationPath"]) == ("hello", path)


async def test_a_batch_is_signed_under_one_derived_key(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    child = await key_at(world["bob"], "m/1/2")
    signatures = signed(await world["bob"].sign("ops", "one", "two", batch=True, path="m/1/2"))
    assert [signature.message for signature in signatures] == [b"one", b"two"]
    for signature in signatures:
        assert signature.public_key == child
        assert verify_ed25519(child, signature.message, signature.signature)


@pytest.mark.parametrize("path", ["", "m", "M"])
async def test_the_root_path_is_the_vault_s_own_key(world: World, path: str) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    vault = await world["alice"].ready("ops")
    (signature,) = signed(await world["alice"].sign("ops", "hello", path=path))
    assert signature.public_key == vault.public_keys[Curve.ED25519]
    assert verify_ed25519(signature.public_key, b"hello", signature.signature)


async def test_a_sole_signer_signs_under_a_derived_key(world: World) -> None:
    await world["alice"].create_vault("ops", {"alice": 2}, 2, sole=True)
    (signature,) = signed(await world["alice"].sign("ops", "alone", path="m/3"))
    assert signature.public_key == await key_at(world["alice"], "m/3")
    assert verify_ed25519(signature.public_key, b"alone", signature.signature)


async def test_one_message_at_two_paths_is_two_operations(world: World) -> None:
    """One idempotency key for both: the path is a part of what is asked for."""
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    first = await world["alice"].sign("ops", "hello", path="m/0", key="same")
    again = await world["alice"].sign("ops", "hello", path="m/0", key="same")
    other = await world["alice"].sign("ops", "hello", path="m/1", key="same")
    assert first.id == again.id != other.id
    assert signed(first)[0].public_key != signed(other)[0].public_key


async def test_who_was_away_takes_over_a_signature_under_a_derived_key(world: World) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    await world["carol"].ready("ops")
    carol: DeviceId = world["carol"].device
    world.cut = lambda sender, recipient, _: carol in (sender, recipient)
    view = await world["alice"].sign("ops", "hello", path="m/9")
    assert carol not in view.signers
    theirs = await world["carol"].ceremonies.clients.wait(CALLER, view.id, 10)
    assert signed(theirs) == signed(view)


@breaks("CE-5.1")
@pytest.mark.parametrize("made_at", ["", "m/1"])
async def test_a_signature_under_another_key_of_the_vault_is_not_believed(world: World, made_at: str) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    other = await world["alice"].sign("ops", "hello", path=made_at)
    done = world["alice"].ledger.operation(other.id)
    assert done is not None
    world["bob"].approver.gate = world["carol"].approver.gate = asyncio.Event()
    wanted = await world["alice"].sign("ops", "hello", path="m/0", seconds=0.5)
    row = world["bob"].ledger.operation(wanted.id)
    assert row is not None
    shown = Outcome(
        operation=row.id, digest=row.digest, state="COMPLETED", attempt=1, reason="", culprits=(),
        released=False, result=done.result,
    )  # fmt: skip
    carol = world["carol"].ledger.identity
    with pytest.raises(UsageError, match=r"^CE-5\.1 signatures: a signature shown does not verify"):
        await world["bob"].ceremonies.on_request(carol.device, Method.CONCLUDE, state(carol, shown))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("m/0'", "HARDENED_DERIVATION"),
        ("m/2147483648", "HARDENED_DERIVATION"),
        ("0/1", "INVALID_DERIVATION"),
        ("m" + "/0" * 256, "DERIVATION_TOO_DEEP"),
    ],
)
async def test_a_path_that_leads_nowhere_is_refused_before_anybody_is_asked(
    world: World, path: str, code: str
) -> None:
    await world["alice"].create_vault("ops", WEIGHTS, 3)
    before = len(world["alice"].approver.asked)
    with pytest.raises(UsageError, match=r"^CE-1\.7 payload: OP-1") as refused:
        await world["alice"].sign("ops", "hello", path=path)
    assert refused.value.code == code
    assert len(world["alice"].approver.asked) == before
