"""A policy that the governing vault signs, on whole nodes: how it comes into force, and where."""

from __future__ import annotations

import json

import pytest

from quorate.approval.policy.approver import Unserved
from quorate.approval.policy.language import parse_policy
from quorate.ceremony.policies import Governing, signed_policy
from quorate.ceremony.ports import Method, State, Verdict
from quorate.errors import UsageError
from quorate.protocols.policy import policy_digest
from quorate.wire.envelope import unpack
from tests.ceremony.governed import OPEN, few, governed, greet, propose, until_version, version
from tests.ceremony.world import CALLER, Node, Says, World
from tests.rules import breaks


def refusal(node: Node) -> str:
    """Why the node approves nothing by its policy; empty if it does."""
    try:
        node.library.source("again", node.policy, bootstrap=True).current()
    except Unserved as error:
        return str(error)
    return ""


async def test_a_policy_is_proposed_signed_and_judges_the_next_request_on_every_node(world: World) -> None:
    vault = await governed(world)
    made = await propose(world["alice"], few(1), key="first")
    assert made.state is State.COMPLETED, made
    assert (made.kind, made.vault, len(made.signers)) == ("policy-change", vault, 2)
    await until_version(world, 1, "alice", "bob", "carol")
    assert (await world["bob"].sign("gov", "one")).state is State.COMPLETED
    assert (await world["carol"].sign("gov", "two")).state is State.REJECTED
    for node in world.nodes.values():
        view = await node.ceremonies.clients.policy(CALLER)
        assert view.signed is not None
        assert (view.signed.version, view.latest, view.vault) == (1, 1, vault)
        assert [(each.source, each.policy) for each in view.served] == [("signed", few(1))]
    again = await propose(world["bob"], few(5))
    assert again.state is State.COMPLETED, again
    await until_version(world, 2, "alice", "bob", "carol")
    assert (await world["carol"].sign("gov", "two")).state is State.COMPLETED
    assert (await propose(world["alice"], few(1), key="first")).id == made.id  # asked again, it is the same
    assert [row.version for row in world["carol"].ledger.policies()] == [1, 2]


async def test_each_node_s_approver_reads_what_would_change_on_it(world: World) -> None:
    await governed(world)
    assert (await propose(world["alice"], few(1))).state is State.COMPLETED
    await until_version(world, 1, "bob")
    second = await propose(world["alice"], few(2))
    asked = json.loads((await world["bob"].ceremonies.clients.asked(CALLER, second.id)).request)
    assert asked["__typename"] == "OperationPolicyChange"
    details = asked["details"]
    assert details["policy"]["text"].encode() == few(2)
    assert details["policy"]["digest"] == policy_digest(few(2)).hex()
    assert details["policy"]["rules"] == ["anything", "few"]
    assert details["previous"] == {"version": 1, "digest": policy_digest(few(1)).hex(), "serving": "signed"}
    [changed] = asked["diff"]
    assert (changed["__typename"], changed["part"]) == ("PolicyDiffChanged", 'rule "few"')
    assert (changed["original"]["limits"][0]["count"], changed["new"]["limits"][0]["count"]) == (1, 2)


async def test_a_node_that_was_down_catches_up_from_its_peers_and_verifies_by_itself(world: World) -> None:
    await governed(world)
    await world["carol"].stop()
    for count in (1, 2):
        assert (await propose(world["alice"], few(count))).state is State.COMPLETED
    await until_version(world, 2, "bob")
    await world["carol"].restart()
    assert version(world["carol"]) == 0
    await greet(world, "bob", "carol")
    await until_version(world, 2, "carol")
    assert [row.version for row in world["carol"].ledger.policies()] == [2]
    assert (await propose(world["carol"], few(3))).state is State.COMPLETED


