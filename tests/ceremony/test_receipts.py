"""Receipts: what is in them holds without a node, and nothing else passes."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from msgspec.structs import replace

from quorate.ceremony import journal, receipts
from quorate.ceremony.evidence import Anchor
from quorate.ceremony.ports import State, Verdict
from quorate.ceremony.statements import BareVote, Proposal, Seal, Signed, Signer, Vote, hear, printable, state
from quorate.ceremony.views import OperationView
from quorate.errors import UsageError
from quorate.identifiers import Curve
from quorate.operations.kinds import Operation
from quorate.primitives.domains import Domain
from quorate.primitives.transcript import digest
from quorate.protocols.certificate import Certificate
from quorate.wire.codec import decode, encode
from tests.ceremony.test_ecdsa_operations import vault_of
from tests.ceremony.test_transactions import sign
from tests.ceremony.world import CALLER, Node, World
from tests.rules import breaks

Json = dict[str, Any]
BY_ANY = Anchor()


async def sign_with_all_votes(world: World) -> OperationView:
    """Bob, whose vote is needed, waits for carol's, which is not."""
    alice, bob, carol = world["alice"], world["bob"].approver, world["carol"]
    bob.gate = asyncio.Event()
    signing = asyncio.create_task(sign(alice, path="m/60/0"))
    async with asyncio.timeout(10):
        while not (asked := bob.asked) or carol.device not in alice.ledger.votes(asked[-1].operation):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    bob.gate.set()
    return await signing


async def receipt_of(node: Node, operation: str) -> str:
    return await node.ceremonies.clients.receipt(CALLER, operation)


class Case:
    """A receipt of a transfer that alice and bob approved and carol abstained from, and what a forger may use."""

    def __init__(self, world: World, text: str, other: str, made: Operation, key: bytes) -> None:
        self.world, self.text, self.other, self.made, self.key = world, text, other, made, key

    @property
    def document(self) -> Json:
        stated: Json = json.loads(self.text)
        return stated

    @property
    def operation(self) -> Operation:
        return hear(Proposal, self.evidence("proposal"), self.key_of)[1].operation

    def key_of(self, device: str) -> bytes | None:
        return next(
            bytes.fromhex(each["identity_key"])
            for each in self.document["vault"]["signers"]
            if each["id"] == device
        )

    def evidence(self, name: str) -> bytes:
        return base64.b64decode(self.document["evidence"][name])

    def by(self, name: str) -> Signer:
        return self.world[name].ledger.identity

    def vote(self, name: str, **changes: Any) -> str:
        operation = self.operation
        vote = Vote(
            operation=operation.id, digest=operation.digest, verdict="approve", boot=bytes(32), at_ms=0
        )
        return text_of(state(self.by(name), replace(vote, **changes)))

    def with_evidence(self, **parts: Any) -> str:
        document = self.document
        document["evidence"] |= parts
        return json.dumps(document)


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest_asyncio.fixture
async def case(world: World) -> AsyncIterator[Case]:
    await vault_of(world)
    world["carol"].approver.verdict = Verdict.ABSTAIN
    world["alice"].approver.rule = 'rule "up to 1 ETH"'
    view = await sign_with_all_votes(world)
    assert view.state is State.COMPLETED
    other = await sign(world["alice"], path="m/60/0")
    alice = world["alice"]
    vault = await alice.ready("ops")
    yield Case(
        world,
        await receipt_of(alice, view.id),
        await receipt_of(alice, other.id),
        journal.known_operation(alice.ceremonies._context, vault_operation(alice)),
        vault.public_keys[Curve.SECP256K1],
    )


def vault_operation(node: Node) -> Any:
    return node.ceremonies._context.vaults.find("ops").operation


def refused(text: str, anchor: Anchor = BY_ANY) -> str:
    with pytest.raises(UsageError) as error:
        receipts.verify(text, anchor)
    assert error.value.code == "BAD_RECEIPT"
    return str(error.value)


