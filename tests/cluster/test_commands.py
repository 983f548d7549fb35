"""The command line against running nodes: as their owner over the socket, and as an application with credentials."""

from __future__ import annotations

from pathlib import Path

import base58
import pytest

from quorate.identifiers import Curve
from quorate.operations.kinds import Kind
from tests.cluster.conftest import WEIGHTS, Command, Signers

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]


async def test_status_names_the_vaults_and_the_peers(signers: Signers, quorate: Command) -> None:
    [said] = (await quorate("status", "--home", signers["alice"].home, "--json")).lines
    assert said["name"] == "alice"
    assert sum(peer["connected"] for peer in said["peers"]) >= 2
    assert "ready" in [vault["state"] for vault in said["vaults"] if vault["name"] == "ops"]
    told = await quorate("status", "--home", signers["alice"].home)
    assert "ops" in told.out


async def test_a_vault_is_created_and_shown_the_same_at_another_node(
    signers: Signers, quorate: Command
) -> None:
    seats = [word for name, weight in WEIGHTS.items() for word in ("--set", f"{name}={weight}")]
    made = await quorate(
        "vault",
        "create",
        "made by a command",
        *seats,
        "--threshold",
        3,
        "--wait",
        "--json",
        "--home",
        signers["alice"].home,
    )
    assert made.code == 0, made.err
    [vault] = made.lines
    assert vault["state"] == "ready"
    shown = await quorate("vault", "show", vault["vault"], "--home", signers["carol"].home, "--json")
    assert shown.lines[0]["public_keys"] == vault["public_keys"]
    listed = await quorate("vault", "list", "--home", signers["bob"].home)
    assert vault["vault"] in listed.out


async def test_derived_addresses_are_the_same_at_every_node_and_sign(
    signers: Signers, quorate: Command
) -> None:
    ask = ("vault", "derive", "ops", "--path", "m/0", "--range", "3..4", "--json")
    at_alice = await quorate(*ask, "--home", signers["alice"].home)
    at_carol = await quorate(*ask, "--home", signers["carol"].home)
    assert at_alice.lines == at_carol.lines
    assert [(each["path"], each["chain"]) for each in at_alice.lines] == [
        (path, chain) for path in ("m/0/3", "m/0/4") for chain in ("bitcoin", "ethereum", "solana")
    ]
    [solana] = (
        await quorate(
            "vault", "derive", "ops", "--path", "m/0/4", "--chain", "solana", "--json", "--home", signers["bob"].home
        )
    ).lines  # fmt: skip
    assert solana == at_alice.lines[-1]
    signed = await quorate(
        "sign", "--vault", "ops", "--text", "paid", "--path", "m/0/4", "--wait", "--json", "--home", signers["bob"].home
    )  # fmt: skip
    [operation] = signed.lines
    [signature] = operation["signatures"]
    assert signature["public_key_hex"] == solana["public_key"] == base58.b58decode(solana["address"]).hex()
    told = await quorate("vault", "derive", "ops", "--chain", "bitcoin", "--home", signers["alice"].home)
    [_, row] = told.out.splitlines()
    _, chain, address, _ = row.split()
    assert (chain, address[:4]) == ("bitcoin", "bc1q")
    assert not told.err


async def test_a_path_that_cannot_be_derived_is_refused_by_its_rule(
    signers: Signers, quorate: Command
) -> None:
    home = signers["alice"].home
    for arguments, why in (
        (("--path", "m/0'"), "OP-1.2"),
        (("--path", "m", "--range", "2147483647..2147483648"), "OP-1.2"),
        (("--path", "m/"), "OP-1.1"),
    ):
        said = await quorate("vault", "derive", "ops", *arguments, "--home", home)
        assert said.code == 2
        assert why in said.err


