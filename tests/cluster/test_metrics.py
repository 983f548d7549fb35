"""What a running node tells its operator: metrics, probes, health, status."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from quorate.ceremony.ports import State
from quorate.cli.cluster import Member
from quorate.rpc.tls import VALID_UNTIL, server_name_of
from tests.cluster.conftest import PATIENCE, Signers, new_vault, sign

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def ask(member: Member, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{member.metrics_port}{path}", method=method)

    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def samples(member: Member, **wanted: str) -> dict[str, float]:
    """Every sample by name, of those with these labels summed."""
    _, text = await ask(member, "/metrics")
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if wanted.items() <= sample.labels.items():
                found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


async def eventually(member: Member, path: str, holds: Callable[[int, str], bool]) -> str:
    async with asyncio.timeout(PATIENCE):
        while True:
            status, text = await ask(member, path)
            if holds(status, text):
                return text
            await asyncio.sleep(0.1)


async def health_of(member: Member, service: str) -> int:
    pem = member.credentials.ca_pem
    tls = grpc.ssl_channel_credentials(pem.encode())
    named = [("grpc.ssl_target_name_override", server_name_of(pem))]
    async with grpc.aio.secure_channel(f"127.0.0.1:{member.client_port}", tls, options=named) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE
        )
    return int(answer.status)


@pytest.mark.parametrize(("algorithm", "curve"), [("EDDSA", "ed25519"), ("ES256K", "secp256k1")])
async def test_signing_is_counted_and_timed_under_our_names_and_the_known_ones(
    signers: Signers, algorithm: str, curve: str
) -> None:
    alice = signers["alice"]
    labels = {"kind": "sign", "curve": curve, "result": "succeeded", "reason": ""}
    before, ended = await samples(alice), await samples(alice, **labels)
    view = await sign(alice.node, "ops", "to be counted", algorithm=algorithm)
    assert view.state is State.COMPLETED
    after = await samples(alice)
    counted = (await samples(alice, **labels))["quorate_ceremonies_total"]
    assert counted == ended.get("quorate_ceremonies_total", 0) + 1
    for name in ("TxRequestsCounter", "TxRequestsSuccessfulCounter"):
        assert after[name] == before[name] + 1
    assert after["TxRequestsFailedCounter"] == before["TxRequestsFailedCounter"]
    assert after["VSStart"] >= 1
    for phase in ("voting", "running"):
        timed = await samples(alice, kind="sign", phase=phase)
        assert timed["quorate_ceremony_seconds_count"] >= 1
    assert after["quorate_store_commit_seconds_count"] > before["quorate_store_commit_seconds_count"]
    assert after["quorate_event_loop_lag_seconds_count"] > 0
    assert after["quorate_approvals_total"] > before.get("quorate_approvals_total", 0)


async def test_making_a_vault_is_counted_on_every_node(signers: Signers) -> None:
    before = {name: await samples(member) for name, member in signers.cluster.members.items()}
    await new_vault(signers.cluster, "counted")
    for name, member in signers.cluster.members.items():
        after = await samples(member)
        for counter in ("KeygenRequestsCounter", "KeygenRequestsSuccessfulCounter"):
            assert after[counter] == before[name][counter] + 1, (name, counter)
        made = await samples(member, kind="create-vault", curve="both", result="succeeded")
        assert made["quorate_ceremonies_total"] >= 1, name


async def test_peers_and_vaults_are_shown(signers: Signers) -> None:
    alice = signers["alice"]
    expected = ('clock_offset_seconds{peer="bob"}', 'rtt_seconds{peer="bob"}', 'vault_epoch{name="ops"')
    await eventually(alice, "/metrics", lambda _, text: all(each in text for each in expected))
    bob = await samples(alice, peer="bob")
    assert bob["quorate_peer_up"] == 1
    assert 0 < bob["quorate_peer_rtt_seconds"] < PATIENCE
    assert abs(bob["quorate_peer_clock_offset_seconds"]) < PATIENCE
    ops = await samples(alice, vault=signers.vault.id, name="ops")
    assert ops["quorate_vault_threshold"] == 3
    assert ops["quorate_vault_epoch"] == 0


async def test_a_node_with_its_peers_is_ready_by_every_account(signers: Signers) -> None:
    alice = signers["alice"]
    await eventually(alice, "/readyz?vault=ops", lambda status, _: status == 200)  # it has seen the vault
    text = await eventually(alice, "/readyz", lambda status, _: status == 200)
    assert json.loads(text) == {"ready": True, "not_ready": []}
    assert (await ask(alice, "/livez"))[0] == 200
    for service in ("", "quorate.v1.SigningService", f"vault/{signers.vault.id}"):
        assert await health_of(alice, service) == SERVING, service
    assert (await alice.node.status()).not_ready == ()


async def test_the_end_of_every_certificate_is_told(signers: Signers) -> None:
    alice = signers["alice"]
    shown = [("client", "alice"), *(("peer", name) for name in signers.cluster.members)]
    for port, name in shown:
        told = await samples(alice, port=port, name=name)
        assert told["quorate_certificate_end_timestamp_seconds"] == VALID_UNTIL.timestamp(), (port, name)


async def test_a_vault_without_enough_weight_is_not_ready_and_says_why(signers: Signers) -> None:
    bob, alice = signers["bob"], signers["alice"]
    await alice.stop()  # weight 2 of 4; it takes 3
    try:
        text = await eventually(bob, "/readyz?vault=ops", lambda _, text: "weight 2 of 3" in text)
        (cause,) = json.loads(text)["not_ready"]
        assert (cause["code"], cause["vault"]) == ("NOT_ENOUGH_WEIGHT", signers.vault.id)
        assert "alice" in cause["detail"]
        assert (await ask(bob, "/readyz?vault=ops"))[0] == 503
        assert (await ask(bob, "/readyz?vault=none"))[0] == 404
        assert (await ask(bob, "/livez"))[0] == 200
        assert await health_of(bob, f"vault/{signers.vault.id}") == NOT_SERVING
        assert await health_of(bob, "quorate.v1.SigningService") == SERVING
        told = {(cause.code, cause.vault) for cause in (await bob.node.status()).not_ready}
        assert ("NOT_ENOUGH_WEIGHT", signers.vault.id) in told
        assert (await samples(bob, reason="NOT_ENOUGH_WEIGHT"))["quorate_not_ready"] == 1
        assert (await samples(bob, peer="alice"))["quorate_peer_up"] == 0
    finally:
        await alice.start()
        await signers.cluster.linked()
    await eventually(bob, "/readyz?vault=ops", lambda status, _: status == 200)
    assert await health_of(bob, f"vault/{signers.vault.id}") == SERVING


async def test_the_metrics_port_takes_nothing_but_its_three_questions(signers: Signers) -> None:
    alice = signers["alice"]
    for path in ("/", "/metrics/", "/etc/passwd", "/readyz/../metrics"):
        assert (await ask(alice, path))[0] == 404, path
    for method in ("POST", "PUT", "DELETE", "HEAD"):
        assert (await ask(alice, "/readyz", method))[0] == 405, method


async def test_a_node_told_to_serves_no_metrics_and_is_well(signers: Signers) -> None:
    carol = signers["carol"]
    await carol.stop()
    carol.environment["QUORATE_METRICS__ENABLED"] = "false"
    try:
        await carol.start()
        await signers.cluster.linked()
        with pytest.raises(urllib.error.URLError):
            await ask(carol, "/metrics")
        assert await health_of(carol, "quorate.v1.VaultService") == SERVING
    finally:
        await carol.stop()
        del carol.environment["QUORATE_METRICS__ENABLED"]
        await carol.start()
        await signers.cluster.linked()
    assert (await ask(carol, "/livez"))[0] == 200
