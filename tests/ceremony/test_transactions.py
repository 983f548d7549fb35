"""Transactions on whole nodes."""

from __future__ import annotations

import os
from typing import Any

import pytest
from eth_account import Account

from quorate.ceremony.ports import State
from quorate.ceremony.procedures import procedure_of
from quorate.ceremony.views import OperationView
from quorate.errors import UsageError
from quorate.identifiers import Curve
from quorate.operations.addresses import checksummed, ethereum_account
from quorate.operations.derivation import derive
from quorate.operations.effect import Asset
from quorate.operations.kinds import Algorithm, Claim, Kind, Operation, SigningData, SignTransaction
from quorate.operations.transactions.evm import DynamicFee
from quorate.operations.transactions.signing_input import SigningInput
from tests.ceremony.test_ecdsa_operations import vault_of
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks

BOB = b"\xbb" * 20
PAYMENT = DynamicFee(
    chain_id=11155111,
    nonce=0,
    max_priority_fee_per_gas=2,
    max_fee_per_gas=30,
    gas_limit=21000,
    to=BOB,
    value=5,
)


async def account_of(node: Node, name: str = "ops", path: str = "") -> bytes:
    vault = await node.ready(name)
    root, code = vault.public_keys[Curve.SECP256K1], vault.chain_codes[Curve.SECP256K1]
    return ethereum_account(derive(Curve.SECP256K1, root, code, path).public_key)


async def sign(
    node: Node, data: bytes = PAYMENT.unsigned(), *, purpose: str = "transfer-out", path: str = "",
    form: str = "application/octet-stream+hex", **claimed: str,
) -> OperationView:  # fmt: skip
    claim: dict[str, Any] = {"asset": "", "amount": "", "address": "", "to_vault": ""} | claimed
    view = await node.ceremonies.clients.sign_transaction(
        CALLER, vault="ops", purpose=purpose, data=data.hex(), content_type=form, derivation_path=path,
        memo="rent", idempotency_key=os.urandom(8).hex(), expires_in_ms=None, **claim,
    )  # fmt: skip
    return await node.ceremonies.clients.wait(CALLER, view.id, 12)


async def test_a_transfer_comes_back_signed_and_ready_to_be_sent(world: World) -> None:
    await vault_of(world)
    path = "m/60/0"
    view = await sign(world["alice"], path=path, amount="5", asset="ETH_SEPOLIA", address=checksummed(BOB))
    assert (view.state, view.kind) == (State.COMPLETED, "transfer-out")
    [signature] = view.signatures
    payer = checksummed(await account_of(world["alice"], path=path))
    assert Account.recover_transaction(signature.transaction) == payer
    for node in world.nodes.values():
        theirs = await node.ceremonies.clients.wait(CALLER, view.id, 10)
        assert theirs.signatures == view.signatures

    request = world["bob"].approver.asked[-1]
    assert (request.route, request.body["__typename"]) == ("transaction", "OperationTransferOut_v3")
    assert request.body["tDetails"]["asset"] == {"id": "ETH_SEPOLIA", "details": {"executionType": "ETH"}}
    [action] = request.effect.actions
    assert (action.source, action.receiver, action.amount) == (payer, checksummed(BOB), 5)
    assert action.asset == Asset(chain="eip155:11155111")


async def test_a_signing_input_is_built_by_every_node_and_shown_as_published(world: World) -> None:
    await vault_of(world)
    wanted = SigningInput(
        chain_id=PAYMENT.chain_id.to_bytes(3, "big"), nonce=b"\x00", tx_mode=1, gas_limit=b"\x52\x08",
        max_inclusion_fee_per_gas=b"\x02", max_fee_per_gas=b"\x1e", to_address=checksummed(BOB),
    )  # fmt: skip
    wanted.transaction.transfer.amount = b"\x05"
    encoded = wanted.SerializeToString()
    view = await sign(world["alice"], encoded, form="application/x-wallet-core+hex")
    [signature] = view.signatures
    assert signature.message == PAYMENT.unsigned()
    assert Account.recover_transaction(signature.transaction) == checksummed(await account_of(world["alice"]))
    shown = world["carol"].approver.asked[-1].body["signingData"]
    assert shown["data"] == encoded.hex()
    assert (shown["executionType"], shown["contentType"]) == ("ETH", "")
    assert shown["coseAlgorithm"] == {"type": "", "value": ""}


