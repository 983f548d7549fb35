"""The guide to transactions: its files are written out, its commands run, its program too."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from eth_account import Account

from quorate.identifiers import Curve
from quorate.operations.addresses import Chain, address
from quorate.storage import Grant
from tests.chain_server import FakeChain, serving
from tests.cluster.conftest import Command, Signers
from tests.cluster.test_guide import GUIDES, printed_by, programs
from tests.docs.readme_commands import blocks

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]

GUIDE = blocks((GUIDES / "transactions.md").read_text())
FILES = {name: body for language, name, body in GUIDE if language in ("toml", "json")}
COMMANDS = [line for language, _, body in GUIDE if language == "sh" for line in body.splitlines()]
SEPOLIA = 11155111


async def test_every_command_of_the_guide_does_what_it_says(
    signers: Signers, quorate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, body in FILES.items():
        (tmp_path / name).write_text(body)
    signers["alice"].credentials.save(tmp_path / "alice.json")
    operation, signed = "", 0
    with serving(FakeChain()) as chain:
        monkeypatch.setenv(f"QUORATE_CHAINS__{SEPOLIA}__RPC", chain.url)
        for line in COMMANDS:
            program, *words = shlex.split(line.replace("OPERATION", operation))
            assert program == "quorate"
            said = await quorate(
                *words, "--home", tmp_path, "--credentials", tmp_path / "alice.json", "--json"
            )
            assert said.code == 0, (line, said.err)
            [result] = said.lines
            operation = result.get("operation", "")
            if "--wait" in words:
                signed += 1
                assert result["state"] == "COMPLETED", line
                assert re.fullmatch("0x[0-9a-f]+", result["signatures"][0]["raw_transaction"])
        assert len(chain.sent) == 1
    assert signed == 5


async def test_the_guide_s_program_signs_a_transaction(signers: Signers, tmp_path: Path) -> None:
    [program] = programs("transactions.md")
    (await signers["alice"].node.add_client("renter", [Grant("signer")])).save(tmp_path / "treasury.json")
    [[word, raw]] = await printed_by(program, tmp_path)
    assert word == "raw"
    payer = address(Chain.ETHEREUM, signers.vault.public_keys[Curve.SECP256K1])
    assert Account.recover_transaction(raw) == payer