async def test_a_receipt_says_what_was_signed_and_who_approved_it_by_which_rule(case: Case) -> None:
    document = receipts.verify(case.text, Anchor(public_key=case.key))
    assert document["operation"]["kind"] == "transfer-out"
    assert document["signed"]["path"] == "m/60/0"
    [message] = document["signed"]["messages"]
    [action] = message["does"]
    assert (action["asset"], action["amount"]) == ({"chain": "eip155:11155111", "contract": ""}, "5")
    assert message["raw_transaction"].startswith("0x02")
    said = {case.world.of(vote["id"]).name: vote for vote in document["votes"]}
    assert {name: vote["verdict"] for name, vote in said.items()} == {
        "alice": "approve", "bob": "approve", "carol": "abstain",
    }  # fmt: skip
    assert (said["alice"]["approver"], said["alice"]["rule"]) == ("says", 'rule "up to 1 ETH"')
    assert (document["approved_weight"], document["vault"]["threshold"]) == (3, 3)
    held = bytes.fromhex(document["vault"]["certificate"])
    assert receipts.verify(case.text, Anchor(certificate=held)) == document
    assert receipts.verify(json.dumps(document), BY_ANY) == document, "however it is laid out"

    view = await case.world["alice"].ceremonies.clients.operation(CALLER, document["operation"]["id"])
    assert {vote.name: (vote.approver, vote.rule) for vote in view.votes}["carol"] == ("says", "told")


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every member and item."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in items:
        yield (*path, name)
        yield from places(value, (*path, name))


def edited(value: Any) -> Iterator[Any]:
    """Others of its kind, and of another."""
    if isinstance(value, bool):
        yield not value
        yield int(value)
    elif isinstance(value, int):
        yield value + 1
        yield str(value)
        yield bool(value)
    elif isinstance(value, str):
        yield value + "A"
        yield value[:-1] + ("b" if value[-1:] == "a" else "a")
        yield "" if value else "a"
    elif isinstance(value, dict):
        yield value | {"more": 1}
    elif isinstance(value, list):
        yield [*value, *value[-1:]] if value else ["a"]
        if value[::-1] != value:
            yield value[::-1]
    yield None


GONE = object()


def changed(stated: Json, path: tuple[Any, ...], value: object) -> str:
    """The receipt with another value in one place, or with none there."""
    document = copy.deepcopy(stated)
    *above, name = path
    target: Any = document
    for step in above:
        target = target[step]
    if value is GONE:
        del target[name]
    else:
        target[name] = value
    return json.dumps(document)


@breaks("RC-1.10", "RC-1.11")
async def test_every_edit_of_a_receipt_is_noticed(case: Case) -> None:
    stated = case.document
    seen = 0
    for path in places(stated):
        *above, name = path
        parent: Any = stated
        for step in above:
            parent = parent[step]

        for other in edited(parent[name]):
            assert refused(changed(stated, path, other)), path
            seen += 1
        assert refused(changed(stated, path, GONE)), path
    assert seen > 300
    document = case.document
    document["signed"]["messages"][0]["does"][0]["amount"] = "6"
    assert refused(json.dumps(document)) == (
        "RC-1.10 summary: signed.messages[0].does[0].amount is not what the evidence gives"
    )
    document = case.document
    document["issuer"]["names"][document["issuer"]["id"]] = "mallory"
    assert refused(json.dumps(document)).startswith("RC-1.11 seal")


@breaks("RC-1.11")
async def test_a_vote_left_out_everywhere_is_missed_by_the_seal(case: Case) -> None:
    document = case.document
    place = next(number for number, vote in enumerate(document["votes"]) if vote["verdict"] == "abstain")
    del document["votes"][place], document["evidence"]["votes"][place]
    assert refused(json.dumps(document)).startswith("RC-1.11 seal")
    sealed = Seal(document=bytes(32))
    for signer in ("bob", "alice"):
        other = json.dumps(case.document | {"seal": text_of(state(case.by(signer), sealed))})
        assert refused(other).startswith("RC-1.11 seal")
    issuer = case.document["issuer"] | {"id": case.world["bob"].device}
    assert refused(json.dumps(case.document | {"issuer": issuer})).startswith("RC-1.11 seal")


@breaks("RC-1.1")
async def test_what_is_no_receipt_is_refused(case: Case) -> None:
    twice = case.text.replace('"approved_weight": 3', '"approved_weight": 3, "approved_weight": 3')
    for text in (
        "",
        "[]",
        "{}",
        "nonsense",
        "[" * 100_000,
        twice,
        case.text.replace(": 3", ": 3.0"),
        case.text[:-9],
    ):
        assert refused(text).startswith("RC-1.1 form")
    escape = json.dumps(case.document | {"issuer": {"id": "a", "names": {"b": "\x1b[2J"}}})
    assert refused(escape).startswith("RC-1.1 form: issuer")
    base = case.document["evidence"]["certificate"]
    assert refused(case.with_evidence(certificate=base + "\n")).startswith("RC-1.1 form: certificate")


