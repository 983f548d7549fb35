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

GUIDES = Path(__file__).parents[2] / "docs" / "guide"


def programs(guide: str) -> list[str]:
    return [body for language, _, body in blocks((GUIDES / guide).read_text()) if language == "python"]


async def printed_by(program: str, directory: Path, **environment: str) -> list[list[str]]:
    """The words of each line that a program of the guide says, run as it stands there."""
    modules = os.pathsep.join(path for path in sys.path if path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=directory, stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": modules, **environment},
    )  # fmt: skip
    said, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0
    return [line.split(" ") for line in said.decode().splitlines()]


async def test_the_guide_s_ethereum_transaction_is_from_the_vault_s_account(
    signers: Signers, tmp_path: Path
) -> None:
    [program] = programs("signing.md")
    (await signers["alice"].node.add_client("guided", [Grant("signer")])).save(tmp_path / "treasury.json")
    printed = {words[0]: words[1] for words in await printed_by(program, tmp_path)}
    curve, vault = Curve.SECP256K1, signers.vault
    payer = derive(curve, vault.public_keys[curve], vault.chain_codes[curve], "m/60/0").public_key
    assert printed["from"] == address(Chain.ETHEREUM, payer) == Account.recover_transaction(printed["raw"])


async def test_the_guide_s_python_programs_sign_watch_create_and_fail_as_they_say(
    signers: Signers, tmp_path: Path
) -> None:
    waits, watches, creates, fails = programs("python-client.md")
    alice, vault = signers["alice"], signers.vault
    (await alice.node.add_client("python", [Grant("signer")])).save(tmp_path / "treasury.json")
    [(asked, _), (word, signature)] = await printed_by(waits, tmp_path)
    made = await alice.node.operation(asked)
    assert (word, signature) == ("signed", made.signatures[0].signature.hex())
    assert made.signatures[0].public_key == vault.public_keys[Curve.ED25519]
    said = await printed_by(watches, tmp_path)
    assert [words[1] for words in said if words[0] == "signed"] == ["one", "two"]
    assert ["COMPLETED", "4", "of", "3"] in said or ["COMPLETED", "3", "of", "3"] in said
    assert await printed_by(creates, tmp_path, QUORATE_HOME=str(alice.home)) == [
        ["created", "COMPLETED", "True"]
    ]
    assert await printed_by(fails, tmp_path) == [["not", "found", "UNKNOWN_VAULT"]]