async def test_what_a_laggard_is_proposed_makes_it_catch_up_before_it_is_asked(world: World) -> None:
    await governed(world)
    world.intercept = lambda me, peer, method, body: (
        b"" if method is Method.CONCLUDE and peer == world["carol"].device else None
    )  # fmt: skip
    await world["carol"].stop()
    assert (await propose(world["alice"], few(1))).state is State.COMPLETED
    await until_version(world, 1, "bob")
    world["carol"].policy = None  # which would wait for a greeting, and catch up by it
    await world["carol"].restart()
    await world["bob"].stop()
    made = await propose(world["alice"], few(2))
    assert (made.state, set(made.signers)) == (State.COMPLETED, {world[n].device for n in ("alice", "carol")})
    await until_version(world, 2, "carol")
    assert [row.version for row in world["carol"].ledger.policies()] == [1, 2]


@breaks("PG-3.1")
async def test_the_first_signed_policy_ends_the_bootstrap_file_for_ever(world: World) -> None:
    await governed(world)
    alice = world["alice"]
    assert (await alice.ceremonies.clients.policy(CALLER)).served[0].source == "bootstrap"
    assert (await propose(alice, few(1))).state is State.COMPLETED
    alice.policy = parse_policy(OPEN + "\n# edited, and still named by the configuration\n", "bootstrap.toml")
    await alice.restart()
    await greet(world)
    assert (await alice.ceremonies.clients.policy(CALLER)).served[0].policy == few(1)
    alice.governing = None
    await alice.stop()
    with pytest.raises(UsageError, match=r"PG-3\.1 signed"):
        await alice.start()
    alice.governing = Governing(vault=alice.policies.require_governing().vault)
    await alice.start()


@breaks("PG-3.2")
async def test_where_a_vault_governs_no_file_serves_that_is_not_marked_bootstrap(world: World) -> None:
    await governed(world)
    alice = world["alice"]
    with pytest.raises(UsageError, match=r"PG-3\.2 bootstrap"):
        alice.library.source("approver", alice.policy, bootstrap=False)
    with pytest.raises(Unserved, match=r"PG-3\.2 bootstrap"):
        alice.library.source("approver", None, bootstrap=False).current()


@breaks("PG-3.3")
async def test_a_disk_that_was_set_back_approves_nothing_until_it_has_caught_up(world: World) -> None:
    await governed(world)
    carol = world["carol"]
    assert (await propose(world["alice"], few(1))).state is State.COMPLETED
    await until_version(world, 1, "carol")
    await carol.stop()
    carol.ledger.close()
    kept = carol.path.read_bytes()
    carol.open()
    await carol.start()
    assert (await propose(world["alice"], few(2))).state is State.COMPLETED
    await until_version(world, 2, "carol")
    await carol.stop()
    carol.ledger.close()
    carol.path.write_bytes(kept)
    carol.open()
    await carol.start()
    assert version(carol) == 1
    assert "PG-3.4 heard" in refusal(carol)
    hidden = world.intercept
    world.intercept = lambda me, peer, method, body: b"" if method is Method.GET_POLICY else None
    await greet(world)
    assert "PG-3.3 behind: version 2 of the policy is signed, and this node has version 1" in refusal(carol)
    view = await carol.ceremonies.clients.policy(CALLER)
    assert (view.latest, view.signed and view.signed.version) == (2, 1)
    world.intercept = hidden
    await until_version(world, 2, "carol")
    assert refusal(carol) == ""


@breaks("PG-3.4")
async def test_a_node_approves_nothing_by_its_policy_before_another_signer_said_what_it_holds(
    world: World,
) -> None:
    await governed(world)
    carol = world["carol"]
    await carol.restart()
    assert "PG-3.4 heard" in refusal(carol)
    await carol.ceremonies.greetings.greet(world["alice"].device)
    assert refusal(carol) == ""


