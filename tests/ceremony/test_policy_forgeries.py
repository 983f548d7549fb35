"""Policies that the governing vault did not put in force, and proposals that no node may sign: each is refused by its
own rule."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from quorate.approval.policy.approver import Unserved
from quorate.approval.policy.library import Library
from quorate.ceremony.journal import known_operation
from quorate.ceremony.policies import Governing, Policies, signed_policy
from quorate.ceremony.ports import Method, State
from quorate.ceremony.procedures import procedure_of
from quorate.ceremony.procedures.governing import PolicySignature
from quorate.ceremony.rulebook import PolicyRow
from quorate.ceremony.statements import Proposal, state
from quorate.ceremony.toil import Toil
from quorate.errors import PeerError, UsageError
from quorate.identifiers import VaultId
from quorate.operations.kinds import Operation, PolicyChange
from quorate.protocols.policy import SignedPolicy, policy_digest, policy_message
from quorate.wire.codec import encode
from tests.ceremony.governed import OPEN, few, governed, greet, propose, until_version, version
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks
from tests.storage.rawsql import raw_sql

OTHER = VaultId("w" * 24)
HEX = "application/octet-stream+hex"


@dataclass
class Governor:
    """A world that a vault governs, with what it has signed: versions 1 and 2."""

    world: World
    vault: VaultId
    rows: list[PolicyRow]

    @property
    def node(self) -> Node:
        return self.world["alice"]

    async def install(self, signed: SignedPolicy, digest: bytes | None = None) -> None:
        await self.node.ceremonies.clients.install_policy(
            CALLER, signed=signed, digest=policy_digest(signed.policy) if digest is None else digest
        )


async def with_two_versions(world: World, *policies: bytes) -> Governor:
    vault = await governed(world)
    for policy in policies or (few(1), few(2)):
        made = await propose(world["alice"], policy)
        assert made.state is State.COMPLETED, made
    return Governor(world, vault, list(world["alice"].ledger.policies()))


def later(row: PolicyRow, policy: bytes = OPEN.encode(), **changes: Any) -> SignedPolicy:
    """The next version, with the signature of this one."""
    return structs.replace(signed_policy(row), **{"policy": policy, "version": row.version + 1} | changes)


@breaks("PG-2.1", "PG-2.2", "PG-2.3", "PG-2.4", "PG-2.5")
async def test_nothing_comes_into_force_but_by_the_governing_vault_s_signature(
    world: World, tmp_path: Path
) -> None:
    made = await with_two_versions(world)
    first, second = made.rows
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    elsewhere = World(tmp_path / "elsewhere", ("dave", "erin"))
    await elsewhere.start()
    await governed(elsewhere, ("dave", "erin"))
    for count in (1, 2, 3):
        assert (await propose(elsewhere["dave"], few(count))).state is State.COMPLETED
    theirs = signed_policy(elsewhere["dave"].ledger.policies()[-1])
    await elsewhere.stop()

    refused: list[tuple[str, SignedPolicy, bytes | None]] = [
        ("PG-2.1 bytes", later(second), policy_digest(second.policy)),
        ("PG-2.2 vault", theirs, None),
        ("PG-2.3 signed", later(second, signature=b""), None),
        ("PG-2.3 signed", later(second, signature=bytes(64)), None),
        ("PG-2.4 signature", later(second), None),
        ("PG-2.4 signature", later(second, second.policy), None),  # the same policy as another version
        ("PG-2.4 signature", later(second, second.policy, version=2, certificate=bytes(32)), None),
        ("PG-2.4 signature", structs.replace(theirs, vault=made.vault), None),
        ("PG-2.4 signature", later(second, signature=os.urandom(64)), None),
        ("PG-2.5 later", signed_policy(first), None),
        ("malformed", later(second, certificate=b"short"), None),
    ]
    for rule, signed, digest in refused:
        with pytest.raises(UsageError, match=rule):
            await made.install(signed, digest)
    await made.install(signed_policy(second))  # what is in force may be installed again
    assert version(made.node) == 2


@breaks("PG-2.4")
async def test_no_signature_that_a_client_can_have_puts_a_policy_in_force(world: World) -> None:
    made = await with_two_versions(world, few(50), few(60))
    [_, second] = made.rows
    wanted = later(second)
    digest = policy_digest(wanted.policy)
    message = policy_message(wanted.certificate, made.vault, wanted.version, digest)
    payloads = (
        (wanted.policy.decode(), "text/plain"),
        (digest.hex(), HEX),
        (message[1:].hex(), HEX),
        ((b"\x00" + message).hex(), HEX),
    )
    for algorithm in ("EDDSA", "ES256K", "ESKEC256"):
        for path in ("", "m/7"):
            with pytest.raises(UsageError, match="only the nodes' own messages may"):
                await world["bob"].sign("gov", message.hex(), content=HEX, algorithm=algorithm, path=path)
        # each is approved and signed; none of them is what a policy needs
        for data, content in payloads:
            view = await world["bob"].sign("gov", data, content=content, algorithm=algorithm)
            assert view.state is State.COMPLETED, view
            [signed] = view.signatures
            with pytest.raises(UsageError, match=r"PG-2\.4 signature"):
                await made.install(structs.replace(wanted, signature=signed.signature))
    assert version(made.node) == 2


@breaks("PG-2.4")
async def test_a_member_completes_no_policy_change_by_a_signature_that_is_none(world: World) -> None:
    made = await with_two_versions(world)
    view = await propose(world["alice"], few(3))
    context = world["alice"].ceremonies._context
    procedure = procedure_of(context, known_operation(context, view.id))
    for signature in (made.rows[1].signature, os.urandom(64), bytes(64)):
        shown = PolicySignature(signers=(), signature=signature)
        with pytest.raises(UsageError, match=r"PG-2\.4 signature"):
            procedure.believe(world["bob"].device, encode(shown))
    with pytest.raises(UsageError, match=r"CE-5\.1 signatures"):
        procedure.believe(world["bob"].device, b"junk")


async def test_a_head_that_proves_nothing_stops_nobody(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await with_two_versions(world)
    alice, bob = made.node, world["bob"].device
    head = later(made.rows[1], version=99).head
    for wrong in (head, structs.replace(head, vault=OTHER), structs.replace(head, signature=bytes(64))):
        with pytest.raises(UsageError, match=r"PG-2\.[234]"):
            alice.policies.note(bob, wrong)
    monkeypatch.setattr(world["bob"].ceremonies.greetings, "_policy", lambda peer: head)
    await alice.ceremonies.greetings.greet(bob)
    assert alice.policies.behind is None


FLOOD = """
    WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 1000)
    INSERT INTO operations (id, kind, created_ms, digest, vault, proposer, proposal, state, expires_ms, ends_ms,
    attempt, released, reason, detail, culprits, result, updated_ms)
    SELECT printf('%024d', value), 'sign', created_ms + 1, digest, vault, proposer, proposal, state, expires_ms,
    ends_ms, attempt, released, reason, detail, culprits, result, updated_ms
    FROM operations, n WHERE kind = 'policy-change'
