"""What the demo shows, and how it is told: a line for people and a JSON object for programs at each step."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from rich.padding import Padding

from quorate.ceremony import receipts
from quorate.ceremony.evidence import Anchor
from quorate.ceremony.ports import State
from quorate.ceremony.views import OperationView, SignatureView, VaultView
from quorate.cli.cluster import Cluster, Running
from quorate.cli.connection import finish, vault_ready
from quorate.cli.output import Output, escape
from quorate.cli.receipt import receipt_text
from quorate.cli.sign import HEX, TEXT
from quorate.cli.stopwatch import Stopwatch
from quorate.cli.views import ballot_record, hash_of, named, signature_record, units
from quorate.errors import QuorateError
from quorate.identifiers import Curve
from quorate.operations.addresses import Chain, address, checksummed
from quorate.operations.derivation import derive
from quorate.operations.kinds import Algorithm, Kind
from quorate.operations.payload import algorithm
from quorate.operations.signatures import verifies
from quorate.operations.transactions.evm import DynamicFee

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
LATECOMER, LEAVER = "dave", "carol"
NODES = (*WEIGHTS, LATECOMER)
AFTER = {"alice": 2, "bob": 1, LATECOMER: 2}
THRESHOLD, EVERYBODY, RAISED = 3, 4, 4
SINGLE = "Some data to be signed here"
BATCH = ("68656C6C6F", "676F6F64627965")
INVOICE, STRANGER, RENT = "Pay the invoice of 25 EUR", "Pay a stranger 9000 EUR", "Pay the rent of 500 EUR"
ORDER, SALARIES, RECEIPT = "Order 40 chairs", "Pay the salaries", "Received 40 chairs"
WELCOME = "Welcome, dave"
STORE_PATH, ETHEREUM_PATH = "m/0/1", "m/60/0"
PAYMENT = DynamicFee(
    chain_id=11155111,  # Sepolia, a test net
    nonce=0,
    max_priority_fee_per_gas=2 * 10**9,
    max_fee_per_gas=30 * 10**9,
    gas_limit=21000,
    to=bytes.fromhex("5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"),
    value=10**15,
)
CAREFUL = "alice"  # whose node has a policy besides
LIMIT, LIMITED = 10**16, "transfers of at most 0.01 ETH"
POLICY = f"""\
default = "approve"                # the approval server decides on all else

[assets.ETH]
chain = "eip155:11155111"
decimals = 18

[[rule]]
name = "{LIMITED}"
scope = "global"
when.kinds = ["transfer-out"]
limits = [{{ asset = "ETH", each = "0.01" }}, {{ asset = "ETH", fee = "0.01" }}]
"""
RULES = ("--abstain", "invoice@/carol", "--reject", "stranger@/alice")
PATIENCE = 30.0
SHORT_EXPIRY = 3000  # milliseconds


class DemoFailed(QuorateError):
    reason = "DEMO_FAILED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be signed, by which key of the vault, and what people are told that it is."""

    data: Sequence[str]
    what: str
    content_type: str = TEXT
    algorithm: Algorithm = Algorithm.EDDSA
    path: str = ""
    transfer_of: int | None = None  # wei, where it is a transaction

    @classmethod
    def text(cls, text: str, algorithm: Algorithm = Algorithm.EDDSA, path: str = "") -> Wish:
        return cls(data=[text], what=text, algorithm=algorithm, path=path)

    @classmethod
    def transfer(cls, payment: DynamicFee) -> Wish:
        return cls(
            data=[payment.unsigned().hex()],
            what=f"{units(str(payment.value), 18)} ETH on Sepolia",
            content_type=HEX,
            algorithm=Algorithm.ESKEC256,
            path=ETHEREUM_PATH,
            transfer_of=payment.value,
        )

    def __str__(self) -> str:
        by = "" if self.algorithm is Algorithm.EDDSA else f" by {self.algorithm}"
        at = f" under the key at {self.path}" if self.path else ""
        return f"[bold]{self.what}[/]{by}{at}"


