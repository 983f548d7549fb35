"""What peers remember of this node: how one that was set back notices, and how a quarantine ends.

docs/spec/quarantine.md. Each start of a node is told to every peer in a signed inquiry, which the peer
keeps and shows when the next one comes. A node that is shown a start of its own that its store does not know was set
back: nobody else could have signed it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from types import MappingProxyType

import structlog

from quorate.ceremony import lineage, resets
from quorate.ceremony.confinement import Confined, Start, Why
from quorate.ceremony.context import Boot, Context
from quorate.ceremony.greetings import Greetings
from quorate.ceremony.ports import Method
from quorate.ceremony.quarantine import WORDS
from quorate.ceremony.statements import Inquiry, Recollection, Testimony, hear, state
from quorate.ceremony.vaults import Vault
from quorate.ceremony.witnessing import Witnesses
from quorate.errors import EncodingError, PeerError, QuorateError, UsageError
from quorate.identifiers import DeviceId, Epoch, VaultId
from quorate.protocols.sharing import Sharing

log = structlog.get_logger()

ROUND = 1.0  # seconds between looks at whom to ask
AGAIN = 2.0  # seconds until a peer is asked again while something is in quarantine
CLAIMED = 64  # attempts more than we know of that a peer's word is good for

AskChain = Callable[[VaultId, DeviceId], Awaitable[None]]


class Reconciler:
    def __init__(
        self, context: Context, greetings: Greetings, witnesses: Witnesses, ask_chain: AskChain
    ) -> None:
        """``ask_chain``: have a peer show which epochs there are of a vault."""
        self._context = context
        self._greetings, self._witnesses = greetings, witnesses
        self._ask_chain = ask_chain
        self._asked: dict[DeviceId, float] = {}  # since this start; when, on the monotonic clock
        self._tried: set[DeviceId] = set()  # these, and who could not be reached
        self._asking: dict[DeviceId, asyncio.Task[None]] = {}
        self._answers: dict[VaultId, dict[DeviceId, Recollection]] = {}  # since this start
        self._told: dict[DeviceId, frozenset[VaultId]] = {}  # what is in quarantine here, as it heard last
        self._unsettled: set[DeviceId] = set()  # peers that said so
        self._set_back: dict[DeviceId, str] = {}
        self._confined: dict[DeviceId, frozenset[VaultId]] = {}

    # --- what peers are, as they say

    @property
    def set_back(self) -> Mapping[DeviceId, str]:
        """Peers whose store was set back, in words, until they are level again."""
        return MappingProxyType(self._set_back)

    def confined(self, vault: VaultId | None) -> frozenset[DeviceId]:
        """Who takes no part in a vault, by its own word, and ourselves."""
        context = self._context
        found = {peer for peer, vaults in self._confined.items() if vault in vaults}
        return frozenset(found | ({context.me} if context.quarantine.of(vault) is not None else set()))

    async def answer(self, sender: DeviceId, inquiry: Inquiry, body: bytes) -> bytes:
        """To a peer that tells of a start: the latest one that it told of before, and the vaults of both."""
        context = self._context
        held = context.ledger.start_of(sender)
        told = (inquiry.boot_counter, inquiry.boot)
        if held is not None and held.boot != inquiry.boot and held.counter >= inquiry.boot_counter:
            self._note_set_back(sender, held, inquiry)
        else:
            start = Start(counter=told[0], boot=told[1], statement=body)
            await context.aside(lambda: context.ledger.note_start(sender, start))
            if not inquiry.confined and self._set_back.pop(sender, None) is not None:
                log.info("a peer that was set back is level again", peer=sender)
        if not inquiry.settled:
            self._unsettled.add(sender)
        elif sender in self._unsettled:
            self._unsettled.discard(sender)
            await self._witnesses.begin_anew(sender)
        self._confined[sender] = frozenset(map(VaultId, inquiry.confined))
        testimony = Testimony(
            boot=inquiry.boot,
            nonce=inquiry.nonce,
            start=held.statement if held is not None else b"",
            vaults=await context.aside(lambda: self._recollections(sender)),
        )
        return state(context.identity, testimony)

    def _note_set_back(self, peer: DeviceId, held: Start, inquiry: Inquiry) -> None:
        """QU-1.5 set back: of one device no two starts have one number, and numbers only rise."""
        if peer not in self._set_back:
            log.critical(
                "QU-1.5 set back: the store of a peer is an old copy", peer=peer, name=self._context.name_of(peer),
                start_held=held.counter, start_shown=inquiry.boot_counter,
            )  # fmt: skip
        self._set_back[peer] = f"showed start {inquiry.boot_counter} after start {held.counter}"

    def _recollections(self, peer: DeviceId) -> tuple[Recollection, ...]:
        """Blocking."""
        context = self._context
        found = []
        for vault in context.vaults.known():
            if not vault.active or peer not in lineage.audience(context, vault.id):
                continue
            made = resets.held(context, vault, peer)
            found.append(
                Recollection(
                    vault=vault.id, epoch=vault.epoch, certificate=vault.certificate_hash,
                    attempts=context.vaults.attempts(vault.id, vault.epoch + 1),
                    generation=made[-1].generation if made else 0, setup=made[-1].id if made else b"",
                    free=context.quarantine.of(vault.id) is None,
                )
            )  # fmt: skip
        return tuple(found)

    # --- asking

    async def keep_asking(self) -> None:
        """Until cancelled: every peer once in each start, and, while something is in quarantine, again and again."""
        while True:
            context = self._context
            try:
                peers = context.ledger.peers()
                due = [peer for peer in peers if peer != context.me and self._due(peer)]
                await self._ask_all(due)
                for vault in tuple(context.ledger.quarantine()):
                    await self._settle(vault)
                if context.set_back and _settled(context.ledger.quarantine()):
                    context.set_back = ""
            except QuorateError as error:
                log.warning("reconciling failed", why=str(error))
            except Exception:
                log.exception("bug in reconciling")
            await asyncio.sleep(ROUND)

    async def recall(self, peers: Collection[DeviceId]) -> None:
        """QU-1.4 first: before a session, each of these that was not tried since our start, if it can be reached. Who
        does not answer is waited for once."""
        context = self._context
        await self._ask_all(
            [
                peer
                for peer in peers
                if peer != context.me and peer not in self._tried and context.mesh.connected(peer)
            ]
        )

    async def _ask_all(self, peers: Sequence[DeviceId]) -> None:
        for peer in peers:
            if peer not in self._asking:
                task = asyncio.create_task(self._ask(peer), name=f"inquire {peer}")
                self._asking[peer] = task
                task.add_done_callback(lambda _, peer=peer: self._asking.pop(peer, None))  # type: ignore[misc]
        for met in await asyncio.gather(*(self._asking[each] for each in peers), return_exceptions=True):
            if isinstance(met, Exception):
                log.error("bug in an inquiry", error=repr(met))

    def _due(self, peer: DeviceId) -> bool:
        context = self._context
        if not context.mesh.connected(peer):
            self._drop(peer)
            return False
        at, confined = self._asked.get(peer), context.ledger.quarantine()
        if at is None or self._told.get(peer) != frozenset(confined):
            return True
        return bool(confined) and context.clock.monotonic() - at >= AGAIN

    def _drop(self, peer: DeviceId) -> None:
        """Who is not here shows nothing."""
        for answers in self._answers.values():
            answers.pop(peer, None)

    async def _ask(self, peer: DeviceId) -> None:
        context = self._context
        confined = context.ledger.quarantine()
        inquiry = Inquiry(
            boot_counter=context.boot.counter, boot=context.boot.id, nonce=context.entropy.public(32),
            settled=_settled(confined),
            confined=tuple(
                vault for vault in sorted(confined) if peer in lineage.audience(context, vault)
            ),
        )  # fmt: skip
        try:
            await self._meet(peer, needed=bool(confined))
            answer = await context.mesh.request(
                peer, Method.INQUIRE, state(context.identity, inquiry), timeout=context.limits.ask
            )
            signer, testimony = hear(Testimony, answer, context.key_of)
            if signer != peer:
                raise UsageError(f"CE-1.1 speaker: {peer} shows what {signer} says", code="WRONG_SENDER")
            if (testimony.boot, testimony.nonce) != (inquiry.boot, inquiry.nonce):
                raise UsageError("QU-1.8 fresh: an answer to another inquiry", code="STALE_ANSWER")
            if await self._note_start(peer, testimony):
                return  # all are asked anew, as who we are by now
            await self._note_vaults(peer, testimony)
        except (QuorateError, EncodingError) as error:
            self._drop(peer)
            log.info("a peer does not tell what it remembers", peer=peer, why=str(error))
            if isinstance(error, PeerError) and error.code == "UNREACHABLE":
                return
        finally:
            self._tried.add(peer)
        self._asked[peer], self._told[peer] = context.clock.monotonic(), frozenset(confined)

    async def _meet(self, peer: DeviceId, *, needed: bool) -> None:
        """All that it holds of our chain is seen before its word counts, and before our first session: a disk that was
        set back to within one start is found by that alone. ``needed``: that it answers, and which policy is in force
        and which of our cards it holds."""
        if needed:
            await self._greetings.greet(peer)
        try:
            await self._witnesses.exchange(peer)
        except (QuorateError, EncodingError):
            if needed:
                raise

    async def _note_start(self, peer: DeviceId, testimony: Testimony) -> bool:
        """QU-1.5 set back: a start of ours that comes after this one, or is another with its number. Whether it is."""
        context = self._context
        if not testimony.start:
            return False
        signer, start = hear(Inquiry, testimony.start, context.key_of)
        if signer != context.me:
            raise UsageError(
                f"QU-1.5 set back: {peer} shows a start of {signer} as ours", code="WRONG_SENDER"
            )
        boot = context.boot
        if start.boot == boot.id or start.boot_counter < boot.counter:
            return False
        why = f"{context.name_of(peer)} shows start {start.boot_counter} of this node, which is at {boot.counter}"
        await context.aside(lambda: context.quarantine.enter(Why.SET_BACK, why))
        counter = await context.aside(lambda: context.ledger.raise_boots(start.boot_counter))
        context.boot = Boot(counter=counter, id=boot.id, at_ms=boot.at_ms)
        log.critical(
            "QU-1.5 set back: this node's store is an old copy", shown_by=peer, start_shown=start.boot_counter,
            start_held=boot.counter,
        )  # fmt: skip
        self._asked.clear()
        self._tried.clear()
        return True

    async def _note_vaults(self, peer: DeviceId, testimony: Testimony) -> None:
        context = self._context
        shown = {VaultId(each.vault): each for each in testimony.vaults}
        for vault in context.ledger.quarantine():
            answers = self._answers.setdefault(vault, {})
            said = shown.get(vault)
            if said is None:
                answers.pop(peer, None)
                continue
            answers[peer] = said
            held = context.vaults.newest_vault(vault)
            if held is not None and (said.epoch, said.certificate) != (held.epoch, held.certificate_hash):
                if said.epoch >= held.epoch:
                    await self._ask_chain(vault, peer)
                held = context.vaults.newest_vault(vault)
            if held is not None and (said.epoch, said.certificate) != (held.epoch, held.certificate_hash):
                log.warning(
                    "QU-1.3 same: a peer shows another epoch and proves nothing", peer=peer, vault=vault,
                    shown=said.epoch, held=held.epoch,
                )  # fmt: skip

    # --- the end of a quarantine

    def waits_for(self, vault: Vault) -> Mapping[DeviceId, str]:
        """Which other members have not shown that they hold the vault as we do, and why not, in words."""
        context, answers = self._context, self._answers.get(vault.id, {})
        found = {}
        for device in vault.sharing.devices:
            if device == context.me:
                continue
            said = answers.get(device)
            if said is None:
                here = context.mesh.connected(device)
                found[device] = "does not show that it holds the vault" if here else "is not connected"
            elif said.epoch != vault.epoch:
                found[device] = f"shows epoch {said.epoch}"
            elif not _same(said, vault):
                found[device] = f"shows another certificate for epoch {said.epoch}"
            elif not said.free:
                found[device] = "is itself in quarantine"
        return found

    def confinements(self) -> Mapping[str, tuple[Why, str]]:
        """The vaults in quarantine of which this node is a signer: why, and what they await."""
        context, found = self._context, {}
        for vault, confined in context.ledger.quarantine().items():
            held = context.vaults.newest_vault(vault)
            if held is None or context.me not in held.sharing.devices:
                continue
            told = f"this node takes no part: {WORDS[confined.cause]}"
            if confined.cause is not Why.SHARE_LOST:
                waits = self.waits_for(held).items()
                told += "".join(f"; {context.name_of(device)} {how}" for device, how in waits)
            found[str(vault)] = confined.cause, told
        return found

    async def _settle(self, identifier: VaultId) -> None:
        """QU-1.3 same: end it by ourselves once every other member, out of quarantine, holds the vault as we do."""
        vault = self._reconcilable(identifier)
        if vault is None or vault.sharing.devices == (self._context.me,) or self.waits_for(vault):
            return
        if not self._policy_missing(vault):
            await self._free(vault, by="every other signer shows the same certificate")

    def _policy_missing(self, vault: Vault) -> str:
        """Why the policy in force may be one that is not here. One signer of the governing vault may keep it back; all
        of them do not, and that vault is free once all have greeted us."""
        context, policies = self._context, self._context.policies
        if policies.behind is not None:
            return "the policy in force is not here yet"
        governing = None if policies.governing is None else policies.governing.vault
        if policies.signers and governing != vault.id and context.quarantine.of(governing) is not None:
            return f"vault {governing}, which governs this node, is in quarantine itself: it comes first"
        return ""

    def _reconcilable(self, identifier: VaultId) -> Vault | None:
        confined = self._context.quarantine.of(identifier)
        if confined is None or confined.cause is Why.SHARE_LOST:
            return None
        return self._context.vaults.newest_vault(identifier)

    async def release(self, vault: Vault, without: Collection[DeviceId], by: str) -> None:
        """QU-1.6 release: an admin's word that these are gone, or are to be taken at their word though they are in
        quarantine themselves. ``UsageError`` says who else is missing, or that the rest weigh too little."""
        context = self._context
        if self._reconcilable(vault.id) is None:
            raise UsageError(
                f"QU-1.6 release: vault {vault.name} has nothing to be released from: it is out of quarantine, or its"
                " share is lost and comes back by a refresh alone",
                code="NOT_RECONCILABLE",
            )
        waiting, answers = self.waits_for(vault), self._answers.get(vault.id, {})
        if unnamed := waiting.keys() - set(without):
            told = "; ".join(f"{context.name_of(each)} {waiting[each]}" for each in sorted(unnamed))
            raise UsageError(f"QU-1.6 release: {told}: bring it up, or name it", code="NOT_RECONCILED")
        if missing := self._policy_missing(vault):
            raise UsageError(f"QU-1.6 release: {missing}", code="POLICY_BEHIND")
        same = {device for device, said in answers.items() if _same(said, vault)}
        absent = waiting.keys() - same
        heard = vault.sharing.weight_of([each for each in same if answers[each].free and each != context.me])
        if absent and heard < least_heard(vault.sharing):
            names = ", ".join(context.name_of(each) for each in sorted(absent))
            raise UsageError(
                f"QU-1.6 release: without {names} a weight of {heard} has shown the epoch, and of less than"
                f" {least_heard(vault.sharing)} nobody can tell that there is no later one: restore {names}, have the"
                " others refresh the vault, or rebuild the keys offline with quorate-recover",
                code="NOT_ENOUGH_WEIGHT",
            )
        await self._free(vault, by=f"{by}, without {', '.join(sorted(absent)) or 'nobody'}")

    async def _free(self, vault: Vault, *, by: str) -> None:
        """QU-1.7 never again: attempts that we may have signed, and pair set-ups that we may have used, are behind us
        before anything is begun."""
        answers = {d: a for d, a in self._answers.get(vault.id, {}).items() if _same(a, vault)}
        if await self._context.aside(lambda: self._bury_and_free(vault, answers)):
            self._answers.pop(vault.id, None)
            log.warning(
                "QU-1.3 same: out of quarantine; ECDSA waits for new pair set-ups", vault=vault.id, epoch=vault.epoch,
                by=by,
            )  # fmt: skip

    def _bury_and_free(self, vault: Vault, answers: Mapping[DeviceId, Recollection]) -> bool:
        """Blocking."""
        context, ledger = self._context, self._context.ledger
        known = context.vaults.attempts(vault.id, vault.epoch + 1)
        attempts = min(max((a.attempts for a in answers.values()), default=0), known + CLAIMED)
        ledger.raise_attempts(vault.id, Epoch(vault.epoch + 1), attempts)
        for device, said in answers.items():
            ours = max((row.generation for row in resets.held(context, vault, device)), default=0)
            if len(said.setup) == 32 and said.generation <= ours + resets.LEAP:
                ledger.bury_setup(
                    vault.id, vault.epoch, vault.row.attempt, device, said.generation, said.setup
                )
        return ledger.free(vault.id, vault.certificate_hash, signer=context.me in vault.sharing.devices)


def _settled(confined: Mapping[VaultId, Confined]) -> bool:
    """Whether nothing is in quarantine that the word of others could end."""
    return all(each.cause is Why.SHARE_LOST for each in confined.values())


def least_heard(sharing: Sharing) -> int:
    """QU-1.6 release: what must have shown the epoch where somebody has not. A later one has dealers of the handover
    weight; those who were heard, less what may lie (below the threshold), must weigh more than all that were none."""
    total = sum(seat.weight for seat in sharing.seats)
    return total - sharing.handover_weight + sharing.threshold


def _same(said: Recollection, vault: Vault) -> bool:
    return (said.epoch, said.certificate) == (vault.epoch, vault.certificate_hash)
