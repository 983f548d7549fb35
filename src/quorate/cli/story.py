"""What the demo shows, and how it is told: a line for people and a JSON object for programs at each step."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from rich.markup import escape

from quorate.ceremony.ports import OperationView, State, VaultView
from quorate.cli.cluster import Cluster, Running
from quorate.cli.connection import finish, vault_ready
from quorate.cli.output import Output
from quorate.cli.sign import HEX, TEXT
from quorate.cli.views import ballot_record, named, signature_record
from quorate.errors import QuorateError
from quorate.identifiers import Curve
from quorate.primitives.verify import verify_ed25519

WEIGHTS = {"alice": 2, "bob": 1, "carol": 1}
THRESHOLD = 3
SINGLE = "Some data to be signed here"
BATCH = ("68656C6C6F", "676F6F64627965")
INVOICE, STRANGER, RENT = "Pay the invoice of 25 EUR", "Pay a stranger 9000 EUR", "Pay the rent of 500 EUR"
RULES = ("--abstain", "invoice@/carol", "--reject", "stranger@/alice")
PATIENCE = 30.0
SHORT_EXPIRY = 3000  # milliseconds


class DemoFailed(QuorateError):
    reason = "DEMO_FAILED"


class Stopwatch:
    def __init__(self, output: Output) -> None:
        self._output = output
        self._start = self._last = perf_counter()

    def lap(self, what: str, mark: str = "[green]✓[/]") -> None:
        now = perf_counter()
        took, self._last = now - self._last, now
        spent = f"{took:.1f} s" if took >= 1 else f"{took * 1000:.0f} ms"
        self._output.note(f"{mark} {what} [dim]{spent}[/]")

    def detail(self, text: str) -> None:
        self._output.note(f"  [dim]{text}[/]")

    def total(self) -> float:
        return perf_counter() - self._start


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
        self.clock.lap("an approval server and three nodes run, connected by mutual TLS")

    async def tell(self) -> None:
        vault = await self.create()
        await self.signed(vault, "approval.approved", [SINGLE], TEXT, f"[bold]{SINGLE}[/]")
        await self.signed(vault, "batch-sign", list(BATCH), HEX, f"a batch of {len(BATCH)} messages")
        self.node = self.cluster["carol"].node
        await self.signed(vault, "approval.abstained", [INVOICE], TEXT, f"[bold]{INVOICE}[/]")
        self.node = self.cluster["alice"].node
        await self.refused(vault)
        await self.too_light(vault)
        self.line("done", signatures=self.signatures)
        self.clock.lap(f"{self.signatures} signatures, each accepted by libsodium and by OpenSSL")

    async def create(self) -> VaultView:
        view = await self.node.create_vault(
            name="demo", weights=WEIGHTS, threshold=THRESHOLD, idempotency_key=uuid.uuid4().hex
        )
        view = await self.ended("creating the vault", view, State.COMPLETED)
        if view.vault is None:
            raise DemoFailed("the vault was created but has no id")
        for member in self.cluster.members.values():
            vault = await vault_ready(member.node, view.vault, patience=PATIENCE)
            if vault.state != "ready":
                raise DemoFailed(
                    f"at {member.name}, vault {vault.id} is {vault.state} after {PATIENCE:.0f} s"
                )
        keys = {str(curve): key.hex() for curve, key in vault.public_keys.items()}
        self.line(
            "vault.create",
            vault=vault.id,
            operation=view.id,
            epoch=vault.epoch,
            threshold=vault.threshold,
            signers=[{"id": signer.device, "weight": signer.weight} for signer in vault.signers],
            public_keys=keys,
            xpubs={str(curve): xpub for curve, xpub in vault.xpubs.items()},
        )
        self.clock.lap(f"vault created: {self.approvals(view)}")
        for curve, key in keys.items():
            self.clock.detail(f"{curve:<9} {key}")
        return vault

    async def signed(
        self, vault: VaultView, step: str, data: Sequence[str], content_type: str, what: str
    ) -> None:
        view = await self.ask(vault, data, content_type, batch=len(data) > 1)
        view = await self.ended(f"signing {what}", view, State.COMPLETED)
        if step == "approval.abstained":
            view = await self.all_votes(view)
        for signature in view.signatures:
            self.line(
                "sign",
                operation=view.id,
                vault=vault.id,
                **signature_record(signature),
                signers=list(view.signers),
            )
        if step == "batch-sign":
            messages = [signature.message.hex() for signature in view.signatures]
            self.line(
                step, operation=view.id, messages_hex=messages, state=str(view.state), **ballot_record(view)
            )
        else:
            self.line(step, operation=view.id, state=str(view.state), **ballot_record(view))
        key = vault.public_keys[Curve.ED25519]
        if not all(verify_ed25519(key, each.message, each.signature) for each in view.signatures):
            raise DemoFailed(f"{what}: a signature does not verify")
        self.signatures += len(view.signatures)
        signers = " + ".join(f"{self.names[each]} ({WEIGHTS[self.names[each]]})" for each in view.signers)
        self.clock.lap(f"{what}: {self.approvals(view)}; signed by {signers}")
        for signature in view.signatures:
            self.clock.detail(signature.signature.hex())

    async def refused(self, vault: VaultView) -> None:
        """Alice's approver says no, and without her weight there is no quorum."""
        view = await self.ask(vault, [STRANGER], TEXT, batch=False)
        view = await self.ended(f"signing {STRANGER}", view, State.REJECTED)
        self.unsigned("approval.rejected", view, f"[bold]{STRANGER}[/]: {self.approvals(view)}")

    async def too_light(self, vault: VaultView) -> None:
        """Alice's node is down; bob and carol both approve, which is weight 2 of 3."""
        await self.cluster["alice"].stop()
        self.node = self.cluster["bob"].node
        view = await self.ask(vault, [RENT], TEXT, batch=False, expires_in_ms=SHORT_EXPIRY)
        view = await self.ended(f"signing {RENT}", view, State.EXPIRED)
        self.unsigned(
            "threshold.refused", view, f"[bold]{RENT}[/], alice's node is down: {self.approvals(view)}"
        )

    def unsigned(self, step: str, view: OperationView, what: str) -> None:
        self.line(step, operation=view.id, state=str(view.state), reason=view.reason, detail=view.detail,
                  **ballot_record(view))  # fmt: skip
        self.clock.lap(
            f"{what}; weight {view.approved_weight} of {view.threshold}, no signature", "[red]✗[/]"
        )
        self.clock.detail(
            escape(named(": ".join(part for part in (view.reason, view.detail) if part), self.names))
        )

    async def ask(
        self,
        vault: VaultView,
        data: Sequence[str],
        content_type: str,
        *,
        batch: bool,
        expires_in_ms: int | None = None,
    ) -> OperationView:
        return await self.node.sign(
            vault=vault.id,
            data=data,
            batch=batch,
            content_type=content_type,
            algorithm="EDDSA",
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