class Story:
    """What the demo shows, in order. ``node`` is the one that is asked, as an application would ask it."""

    def __init__(self, output: Output, cluster: Cluster, clock: Stopwatch) -> None:
        self.output, self.cluster, self.clock = output, cluster, clock
        self.node = cluster["alice"].node
        self.names = {member.device: name for name, member in cluster.members.items()}
        self.signatures = 0

    def line(self, step: str, **fields: Any) -> None:
        if self.output.json:
            self.output.line({"step": step, **fields})

    def started(self, approver: Running) -> None:
        nodes = [
            {"id": member.device, "name": name, "pid": member.running.pid if member.running else None}
            for name, member in self.cluster.members.items()
        ]
        self.line("start", nodes=nodes, approver={"pid": approver.pid})
        self.clock.lap("an approval server and four nodes run, connected by mutual TLS")

    async def tell(self) -> None:
        vault = await self.create("demo", THRESHOLD)
        await self.signed(vault, "approval.approved", Wish.text(SINGLE))
        await self.signed(
            vault,
            "batch-sign",
            Wish(data=BATCH, what=f"a batch of {len(BATCH)} messages", content_type=HEX),
        )
        await self.signed(vault, "ecdsa", Wish.text(ORDER, Algorithm.ES256K))
        everybody = await self.create("everybody", EVERYBODY)
        await self.signed(everybody, "ecdsa", Wish.text(SALARIES, Algorithm.ES256K))
        await self.signed(vault, "derived", Wish.text(RECEIPT, Algorithm.ES256K, STORE_PATH))
        await self.over_the_limit(vault)
        await self.paid(vault)
        self.node = self.cluster["carol"].node
        await self.signed(vault, "approval.abstained", Wish.text(INVOICE))
        self.node = self.cluster["alice"].node
        await self.refused(vault)
        vault = await self.reshared(vault)
        await self.signed(vault, "reshared", Wish.text(WELCOME))
        await self.signed(vault, "reshared", Wish.text(WELCOME, Algorithm.ES256K))
        await self.too_light(everybody)
        self.line("done", signatures=self.signatures)
        self.clock.lap(f"{self.signatures} signatures, each verified by the client as well")

    async def create(self, name: str, threshold: int) -> VaultView:
        view = await self.node.create_vault(
            name=name, weights=WEIGHTS, threshold=threshold, idempotency_key=uuid.uuid4().hex
        )
        view = await self.ended("creating the vault", view, State.COMPLETED)
        if view.vault is None:
            raise DemoFailed("the vault was created but has no id")
        for name_of_member in WEIGHTS:
            member = self.cluster[name_of_member]
            vault = await vault_ready(member.node, view.vault, patience=PATIENCE)
            if vault.state != "ready":
                raise DemoFailed(
                    f"at {member.name}, vault {vault.id} is {vault.state} after {PATIENCE:.0f} s"
                )
        self.line("vault.create", name=name, operation=view.id, **described(vault))
        self.clock.lap(f"vault [bold]{name}[/] created, threshold {threshold}: {self.approvals(view)}")
        self.tell_keys(vault)
        return vault

    async def reshared(self, vault: VaultView) -> VaultView:
        """Dave joins with weight 2, carol leaves, and it takes one more to sign. The keys stay."""
        view = await self.node.reshare(
            vault=vault.id, weights={LATECOMER: AFTER[LATECOMER]}, removed=[LEAVER], threshold=RAISED,
            idempotency_key=uuid.uuid4().hex,
        )  # fmt: skip
        view = await self.ended("resharing the vault", view, State.COMPLETED)
        for name in AFTER:
            after = await vault_ready(self.cluster[name].node, vault.id, patience=PATIENCE)
            if (after.state, after.epoch) != ("ready", vault.epoch + 1):
                raise DemoFailed(f"at {name}, epoch {after.epoch} of vault {vault.id} is {after.state}")
            if (after.public_keys, after.xpubs) != (vault.public_keys, vault.xpubs):
                raise DemoFailed(f"at {name}, vault {vault.id} has other keys than before")
        self.line(
            "vault.reshare", operation=view.id, state=str(view.state), votes=ballot_record(view)["votes"],
            **described(after),
        )  # fmt: skip
        self.clock.lap(
            f"[bold]{LATECOMER}[/] joins with weight {AFTER[LATECOMER]}, [bold]{LEAVER}[/] leaves, threshold"
            f" {vault.threshold} to {after.threshold}, the keys stay: {self.approvals(view)}"
        )
        self.tell_keys(after)
        return after

    def tell_keys(self, vault: VaultView) -> None:
        for curve, key in vault.public_keys.items():
            self.clock.detail(f"{curve!s:<9} {key.hex()}")

    async def signed(self, vault: VaultView, step: str, wish: Wish) -> None:
        view = await self.carried_out(vault, wish)
        if step == "approval.abstained":
            view = await self.all_votes(view)
        self.line(step, **outcome(vault, view))

    async def over_the_limit(self, vault: VaultView) -> None:
        """Alice's policy reads the amount from the bytes that would be signed."""
        too_much = replace(PAYMENT, value=50 * LIMIT)
        view = await self.ask(vault, Wish.transfer(too_much))
        view = await self.ended("a transfer over the limit", view, State.REJECTED)
        # Alice's vote says which rule it was; how it came to that her node's admin may read.
        [vote] = [each for each in view.votes if each.verdict == "reject"]
        if LIMITED not in vote.rule:
            raise DemoFailed(f"{vote.rule!r} does not name the rule {LIMITED!r}")
        decided = [each async for each in self.node.decided(since_ms=view.created_ms)]
        decision = next(each.row.decision for each in decided if each.row.operation == view.id)
        self.unsigned(
            "policy.rejected", vault, view, f"{Wish.transfer(too_much)}: {self.approvals(view)}",
            rule=vote.rule, explanation=decision.explanation, limit_wei=LIMIT,
            unsigned_transaction="0x" + too_much.unsigned().hex(),
        )  # fmt: skip
        self.clock.detail(escape(f"{CAREFUL}'s rule: {decision.explanation}"))

    async def paid(self, vault: VaultView) -> None:
        """The message is the unsigned transaction: each node computes its hash itself, and none is told one."""
        payer = key_at(vault, Curve.SECP256K1, ETHEREUM_PATH)
        sender, to = address(Chain.ETHEREUM, payer), checksummed(PAYMENT.to)
        view = await self.carried_out(vault, Wish.transfer(PAYMENT))
        [signature] = view.signatures
        raw = signature.transaction
        self.line(
            "ethereum",
            chain_id=PAYMENT.chain_id,
            **{"from": sender},
            to=to,
            value_wei=PAYMENT.value,
            transaction=hash_of(signature),
            raw_transaction="0x" + raw.hex(),
            **outcome(vault, view),
        )
        self.clock.detail(f"from {sender} to {to}")
        self.clock.detail(f"raw  0x{raw.hex()}")
        await self.receipt(vault, view)

    async def receipt(self, vault: VaultView, view: OperationView) -> None:
        """Who approved it and by which rule, checked as anybody can who knows the vault's key."""
        anchor = Anchor(public_key=vault.public_keys[Curve.SECP256K1])
        document = receipts.verify(await self.node.receipt(view.id), anchor)
        self.line("receipt", operation=view.id, vault=vault.id, receipt=document)
        self.clock.lap("its receipt, verified without a node:")
        self.output.note(Padding(receipt_text(document), (0, 2)))

    async def carried_out(self, vault: VaultView, wish: Wish) -> OperationView:
        """Signed, each signature shown, and verified here too."""
        view = await self.ended(f"signing {wish.what}", await self.ask(vault, wish), State.COMPLETED)
        key = key_at(vault, wish.algorithm.curve, wish.path)
        for signature in view.signatures:
            self.line(
                "sign",
                operation=view.id,
                vault=vault.id,
                path=wish.path,
                **signature_record(signature),
                signers=list(view.signers),
            )
            if (signature.public_key, signature.algorithm) != (key, wish.algorithm) or not holds(signature):
                raise DemoFailed(f"{wish.what}: a signature does not verify")
        self.signatures += len(view.signatures)
        weights = {signer.device: signer.weight for signer in vault.signers}
        signers = " + ".join(f"{self.names[each]} ({weights[each]})" for each in view.signers)
        self.clock.lap(f"{wish}: {self.approvals(view)}; signed by {signers}")
        for signature in view.signatures:
            self.clock.detail(signature.signature.hex())
        return view

    async def refused(self, vault: VaultView) -> None:
        """Alice's approver says no, and without her weight there is no quorum."""
        view = await self.ask(vault, Wish.text(STRANGER))
        view = await self.ended(f"signing {STRANGER}", view, State.REJECTED)
        self.unsigned("approval.rejected", vault, view, f"[bold]{STRANGER}[/]: {self.approvals(view)}")

    async def too_light(self, vault: VaultView) -> None:
        """Alice's node is down; bob and carol both approve, which is weight 2 of 4."""
        await self.cluster["alice"].stop()
        self.node = self.cluster["bob"].node
        view = await self.ask(vault, Wish.text(RENT), expires_in_ms=SHORT_EXPIRY)
        view = await self.ended(f"signing {RENT}", view, State.EXPIRED)
        self.unsigned(
            "threshold.refused", vault, view, f"[bold]{RENT}[/], alice's node is down: {self.approvals(view)}"
        )

    def unsigned(self, step: str, vault: VaultView, view: OperationView, what: str, **fields: Any) -> None:
        self.line(step, reason=view.reason, detail=view.detail, **fields, **outcome(vault, view))
        self.clock.lap(
            f"{what}; weight {view.approved_weight} of {view.threshold}, no signature", "[red]✗[/]"
        )
        self.clock.detail(
            escape(named(": ".join(part for part in (view.reason, view.detail) if part), self.names))
        )

    async def ask(self, vault: VaultView, wish: Wish, *, expires_in_ms: int | None = None) -> OperationView:
        if wish.transfer_of is not None:
            return await self.node.sign_transaction(
                vault=vault.id,
                purpose=Kind.TRANSFER_OUT.value,
                data=wish.data[0],
                derivation_path=wish.path,
                amount=str(wish.transfer_of),
                idempotency_key=uuid.uuid4().hex,
                expires_in_ms=expires_in_ms,
            )
        return await self.node.sign(
            vault=vault.id,
            data=wish.data,
            batch=len(wish.data) > 1,
            content_type=wish.content_type,
            algorithm=wish.algorithm.value,
            derivation_path=wish.path,
            idempotency_key=uuid.uuid4().hex,
            expires_in_ms=expires_in_ms,
        )

    async def ended(self, what: str, view: OperationView, state: State) -> OperationView:
        with self.output.progress(what) as tell:
            view = await finish(self.node, view, timeout=PATIENCE, tell=tell)
        if view.state is not state:
            raise DemoFailed(f"{what}: {view.state} instead of {state}: {view.reason} {view.detail}")
        return view

    async def all_votes(self, view: OperationView) -> OperationView:
        """The operation once every node has voted: enough weight may sign before the last one has spoken."""
        ends = perf_counter() + PATIENCE
        while any(not vote.verdict for vote in view.votes) and perf_counter() < ends:
            await asyncio.sleep(0.02)
            view = await self.node.operation(view.id)
        return view

    def approvals(self, view: OperationView) -> str:
        colours: dict[str, Callable[[str], str]] = {
            "approve": lambda name: f"[green]{name} approves[/]",
            "reject": lambda name: f"[red]{name} rejects[/]",
            "abstain": lambda name: f"[yellow]{name} abstains[/]",
        }
        said = (colours[vote.verdict](vote.name) for vote in view.votes if vote.verdict)
        return ", ".join(said)


def key_at(vault: VaultView, curve: Curve, path: str) -> bytes:
    return derive(curve, vault.public_keys[curve], vault.chain_codes[curve], path).public_key


def described(vault: VaultView) -> dict[str, Any]:
    return {
        "vault": vault.id,
        "epoch": vault.epoch,
        "threshold": vault.threshold,
        "signers": [{"id": signer.device, "weight": signer.weight} for signer in vault.signers],
        "public_keys": {str(curve): key.hex() for curve, key in vault.public_keys.items()},
        "xpubs": {str(curve): xpub for curve, xpub in vault.xpubs.items()},
    }


def outcome(vault: VaultView, view: OperationView) -> dict[str, Any]:
    """How an operation ended, for programs, with what it signed, in the order asked for."""
    return {
        "operation": view.id,
        "vault": vault.id,
        "state": str(view.state),
        "messages_hex": [signature.message.hex() for signature in view.signatures],
        **ballot_record(view),
    }


def holds(signature: SignatureView) -> bool:
    recovery = b"" if signature.recovery_id is None else bytes([signature.recovery_id])
    return verifies(
        algorithm(signature.algorithm),
        signature.public_key,
        signature.message,
        signature.signature + recovery,
    )
