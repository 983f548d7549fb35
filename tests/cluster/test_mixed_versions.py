"""Daemons of three releases: they use the version of the protocol they have in common, or say who has none."""

from __future__ import annotations

import json
import uuid
from hashlib import sha256
from pathlib import Path

import pytest
from ecdsa import SECP256k1, VerifyingKey
from nacl.signing import VerifyKey

from quorate.ceremony.ports import State
from quorate.ceremony.versions import SPOKEN
from quorate.cli.cluster import Cluster
from quorate.cli.connection import vault_ready
from quorate.identifiers import Curve
from tests.cluster import altered
from tests.cluster.conftest import PATIENCE, SETTINGS, WEIGHTS, new_vault, sign

pytestmark = pytest.mark.xdist_group("cluster")

NEWER = (SPOKEN.oldest, SPOKEN.newest + 1)
OLDER = (SPOKEN.oldest - 1, SPOKEN.newest)
FAR = (SPOKEN.newest + 2, SPOKEN.newest + 3)


async def test_daemons_of_three_releases_sign_by_what_they_have_in_common(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, dict.fromkeys(WEIGHTS, SETTINGS), altered.COMMAND)
    cluster.found()
    for name, spoken in (("alice", SPOKEN), ("bob", NEWER), ("carol", OLDER)):
        cluster[name].environment["ALTERED"] = json.dumps({"protocols": spoken})
    try:
        await cluster.start()
        await cluster.linked()
        vault = await new_vault(cluster, "ops")
        for name, partner in (("bob", "alice"), ("carol", "alice"), ("alice", "")):
            for algorithm, curve in (("EDDSA", Curve.ED25519), ("ES256K", Curve.SECP256K1)):
                view = await sign(cluster[name].node, "ops", f"by {name} and {partner}", algorithm=algorithm)
                assert view.state is State.COMPLETED, view
                made, key = view.signatures[0], vault.public_keys[curve]
                if curve is Curve.ED25519:
                    VerifyKey(key).verify(made.message, made.signature)
                else:
                    verifier = VerifyingKey.from_string(key, SECP256k1)
                    assert verifier.verify(made.signature, made.message, hashfunc=sha256)

        carol = cluster["carol"]
        await carol.stop()
        carol.environment["ALTERED"] = json.dumps({"protocols": FAR})
        await carol.start()
        await cluster.linked()
        for name, words in (("alice", str(SPOKEN)), ("bob", f"{NEWER[0]} to {NEWER[1]}")):
            examined = await cluster[name].node.examine()  # which greets carol
            (named,) = [finding for finding in examined.findings if finding.check == "version carol"]
            assert named.code == "PROTOCOL_MISMATCH"
            assert f"carol speaks protocol {FAR[0]} to {FAR[1]}, this node {words}" in named.said
        view = await sign(cluster["alice"].node, "ops", "without carol", algorithm="ES256K")
        assert view.state is State.COMPLETED, view
        assert view.attempt == 1
        assert carol.device not in view.signers
        asked = await cluster["alice"].node.create_vault(
            name="all", weights=WEIGHTS, threshold=3, idempotency_key=uuid.uuid4().hex
        )
        asked = await cluster["alice"].node.wait(asked.id, PATIENCE)
        assert asked.state is State.FAILED
        assert "carol: refused the proposal: PROTOCOL_MISMATCH" in asked.detail
        held = await vault_ready(cluster["bob"].node, "ops", patience=PATIENCE)
        assert held.state == "ready"
    finally:
        await cluster.stop()