async def test_a_policy_stays_verifiable_through_reshares(world: World) -> None:
    vault = await governed(world)
    assert (await propose(world["alice"], few(1))).state is State.COMPLETED
    await until_version(world, 1, "alice", "bob", "carol")
    assert (await world["alice"].reshare("gov")).state is State.COMPLETED
    for node in world.nodes.values():
        await node.ready("gov")
        await node.restart()
    await greet(world)
    assert version(world["bob"]) == 1
    second = await propose(world["bob"], few(2))
    assert second.state is State.COMPLETED, second
    rows = world["bob"].ledger.policies()
    assert len({row.certificate for row in rows}) == 2
    assert {row.vault for row in rows} == {vault}


@breaks("PG-1.3")
async def test_signers_who_stop_after_their_share_leave_a_version_spent_and_the_next_one_serves(
    world: World,
) -> None:
    await governed(world)
    await world["carol"].stop()
    world.cut = lambda sender, receiver, frame: unpack(frame).envelope.slot.endswith("Response")
    lost = await propose(world["alice"], few(1))
    world.cut = lambda *_: False
    assert (lost.state, lost.signature_may_exist) == (State.FAILED, True)
    assert version(world["alice"]) == 0
    with pytest.raises(UsageError, match=r"PG-1\.3 version: .* propose version 2"):
        await propose(world["alice"], few(2), version=1)
    made = await propose(world["alice"], few(2))
    assert made.state is State.COMPLETED, made
    assert version(world["alice"]) == 2


@breaks("PG-1.2")
async def test_no_share_leaves_for_a_policy_that_replaces_what_is_in_force_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds the session up until another policy has come into force."""
    await governed(world)

    begun: set[str] = set()

    def another_comes(sender: str, receiver: str, frame: bytes) -> bool:
        begun.add(sender)
        for node in (
            world.nodes.values() if len(begun) == 2 else ()
        ):  # both are past Begin, and no share has left
            monkeypatch.setattr(node.policies, "base", lambda: (1, policy_digest(few(1))))
        return False

    world.cut = another_comes
    late = await propose(world["alice"], few(2), version=2)
    assert late.state is State.FAILED
    assert not late.signature_may_exist
    assert [node.ledger.policy_shares() for node in world.nodes.values()] == [{}, {}, {}]


@breaks("PG-1.3")
async def test_a_policy_of_the_last_version_that_was_never_finished_does_not_end_changes(
    world: World,
) -> None:
    await governed(world)
    await world["carol"].stop()
    world.cut = lambda sender, receiver, frame: unpack(frame).envelope.slot.endswith("Response")
    lost = await propose(world["alice"], few(1), version=64)
    world.cut = lambda *_: False
    assert (lost.state, lost.signature_may_exist) == (State.FAILED, True)
    assert world["alice"].policies.next_version() == 1  # 65 is more than others take
    made = await propose(world["alice"], few(2))
    assert made.state is State.COMPLETED, made
    assert world["alice"].policies.next_version() == 65  # after which the lost one cannot come any more


async def test_who_signs_for_the_vault_no_more_keeps_its_policy_and_installs_the_next_by_hand(
    world: World,
) -> None:
    vault = await governed(world)
    alice, carol = world["alice"], world["carol"]
    assert (await propose(alice, few(1))).state is State.COMPLETED
    await until_version(world, 1, "carol")
    assert (await alice.reshare("gov", removed=("carol",), sole=True)).state is State.COMPLETED
    await alice.ready("gov")
    assert (await propose(alice, few(2))).state is State.COMPLETED
    [*_, row] = alice.ledger.policies()
    assert (version(carol), row.vault) == (1, vault)
    view = await carol.ceremonies.clients.install_policy(
        CALLER, signed=signed_policy(row), digest=policy_digest(row.policy)
    )
    assert view.signed is not None
    assert view.signed.version == 2
    assert carol.policies.behind is None


async def test_a_rejected_policy_is_not_signed(world: World) -> None:
    await governed(world)
    for name in ("bob", "carol"):
        world[name].policy, world[name].approver = None, Says(Verdict.REJECT)
        await world[name].restart()
    await greet(world)
    assert (await propose(world["alice"], few(1))).state is State.REJECTED
    assert [version(node) for node in world.nodes.values()] == [0, 0, 0]
