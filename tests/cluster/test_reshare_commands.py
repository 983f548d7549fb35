"""``quorate vault reshare``, ``refresh``, ``history`` and ``verify-history`` against running nodes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.conftest import Command, Signers, new_vault

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]


async def test_weights_change_under_the_same_keys_and_the_history_is_verified_offline(
    signers: Signers, quorate: Command, tmp_path: Path
) -> None:
    before = await new_vault(signers.cluster, "reshared")
    home = ("--home", signers["alice"].home)
    change = ("vault", "reshare", before.id, "--set", "bob=2", "--threshold", 4)
    looked = await quorate(*change, "--dry-run", "--json", *home)
    assert looked.lines[0]["diff"] == [{"name": "bob", "original_weight": 1, "new_weight": 2}]
    assert (looked.lines[0]["original_threshold"], looked.lines[0]["new_threshold"]) == (3, 4)
    assert {"signers": ["alice", "bob"], "weight": 4} in looked.lines[0]["minimal_sets"]
    asked = await quorate(*change, *home)
    assert asked.code != 0
    assert "--yes" in asked.err
    made = await quorate(*change, "--yes", "--wait", "--json", *home)
    assert made.code == 0, made.err
    assert (made.lines[0]["kind"], made.lines[0]["state"]) == ("reshare", "COMPLETED")
    refreshed = await quorate("vault", "refresh", before.id, "--yes", "--wait", "--json", *home)
    assert refreshed.code == 0, refreshed.err
    shown = await quorate("vault", "show", before.id, "--json", *home)
    assert (shown.lines[0]["epoch"], shown.lines[0]["threshold"]) == (2, 4)
    assert set(shown.lines[0]["public_keys"].values()) == {key.hex() for key in before.public_keys.values()}

    history = await quorate("vault", "history", before.id, "--json", *home)
    assert [epoch["epoch"] for epoch in history.lines[0]["epochs"]] == [0, 1, 2]
    file = tmp_path / "history.json"
    file.write_text(history.out)
    verified = await quorate("vault", "verify-history", file, "--json", "--home", tmp_path / "no node")
    assert verified.code == 0, verified.err
    said = verified.lines[0]
    assert (said["valid"], said["complete"], said["from_epoch"], said["to_epoch"]) == (True, True, 0, 2)
    assert (await quorate("vault", "verify-history", before.id, *home)).code == 0
    told = await quorate("vault", "history", before.id, *home)
    assert "alice 2" in told.out

    fields = json.loads(history.out)
    fields["certificates"].pop(1)
    file.write_text(json.dumps(fields))
    partial = await quorate("vault", "verify-history", file, "--json", "--home", tmp_path / "no node")
    assert partial.lines[0]["complete"] is False
    last = bytearray.fromhex(fields["certificates"][-1])
    last[-1] ^= 1
    fields["certificates"] = [*json.loads(history.out)["certificates"][:2], last.hex()]
    file.write_text(json.dumps(fields))
    refused = await quorate("vault", "verify-history", file, "--home", tmp_path / "no node")
    assert refused.code != 0
    assert "signature" in refused.err


async def test_what_cannot_be_reshared_is_refused_before_anybody_is_asked(
    signers: Signers, quorate: Command
) -> None:
    home = ("--home", signers["alice"].home)
    for words, said in (
        (("reshare", "ops"), "nothing would change"),
        (("reshare", "ops", "--remove", "zoe", "--dry-run"), "zoe"),
        (("reshare", "ops", "--threshold", 99, "--dry-run"), "99"),
        (("reshare", "ops", "--set", "bob=0", "--yes"), "weight 0"),
        (("erase-earlier", "ops", "--yes"), "no epoch before"),
        (("verify-history", "no-such-vault"), "no-such-vault"),
    ):
        answer = await quorate("vault", *words, *home)
        assert answer.code != 0
        assert said in answer.err