"""  # an hour's work, since then


async def test_who_keeps_a_signature_back_cannot_stop_those_it_was_proposed_to(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head alone would leave them behind; but they hold the policy, in the journal."""
    await governed(world)
    await world["bob"].stop()
    alice, carol = world["alice"], world["carol"]
    made = await propose(alice, few(1))
    assert made.state is State.COMPLETED
    head = signed_policy(alice.ledger.policies()[0]).head
    await until_version(world, 1, "carol")  # not waited for by who asked: two are enough
    assert carol.ledger.policy() is not None
    raw_rows = carol.ledger.policies()
    assert raw_rows[0].version == 1
    # bob voted on it, and was away when it was signed
    await world["bob"].restart()
    bob = world["bob"]
    row = alice.ledger.operation(made.id)
    assert row is not None
    if bob.ledger.operation(made.id) is None:
        bob.ledger.add_operation(row)
    raw_sql(bob.path, FLOOD)
    monkeypatch.setattr(bob.ceremonies._context.ledger, "peers", dict)  # alice was one
    bob.policies.note(carol.device, head)
    assert bob.policies.behind is not None
    await bob.ceremonies._catchup.level_policy()  # asks nobody
    assert version(bob) == 1


def crafted(node: Node, genuine: Operation, **changes: Any) -> bytes:
    request = structs.replace(genuine.request, **changes)
    operation = structs.replace(genuine, request=request, idempotency_key=os.urandom(8).hex())
    return state(node.ledger.identity, Proposal(operation=operation))


BAD_POLICIES = {
    "not TOML": b"[[rule",
    "a mistake": b'[[rule]]\nname = "x"\nscope = "globule"\n',
    "asks whom nobody here knows": OPEN.encode() + b'violation = { ask = "nobody" }\n',
    "not UTF-8": b"\xff" + OPEN.encode(),
    "a number of thousands of digits": b"default = " + b"9" * 3900,
    "nested deeply": b"a = " + b"[" * 3000,
    "keys nested deeply": b".".join([b"a"] * 500) + b" = 1",
    "a line without end": b"# " + b"x" * 5000,
}


