"""Receipts from the command line and from Python, by three daemons; they are checked where there is no node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quorate.client import AsyncNode, UsageError, verify_receipt
from quorate.identifiers import Curve
from tests.cluster.conftest import Command, Signers

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]


async def test_a_receipt_is_written_and_verified_without_a_node(
    signers: Signers, quorate: Command, tmp_path: Path
) -> None:
    signers["alice"].credentials.save(tmp_path / "alice.json")
    at = ("--home", tmp_path / "none", "--credentials", tmp_path / "alice.json")
    made = await quorate("sign", "--vault", "ops", "--text", "Order 40 chairs", "--wait", "--json", *at)
    operation = made.lines[0]["operation"]
    file = tmp_path / "receipt.json"
    shown = await quorate("receipt", "show", operation, "--out", file, *at)
    assert shown.code == 0, shown.err
    assert "Order 40 chairs" in shown.out
    assert "approve" in shown.out
    [as_json] = (await quorate("receipt", "show", operation, "--json", *at)).lines
    assert as_json == json.loads(file.read_text())

    key, offline = signers.vault.public_keys[Curve.ED25519], ("--home", tmp_path / "none", "--json")
    right = ("receipt", "verify", file, "--public-key", key.hex(), *offline)
    [valid] = (await quorate(*right)).lines
    assert (valid["valid"], valid["operation"], valid["vault_known"]) == (True, operation, True)
    named = ("--certificate", signers.vault.certificate_hash.hex())
    assert (await quorate("receipt", "verify", file, *named, *offline)).code == 0
    believed = await quorate("receipt", "verify", file, "--any-vault", "--home", tmp_path / "none")
    assert believed.code == 0
    assert "nothing shows that this is the vault that you mean" in believed.out
    for unclear in ((), ("--any-vault", *named)):
        assert (await quorate("receipt", "verify", file, *unclear, *offline)).code == 2
    file.write_text(file.read_text().replace("40 chairs", "90 chairs"))
    edited = await quorate(*right)
    assert (edited.code, edited.lines[0]["valid"]) == (1, False)
    assert edited.lines[0]["why"].startswith("RC-1.10 summary: signed.messages[0].content")

    async with AsyncNode.connect(tmp_path / "alice.json") as node:
        receipt = await node.receipt(operation)
    assert verify_receipt(receipt, public_key=key) == as_json
    with pytest.raises(UsageError, match="some vault"):
        verify_receipt(receipt)
    with pytest.raises(UsageError, match=r"RC-1\.4 vault"):
        verify_receipt(receipt, certificate=bytes(32))


async def test_who_may_not_have_signatures_gets_no_receipt(
    signers: Signers, quorate: Command, tmp_path: Path
) -> None:
    signers["alice"].credentials.save(tmp_path / "alice.json")
    at = ("--home", tmp_path / "none", "--credentials", tmp_path / "alice.json")
    made = await quorate("sign", "--vault", "ops", "--text", "private", "--wait", "--json", *at)
    viewer = tmp_path / "viewer.json"
    home = ("--home", signers["alice"].home)
    added = await quorate(
        "client", "add", "watcher", "--role", "viewer", "--vault", "ops", "--out", viewer, *home
    )
    assert added.code == 0, added.err
    refused = await quorate(
        "receipt", "show", made.lines[0]["operation"], "--home", tmp_path / "none", "--credentials", viewer
    )
    assert refused.code == 1
    assert "which may not call quorate.v1.OperationService.GetReceipt" in refused.err