@breaks("RC-1.2", "RC-1.3", "RC-1.4")
async def test_a_receipt_is_of_the_vault_that_is_meant(case: Case) -> None:
    certificate = decode(Certificate, case.evidence("certificate"))
    swapped = replace(certificate, signatures=certificate.signatures[::-1])
    assert refused(case.with_evidence(certificate=text_of(encode(swapped)))).startswith("RC-1.2")
    lighter = replace(certificate, record=replace(certificate.record, transcript=bytes(32)))
    assert refused(case.with_evidence(certificate=text_of(encode(lighter)))).startswith("RC-1.2")

    trial = case.evidence("trial")
    flipped = text_of(trial[:-1] + bytes([trial[-1] ^ 1]))
    assert refused(case.with_evidence(trial=flipped)).startswith("RC-1.3")

    other = Anchor(public_key=bytes([case.key[0] ^ 1]) + case.key[1:])
    assert refused(case.text, other).startswith("RC-1.4 vault")
    assert refused(case.text, Anchor(certificate=bytes(32))).startswith("RC-1.4 vault")
    untried = case.with_evidence(trial="")
    assert refused(untried, Anchor(public_key=case.key)).startswith("RC-1.4 vault")
    assert refused(untried, Anchor(public_key=case.key, certificate=certificate.hash)).startswith("RC-1.10")


@breaks("RC-1.5", "RC-1.6")
async def test_the_operation_is_its_proposers_and_the_vaults(case: Case) -> None:
    def proposed(operation: Operation, name: str = "alice") -> str:
        on = {"operation": operation.id, "digest": operation.digest}
        voters = sorted(("alice", "bob"), key=lambda voter: case.world[voter].device)
        return case.with_evidence(
            proposal=text_of(state(case.by(name), Proposal(operation=operation))),
            votes=[case.vote(voter, **on) for voter in voters],
        )

    operation = case.operation
    assert refused(proposed(operation, "bob")).startswith("RC-1.5 proposal")
    assert refused(proposed(case.made)).startswith("RC-1.6 operation: create-vault")
    request: Any = operation.request
    later = replace(operation, request=replace(request, epoch=1))
    assert refused(proposed(later)).startswith("RC-1.6 operation: it is for another epoch")
    broken = replace(request, signing=replace(request.signing, data=("zz",)))
    assert refused(proposed(replace(operation, request=broken))).startswith("RC-1.6 operation: what")
    claimed = replace(request, claim=replace(request.claim, amount="6"))
    assert refused(proposed(replace(operation, request=claimed))).startswith("RC-1.6 operation: what")


@breaks("RC-1.7", "RC-1.8")
async def test_only_members_votes_on_this_operation_count_and_each_once(case: Case) -> None:
    held = case.document["evidence"]["votes"]
    assert refused(case.with_evidence(votes=held[::-1])).startswith("RC-1.7 votes")
    assert refused(case.with_evidence(votes=[held[0], *held])).startswith("RC-1.7 votes")
    elsewhere = case.vote("alice", digest=bytes(32))
    assert refused(case.with_evidence(votes=[elsewhere])).startswith("RC-1.7 votes")
    forged = decode(Signed, state(case.by("bob"), Seal(document=bytes(32))))
    as_alice = text_of(encode(replace(forged, signer=case.world["alice"].device)))
    assert refused(case.with_evidence(votes=[as_alice])).startswith("RC-1.7 votes")

    alone = case.vote("alice")
    assert refused(case.with_evidence(votes=[alone])).startswith("RC-1.8 weight: approved weight 2 of 3")
    order = sorted(("alice", "bob"), key=lambda name: case.world[name].device)
    verdicts = {"alice": "approve", "bob": "abstain"}
    shy = [case.vote(name, verdict=verdicts[name]) for name in order]
    assert refused(case.with_evidence(votes=shy)).startswith("RC-1.8 weight")