@breaks("PG-1.1", "PG-1.2", "PG-1.3", "PG-1.4", "PO-1.3")
async def test_a_signer_puts_no_proposal_to_its_approver_that_does_not_follow_its_own_records(
    world: World,
) -> None:
    made = await with_two_versions(world)
    alice, bob = world["alice"], world["bob"]
    view = await propose(alice, few(3))
    assert view.state is State.COMPLETED
    genuine = known_operation(alice.ceremonies._context, view.id)
    third = alice.ledger.policies()[-1]
    assert isinstance(genuine.request, PolicyChange)
    follows = {"after": 3, "replaces": policy_digest(third.policy), "version": 4}
    while version(bob) < 3:
        await greet(world)
        await bob.ceremonies._catchup.level_policy(alice.device)

    async def proposed(**changes: Any) -> str:
        body = crafted(alice, genuine, **follows | changes)
        try:
            await alice.line().request(bob.device, Method.PROPOSE, body, timeout=20)
        except PeerError as error:
            return str(error)
        return "taken"

    cases: list[tuple[str, dict[str, Any]]] = [
        ("PG-1.1 governing", {"vault": OTHER}),
        ("PG-1.2 base", {"after": 2, "replaces": policy_digest(made.rows[1].policy), "version": 3}),
        ("PG-1.2 base", {"replaces": bytes(32)}),
        ("PG-1.2 base", {"after": 4}),
        ("PG-1.3 version", {"version": 3}),
        ("PG-1.3 version", {"version": 68}),
        ("STALE", {"certificate": bytes(32)}),
        *(("BAD_POLICY", {"policy": policy}) for policy in BAD_POLICIES.values()),
    ]
    for rule, changes in cases:
        before = len(world.refusals)
        answer = await proposed(**changes)
        assert rule in answer or rule in str(world.refusals[before:]), (rule, changes, answer)
    assert await proposed(version=67) == "taken"
    lone = Policies(bob.ledger, bob.device, Governing(vault=made.vault))
    assert lone.base()[0] == 3


@breaks("PG-1.5")
async def test_a_signer_cannot_keep_another_busy_with_policies_that_take_long_to_read(world: World) -> None:
    await governed(world)
    alice, bob = world["alice"], world["bob"]
    view = await propose(alice, few(1))
    genuine = known_operation(alice.ceremonies._context, view.id)
    await greet(world)
    await bob.ceremonies._catchup.level_policy(alice.device)
    now, worked = [100.0], itertools.count(0, 3)
    bob.policies.toil = Toil(now=lambda: now[0], worked=lambda: float(next(worked)))

    async def refused() -> str:
        follows = {"after": 1, "replaces": policy_digest(few(1)), "version": 2, "policy": b"[[rule"}
        before = len(world.refusals)
        body = crafted(alice, genuine, **follows)
        with pytest.raises(PeerError) as told:
            await alice.line().request(bob.device, Method.PROPOSE, body, timeout=20)
        return f"{told.value} {world.refusals[before:]}"

    assert ["BAD_POLICY" in await refused() for _ in range(2)] == [True, True]
    assert "PG-1.5 toil" in await refused()
    now[0] += 20.0
    assert "BAD_POLICY" in await refused()
    carol = world["carol"].device
    with (
        bob.policies.toil.of(carol),
        pytest.raises(UsageError, match=r"PG-1\.5 toil"),
        bob.policies.toil.of(carol),  # not two at a time
    ):
        pass


async def test_a_node_without_a_governing_vault_changes_no_policy(world: World) -> None:
    await world["alice"].create_vault("gov", {"alice": 1, "bob": 1, "carol": 1}, 2)
    with pytest.raises(UsageError, match=r"PG-1\.1 governing: this node has no governing vault"):
        await propose(world["alice"], few(1))


async def test_a_key_that_is_not_the_vault_s_keeps_the_node_from_starting(world: World) -> None:
    vault = await governed(world)
    alice = world["alice"]
    alice.governing = Governing(vault=vault, key=bytes(31) + b"\x01")
    await alice.stop()
    with pytest.raises(UsageError, match=r"PG-2\.2 vault: \[policy\] key"):
        await alice.start()
    alice.governing = Governing(vault=vault, key=alice.policies.public_key())
    await alice.start()


CHANGES = (
    "DELETE FROM policies WHERE version = 2",
    "UPDATE policies SET policy = x'23' WHERE version = 2",
    "UPDATE policies SET version = 3 WHERE version = 2",
    "UPDATE policies SET signature = zeroblob(64)",
    "DELETE FROM policy_in_force",
    "DELETE FROM policies",
)


@breaks("PG-3.5")
async def test_a_store_whose_policies_were_changed_approves_nothing_by_them(world: World) -> None:
    await with_two_versions(world)
    alice = world["alice"]
    await alice.stop()
    alice.ledger.close()
    kept = alice.path.read_bytes()
    for change in CHANGES:
        alice.path.write_bytes(kept)
        raw_sql(alice.path, change)
        alice.open()
        library = Library(Policies(alice.ledger, alice.device, alice.governing), frozenset())
        with pytest.raises(Unserved, match=r"PG-3\.5 readable"):
            library.source("approver", alice.policy, bootstrap=True).current()
        [served] = library.served()
        assert (served.source, served.policy) == ("none", b"")
        alice.ledger.close()
    alice.path.write_bytes(kept)
    alice.open()
    await alice.start()
    assert version(alice) == 2
