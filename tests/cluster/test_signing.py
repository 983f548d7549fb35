"""What three daemons do together, asked by a client over TLS."""

from __future__ import annotations

import base64
import signal
import uuid

import pytest

from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView
from quorate.identifiers import Curve
from quorate.primitives.verify import verify_ed25519
from quorate.rpc.failures import RemoteError
from quorate.storage import Grant
from tests.cluster.conftest import HEX, THRESHOLD, WEIGHTS, Signers, ask, sign

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]


def assert_signed(signers: Signers, view: OperationView, *messages: bytes) -> None:
    assert view.state is State.COMPLETED, view
    key = signers.vault.public_keys[Curve.ED25519]
    assert [signature.message for signature in view.signatures] == list(messages)
    for signature in view.signatures:
        assert signature.public_key == key
        assert verify_ed25519(key, signature.message, signature.signature)
    names = {member.device: name for name, member in signers.cluster.members.items()}
    assert sum(WEIGHTS[names[device]] for device in view.signers) >= THRESHOLD


async def test_a_new_vault_is_ready_and_the_same_on_every_node(signers: Signers) -> None:
    for member in signers.cluster.members.values():
        vault = await member.node.vault(signers.vault.id)
        assert vault.state == "ready"
        assert (vault.epoch, vault.threshold) == (0, THRESHOLD)
        assert vault.public_keys == signers.vault.public_keys
        assert vault.certificate_hash == signers.vault.certificate_hash
        assert {signer.name: signer.weight for signer in vault.signers} == WEIGHTS


async def test_every_node_can_be_asked_for_a_signature(signers: Signers) -> None:
    for name, member in signers.cluster.members.items():
        view = await sign(member.node, "ops", f"asked of {name}")
        assert_signed(signers, view, f"asked of {name}".encode())


async def test_a_batch_is_signed_whole_and_in_order(signers: Signers) -> None:
    view = await sign(signers["bob"].node, "ops", "68656C6C6F", "676F6F64627965", content_type=HEX)
    assert_signed(signers, view, b"hello", b"goodbye")


async def test_an_empty_message_is_signed(signers: Signers) -> None:
    assert_signed(signers, await sign(signers["alice"].node, "ops", ""), b"")


async def test_the_largest_message_is_signed_and_one_byte_more_is_refused(signers: Signers) -> None:
    largest = "x" * (1 << 20)
    assert_signed(signers, await sign(signers["alice"].node, "ops", largest), largest.encode())
    with pytest.raises(RemoteError, match="1048577 bytes"):
        await sign(signers["alice"].node, "ops", largest + "x")


async def test_the_same_request_again_is_the_same_operation(signers: Signers) -> None:
    node, key = signers["alice"].node, uuid.uuid4().hex
    first = await ask(node, "ops", ["once"], key=key)
    again = await ask(node, "ops", ["once"], key=key)
    other = await ask(node, "ops", ["once"])
    assert first.id == again.id != other.id


async def test_two_of_weight_one_cannot_sign_without_the_third(signers: Signers) -> None:
    await signers["alice"].stop()
    try:
        view = await sign(signers["bob"].node, "ops", "too light", expires_in_ms=1500)
        assert view.state is State.EXPIRED
        assert (view.approved_weight, view.threshold, view.signatures) == (2, 3, ())
        assert "alice" in view.detail
    finally:
        await signers["alice"].start()
        await signers.cluster.linked()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_node_that_was_stopped_comes_back_by_itself(signers: Signers, how: signal.Signals) -> None:
    carol = signers["carol"]
    before = (await carol.node.status()).boot
    await carol.stop(how)
    assert_signed(signers, await sign(signers["alice"].node, "ops", "without carol"), b"without carol")
    await carol.start()
    await signers.cluster.linked()
    status = await carol.node.status()
    assert status.boot == before + 1
    assert [vault.state for vault in status.vaults if vault.id == signers.vault.id] == ["ready"]
    assert_signed(signers, await sign(carol.node, "ops", "carol is back"), b"carol is back")


async def test_a_silent_node_is_left_out_of_the_signature(signers: Signers) -> None:
    """Bob's process is stopped in its tracks: its connections stand, and it says nothing."""
    bob = signers["bob"]
    assert bob.running is not None
    bob.running.process.send_signal(signal.SIGSTOP)
    try:
        view = await sign(signers["alice"].node, "ops", "without bob")
        assert_signed(signers, view, b"without bob")
        assert bob.device not in view.signers
    finally:
        bob.running.process.send_signal(signal.SIGCONT)
        await signers.cluster.linked()


async def test_a_log_never_holds_a_message_or_a_secret(signers: Signers) -> None:
    node, message = signers["alice"].node, "the quick brown fox is worth nine million"
    credentials = await node.add_client("logged", [Grant("signer")])
    assert_signed(signers, await sign(node, "ops", message), message.encode())
    forms = [message, message.encode().hex(), base64.b64encode(message.encode()).decode(), credentials.secret]
    forms += [member.credentials.secret for member in signers.cluster.members.values()]
    for member in signers.cluster.members.values():
        log = member.log.read_text()
        assert "decided" in log
        assert not [form for form in forms if form in log]