async def test_an_application_signs_with_its_credentials_and_anybody_verifies(
    signers: Signers, quorate: Command, tmp_path: Path
) -> None:
    credentials, message = tmp_path / "application.json", tmp_path / "message"
    message.write_bytes(bytes(range(256)))
    added = await quorate(
        "client", "add", "cli-application", "--out", credentials, "--home", signers["bob"].home
    )
    assert added.code == 0, added.err
    signed = await quorate(
        "--credentials", credentials, "sign", "--vault", "ops", "--file", message, "--wait", "--json"
    )
    assert signed.code == 0, signed.err
    [operation] = signed.lines
    [signature] = operation["signatures"]
    key = signers.vault.public_keys[Curve.ED25519].hex()
    assert (operation["state"], signature["public_key_hex"]) == ("COMPLETED", key)
    verified = await quorate(
        "verify", "--public-key", key, "--signature", signature["signature_hex"], "--file", message, "--json"
    )
    assert verified.lines == [{"valid": True}]
    shown = await quorate("operation", "show", operation["operation"], "--credentials", credentials, "--json")
    assert shown.lines[0]["signatures"] == operation["signatures"]


async def test_a_batch_and_its_operation_are_told_in_words(signers: Signers, quorate: Command) -> None:
    home = signers["alice"].home
    told = await quorate(
        "batch-sign", "--vault", "ops", "--text", "one", "--text", "two", "--wait", "--home", home
    )
    assert told.code == 0, told.err
    assert "COMPLETED" in told.out
    assert "alice (2) approve" in told.out
    listed = await quorate("operation", "list", "--home", home)
    assert "batch-sign" in listed.out


async def test_what_expires_unsigned_ends_with_exit_code_1_and_says_why(
    signers: Signers, quorate: Command
) -> None:
    await signers["alice"].stop()
    try:
        told = await quorate(
            "sign",
            "--vault",
            "ops",
            "--text",
            "late",
            "--wait",
            "--expires-in",
            1,
            "--home",
            signers["bob"].home,
        )
        assert told.code == 1
        assert "EXPIRED" in told.out
        assert "no vote from alice" in told.out
    finally:
        await signers["alice"].start()
        await signers.cluster.linked()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("vault", "show", "nowhere"), 1, "nowhere"),
        (("operation", "show", "nothing"), 1, "nothing"),
        (("vault", "pair-reset", "ops", "alice"), 1, "this node itself"),
        (("vault", "pair-reset", "ops", "mallory"), 1, "mallory"),
        (("sign", "--vault", "ops", "--text", "a", "--text", "b"), 2, "batch-sign"),
        (
            ("sign", "--vault", "ops", "--text", "a", "--algorithm", "RS256"),
            2,
            "not one of EDDSA, ES256K, ESKEC256",
        ),
        (("sign", "--vault", "ops", "--text", "a", "--der", "--wait"), 2, "ES256K and ESKEC256"),
        (("sign", "--vault", "ops", "--text", "a", "--algorithm", "ES256K", "--der"), 2, "--wait"),
        (("sign", "--vault", "ops", "--hex", "xyz"), 1, "not hex"),
        (
            ("vault", "create", "x", "--set", "alice=2", "--set", "mallory=1", "--threshold", "3"),
            1,
            "mallory",
        ),
        (
            ("vault", "create", "x", "--set", "alice=2", "--set", "bob=1", "--threshold", "9"),
            2,
            "threshold 9",
        ),
    ],
)
async def test_a_refusal_says_what_in_one_line(
    signers: Signers, quorate: Command, arguments: tuple[str, ...], code: int, said: str
) -> None:
    refused = await quorate(*arguments, "--home", signers["alice"].home)
    assert (refused.code, refused.out) == (code, "")
    assert said in refused.err


async def test_a_second_node_in_the_same_home_is_refused(signers: Signers, quorate: Command) -> None:
    refused = await quorate("run", "--home", signers["alice"].home)
    assert refused.code == 1
    assert "already open in another process" in refused.err


async def test_peer_list_shows_who_is_connected(signers: Signers, quorate: Command) -> None:
    lines = (await quorate("peer", "list", "--home", signers["alice"].home, "--json")).lines
    links = {line["name"]: line["connected"] for line in lines}
    assert (links["alice"], links["bob"], links["carol"]) == (None, True, True)


async def test_a_running_node_tries_its_approver_by_itself(signers: Signers, quorate: Command) -> None:
    said = await quorate("approver", "test", "--home", signers["alice"].home, "--json")
    assert said.code == 0
    assert {(line["check"], line["level"], line["code"]) for line in said.lines} == {
        (f"approver {kind}", "warning", "AP-1.2") for kind in Kind
    }
    told = await quorate("approver", "test", "--home", signers["bob"].home)
    assert "approved without asking anybody" in told.out
