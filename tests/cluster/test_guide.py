"""The guide's program, run as it stands there."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from eth_account import Account

from quorate.identifiers import Curve
from quorate.operations.addresses import Chain, address
from quorate.operations.derivation import derive
from quorate.storage import Grant
from tests.cluster.conftest import Signers
from tests.docs.readme_commands import blocks

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "signing.md"


async def test_the_guide_s_ethereum_transaction_is_from_the_vault_s_account(
    signers: Signers, tmp_path: Path
) -> None:
    [program] = [body for language, _, body in blocks(GUIDE.read_text()) if language == "python"]
    (await signers["alice"].node.add_client("guided", [Grant("signer")])).save(tmp_path / "treasury.json")
    modules = os.pathsep.join(path for path in sys.path if path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path, env={**os.environ, "PYTHONPATH": modules},
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    printed = dict(line.split(" ", 1) for line in said.decode().splitlines())
    curve, vault = Curve.SECP256K1, signers.vault
    payer = derive(curve, vault.public_keys[curve], vault.chain_codes[curve], "m/60/0").public_key
    assert printed["from"] == address(Chain.ETHEREUM, payer) == Account.recover_transaction(printed["raw"])
