"""A node says that it is ready only if nothing it knows of speaks against it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
import pytest_asyncio

from quorate.ceremony.greetings import Acquaintance
from quorate.ceremony.ports import Decision, Verdict
from quorate.ceremony.statements import VaultHead
from quorate.ceremony.vaults import Vault
from quorate.ceremony.versions import SPOKEN, Versions
from quorate.ceremony.views import Cause
from quorate.errors import DiskFull
from quorate.identifiers import DeviceId
from quorate.node import readiness
from quorate.node.readiness import DOUBT, Standing
from quorate.reasons import REASONS
from tests.ceremony.world import World

NO_ANSWER = Decision(
    verdict=Verdict.REFUSE, approver="webhook", rule="AP-2.2 timeout", explanation="no answer from it"
)


class Case:
    """A vault of alice (2), bob (1) and carol (1) with threshold 3, as alice holds it."""

    def __init__(self, world: World, vault: Vault) -> None:
        self.vault = vault
        self.alice, self.bob, self.carol = (world[name].device for name in ("alice", "bob", "carol"))
        self.well = Standing(
            me=self.alice,
            approver="webhook",
            decision=None,
            decided=0.0,
            store=None,
            set_back="",
            connected=frozenset({self.bob, self.carol}),
            heard={},
            paired={vault.certificate_hash: frozenset({self.bob, self.carol})},
            names={world[name].device: name for name in ("alice", "bob", "carol")},
            tolerance=30.0,
        )

    def causes(self, standing: Standing) -> list[Cause]:
        return [*readiness.of_node(standing), *readiness.of_vault(self.vault, standing)]

    def heard(self, **changes: object) -> Acquaintance:
        """A peer that holds the vault as alice does, but for the changes."""
        fields = {
            "epoch": self.vault.epoch,
            "certificate": self.vault.certificate_hash,
            "ready": True,
        } | changes
        head = VaultHead(vault=self.vault.id, **fields)  # type: ignore[arg-type]
        return Acquaintance(
            version="", versions=SPOKEN, boot_counter=1, at=0.0,
            heads=MappingProxyType({self.vault.id: head}), clock_offset=0.0, rtt=0.0, measured=0.0, sights={}, holds=1,
        )  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def case(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Case]:
    folder: Path = tmp_path_factory.mktemp("readiness")
    world = World(folder, ("alice", "bob", "carol"))
    await world.start()
    await world["alice"].create_vault("ops", {"alice": 2, "bob": 1, "carol": 1}, 3)
    await world["alice"].ready("ops")
    yield Case(world, world["alice"].ceremonies.vaults.find("ops"))
    await world.stop()


def codes(causes: list[Cause]) -> list[str]:
    assert all(cause.code in REASONS for cause in causes)
    return [cause.code for cause in causes]


def test_nothing_speaks_against_a_node_that_is_well(case: Case) -> None:
    level = {case.bob: case.heard(), case.carol: case.heard()}
    assert case.causes(case.well) == case.causes(replace(case.well, heard=level)) == []


def test_a_store_that_cannot_be_written_is_a_reason(case: Case) -> None:
    (cause,) = case.causes(replace(case.well, store=DiskFull("ST-1.7 room: 3 MiB left")))
    assert (cause.code, cause.vault) == ("DISK_FULL", None)
    assert "3 MiB left" in cause.detail


def test_no_approver_is_a_reason(case: Case) -> None:
    assert codes(case.causes(replace(case.well, approver="none"))) == ["NO_APPROVER"]


def test_an_approver_that_did_not_answer_is_a_reason_for_a_while(case: Case) -> None:
    failed = replace(case.well, decision=NO_ANSWER, decided=10.0)
    (cause,) = case.causes(failed)
    assert cause.code == "APPROVER_UNAVAILABLE"
    assert "AP-2.2 timeout" in cause.detail
    assert "10 s ago" in cause.detail
    assert case.causes(replace(failed, decided=DOUBT + 1)) == []


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.REJECT, Verdict.ABSTAIN])
def test_an_approver_that_answers_is_there_whatever_it_says(case: Case, verdict: Verdict) -> None:
    assert case.causes(replace(case.well, decision=replace(NO_ANSWER, verdict=verdict))) == []


def test_weight_counts_and_not_heads(case: Case) -> None:
    assert case.causes(replace(case.well, connected=frozenset({case.carol}))) == []
    (cause,) = case.causes(replace(case.well, connected=frozenset()))
    assert (cause.code, cause.vault) == ("NOT_ENOUGH_WEIGHT", case.vault.id)
    assert "weight 2 of 3" in cause.detail
    assert "bob" in cause.detail
    assert "carol" in cause.detail


def test_a_peer_without_the_epoch_adds_no_weight(case: Case) -> None:
    empty = replace(case.heard(), heads=MappingProxyType({}))
    for lacking in (empty, case.heard(ready=False)):
        behind: dict[DeviceId, Acquaintance] = {case.bob: lacking, case.carol: lacking}
        assert codes(case.causes(replace(case.well, heard=behind))) == ["NOT_ENOUGH_WEIGHT"]


def test_a_peer_at_a_later_epoch_makes_this_node_doubt_itself(case: Case) -> None:
    (cause,) = case.causes(replace(case.well, heard={case.bob: case.heard(epoch=case.vault.epoch + 1)}))
    assert cause.code == "STALE_EPOCH"
    assert "bob" in cause.detail


def test_two_certificates_for_one_epoch_are_a_reason(case: Case) -> None:
    forked = {case.bob: case.heard(certificate=bytes(32))}
    assert codes(case.causes(replace(case.well, heard=forked))) == ["EPOCH_CONFLICT"]


def test_a_vault_that_awaits_an_acknowledgement_says_whose(case: Case) -> None:
    held = dict(case.vault.row.acknowledgements)
    del held[case.carol]
    waiting = replace(case.vault, row=replace(case.vault.row, acknowledgements=held))
    (cause,) = readiness.of_vault(waiting, case.well)
    assert cause.code == "VAULT_NOT_READY"
    assert "carol" in cause.detail


def test_signers_without_a_live_pair_set_up_are_no_use_for_ecdsa(case: Case) -> None:
    certificate = case.vault.certificate_hash
    assert case.causes(replace(case.well, paired={certificate: frozenset({case.bob})})) == []  # 2 + 1 of 3
    assert case.causes(replace(case.well, paired={})) == []  # not looked at yet
    (cause,) = case.causes(replace(case.well, paired={certificate: frozenset()}))
    assert (cause.code, cause.vault) == ("NO_LIVE_SETUP", case.vault.id)
    assert "weight 2 of 3" in cause.detail
    assert "bob, carol" in cause.detail or "carol, bob" in cause.detail


def test_a_pair_set_up_with_one_who_is_away_is_no_use_either(case: Case) -> None:
    standing = replace(
        case.well,
        connected=frozenset({case.bob}),
        paired={case.vault.certificate_hash: frozenset({case.carol})},
    )
    (cause,) = case.causes(standing)
    assert cause.code == "NO_LIVE_SETUP"
    assert cause.detail.endswith("with bob")


def test_peers_that_speak_another_protocol_are_a_reason_if_too_few_are_left(case: Case) -> None:
    before = SPOKEN.oldest - 1
    old = replace(case.heard(), versions=Versions(before, before))
    one = replace(case.well, heard={case.bob: old, case.carol: case.heard()})
    assert case.causes(one) == []  # carol is enough
    (cause,) = case.causes(replace(case.well, heard={case.bob: old, case.carol: old}))
    assert (cause.code, cause.vault) == ("PROTOCOL_MISMATCH", case.vault.id)
    for told in (f"bob {before}", f"carol {before}", ": weight 2 of 3 needed"):
        assert told in cause.detail


def test_a_version_that_enough_have_in_common_is_enough(case: Case) -> None:
    ours = Versions(3, 4)
    newer, older = (replace(case.heard(), versions=versions) for versions in (Versions(4, 5), Versions(2, 3)))
    both = replace(case.well, speaks=ours, heard={case.bob: newer, case.carol: older})
    assert case.causes(both) == []  # 2 + 1 of 3, with either
    neither = replace(case.well, speaks=ours, heard={case.bob: replace(newer, versions=Versions(5, 6))})
    assert case.causes(replace(neither, connected=frozenset({case.bob})))[0].code == "PROTOCOL_MISMATCH"


def test_an_own_clock_that_is_off_is_a_reason_if_too_few_are_with_it(case: Case) -> None:
    late = replace(case.heard(), clock_offset=61.0, rtt=0.002)
    one = replace(case.well, heard={case.bob: late, case.carol: case.heard()})
    assert case.causes(one) == []  # it may be bob's that is wrong, and carol is enough
    both = replace(case.well, heard={case.bob: late, case.carol: replace(late, clock_offset=-40.0)})
    (cause,) = case.causes(both)
    assert (cause.code, cause.vault) == ("CLOCK_OFF", case.vault.id)
    assert cause.detail.startswith("own clock is ")
    for told in ("61 s behind bob's", "40 s ahead of carol's", ": weight 2 of 3 needed is with it"):
        assert told in cause.detail
    slow = replace(late, clock_offset=-40.0, rtt=25.0)  # which may be no more than the way
    assert case.causes(replace(both, heard={case.bob: late, case.carol: slow})) == []


def test_who_is_away_and_whose_clock_is_off_are_told_apart(case: Case) -> None:
    late = replace(case.heard(), clock_offset=61.0, rtt=0.002)
    (cause,) = case.causes(replace(case.well, heard={case.bob: late}, connected=frozenset({case.bob})))
    assert cause.code == "CLOCK_OFF"
    assert "carol" not in cause.detail