def asked_of(node: Node) -> set[str]:
    """The operations that its approver was asked about."""
    return {request.operation for request in node.approver.asked}


@breaks("OP-8.3")
async def test_a_vault_that_a_node_does_not_know_is_no_name_for_whom_a_transfer_pays(world: World) -> None:
    """The proposer says that an account of its own is a vault; nobody's approver is put the question."""
    await vault_of(world)
    vault = await world["bob"].ready("ops")
    signing = SigningData(
        data=(PAYMENT.unsigned().hex(),), content_type="application/octet-stream+hex",
        algorithm=Algorithm.ESKEC256, derivation_path="",
    )  # fmt: skip
    claimed = SignTransaction(
        vault=vault.id, epoch=vault.epoch, certificate=vault.certificate_hash, purpose=Kind.TRANSFER_BETWEEN,
        signing=signing, claim=Claim(vault="a" * 24), memo="",
    )  # fmt: skip
    now = world["bob"].clock.now_ms()
    operation = Operation(
        request=claimed, proposer=world["bob"].device, client="app", idempotency_key="key", organisation="",
        created_ms=now, expires_ms=now + 60_000,
    )  # fmt: skip
    with pytest.raises(UsageError) as refused:
        procedure_of(world["alice"].ceremonies._context, operation).admit()
    assert refused.value.code == "UNKNOWN_VAULT"


@breaks("OP-8.3")
async def test_a_transfer_between_vaults_pays_the_other_vault_or_nobody(world: World) -> None:
    await vault_of(world)
    await world["alice"].create_vault("cold", {"alice": 1, "bob": 1}, 2)
    for name in ("alice", "bob"):
        await world[name].ready("cold")
    to = await account_of(world["alice"], "cold")
    paying = DynamicFee(
        chain_id=1, nonce=0, max_priority_fee_per_gas=2, max_fee_per_gas=30, gas_limit=21000, to=to, value=5
    )
    view = await sign(world["alice"], paying.unsigned(), purpose="transfer-between", to_vault="cold")
    assert view.state is State.COMPLETED, view
    assert {name for name, node in world.nodes.items() if view.id in asked_of(node)} == {"alice", "bob"}
    with pytest.raises(UsageError, match=r"OP-8\.3 vault: .* is not the account of vault cold"):
        await sign(world["alice"], purpose="transfer-between", to_vault="cold")
    with pytest.raises(UsageError, match=r"OP-8\.3 vault: .* names the vault that it pays"):
        await sign(world["alice"], purpose="transfer-between")
    with pytest.raises(UsageError, match=r"OP-8\.3 vault: .* names the vault that it pays"):
        await sign(world["alice"], to_vault="cold")


async def test_what_disagrees_or_does_not_read_is_asked_of_nobody(world: World) -> None:
    await vault_of(world)
    asked = {name: len(node.approver.asked) for name, node in world.nodes.items()}
    with pytest.raises(
        UsageError, match=r"CE-1\.7 payload: OP-8\.2 claim: the amount is 5 base units, not 50"
    ):
        await sign(world["alice"], amount="50")
    with pytest.raises(UsageError, match=r"CE-1\.7 payload: OP-8\.1 purpose: .* not for mint"):
        await sign(world["alice"], purpose="mint")
    with pytest.raises(UsageError, match=r"CE-1\.7 payload: OP-3\.7 form: "):
        await sign(world["alice"], b"hello")
    assert {name: len(node.approver.asked) for name, node in world.nodes.items()} == asked