@breaks("RC-1.9")
async def test_a_signature_of_another_message_is_none_of_this(case: Case) -> None:
    held = case.document["evidence"]["signatures"]
    other = json.loads(case.other)["evidence"]["signatures"]
    assert held != other
    high = base64.b64decode(held[0])
    turned = text_of(high[:64] + bytes([high[64] ^ 1]))
    for signatures in ([], held * 2, [turned], [text_of(high[:64])]):
        assert refused(case.with_evidence(signatures=signatures)).startswith("RC-1.9 signatures")
    # The same bytes were signed twice, so the other operation's signature is as good, and another receipt.
    assert refused(case.with_evidence(signatures=other)).startswith(
        "RC-1.10 summary: signed.messages[0].signature"
    )


async def test_no_receipt_is_given_for_what_was_not_signed_nor_by_who_has_no_votes(world: World) -> None:
    await vault_of(world)
    view = await world["alice"].sign("ops", "hello", "again", batch=True)
    document = receipts.verify(await receipt_of(world["alice"], view.id), BY_ANY)
    assert [each["content"] for each in document["signed"]["messages"]] == ["hello", "again"]
    for node in (world["bob"], world["carol"]):
        theirs = await node.ceremonies.clients.wait(CALLER, view.id, 10)
        if node.device in theirs.signers:  # who took part was shown the votes
            receipts.verify(await receipt_of(node, view.id), BY_ANY)
        else:
            with pytest.raises(UsageError, match="ask alice"):
                await receipt_of(node, view.id)
    world["alice"].approver.verdict = Verdict.REJECT
    rejected = await world["alice"].sign("ops", "no")
    assert rejected.state is State.REJECTED
    for none in (rejected.id, vault_operation(world["alice"])):
        with pytest.raises(UsageError) as error:
            await receipt_of(world["alice"], none)
        assert error.value.code == "NO_RECEIPT"


async def test_receipts_outlive_a_reshare_and_a_restart(world: World) -> None:
    await vault_of(world)
    before = await world["alice"].sign("ops", "before")
    reshared = await world["alice"].reshare("ops", {"carol": 2})
    assert reshared.state is State.COMPLETED
    await world["alice"].restart()
    vault = await world["alice"].ready("ops")
    after = await world["alice"].sign("ops", "after")
    known = Anchor(public_key=vault.public_keys[Curve.ED25519])
    epochs = [
        receipts.verify(await receipt_of(world["alice"], view.id), known)["vault"]["epoch"]
        for view in (before, after)
    ]
    assert epochs == [0, 1]


@breaks("CE-2.4")
def test_a_vote_carries_only_text_that_prints(tmp_path: Path) -> None:
    world = World(tmp_path, ("alice",))
    identity = world["alice"].ledger.identity
    known = {identity.device: identity.identity_key}
    vote = Vote(
        operation="a" * 24,
        digest=bytes(32),
        verdict="approve",
        boot=bytes(32),
        at_ms=7,
        approver="policy",
        rule="x",
    )

    def signed(body: bytes) -> bytes:
        said = digest(Domain.STATEMENT, "vote", identity.device, body)
        return encode(Signed(signer=identity.device, body=body, signature=identity.sign(said)))

    assert hear(Vote, signed(encode(vote)), known.get)[1] == vote
    for wrong in ("\x1b[2J", "a\nb", "\u202egnol", "x" * 201):
        body = encode(vote)[: -len(b"\xa1x")] + msgspec.msgpack.encode(wrong)
        with pytest.raises(UsageError) as error:
            hear(Vote, signed(body), known.get)
        assert error.value.code == "MALFORMED"
        assert replace(vote, rule=printable(wrong, 200)).rule.isprintable()
    # No receipt could write such a time, and so a voter would leave its operation without one.
    never = encode(vote).replace(
        b"\x07\xa6policy", msgspec.msgpack.encode(253_402_300_800_000) + b"\xa6policy"
    )
    with pytest.raises(UsageError, match="253402300799999") as error:
        hear(Vote, signed(never), known.get)
    assert error.value.code == "MALFORMED"
    # Stores hold votes from before these two fields, which say nothing of who decided.
    bare = BareVote(operation="a" * 24, digest=bytes(32), verdict="approve", boot=bytes(32), at_ms=7)
    assert hear(Vote, signed(encode(bare)), known.get)[1] == replace(vote, approver="", rule="")
    world["alice"].ledger.close()
    world["alice"].pool.shutdown()
