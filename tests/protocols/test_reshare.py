"""Reshares between honest parties: what changes, what stays, what it costs."""

from __future__ import annotations

import pytest

from quorate.identifiers import Curve
from quorate.protocols.history import follows
from quorate.wire.simulator import devices
from tests.protocols.ecdsa_sessions import assert_verifies, sign_wholly
from tests.protocols.vaults import Vault, hand_over, handed_over, roster_of, sign, try_out, vault_of

A, B, C, D, E = devices(5)


@pytest.fixture
def vault() -> Vault:
    return vault_of([2, 1, 1], 3)


def test_every_party_ends_with_the_same_certificate(vault: Vault) -> None:
    outcome, shelves = hand_over(vault, roster_of({B: 1, C: 1, D: 2}, 3), [A, B])
    assert not outcome.failures
    (certificate,) = set(outcome.results.values())
    assert certificate.verify()
    assert {shelf.certificate for shelf in shelves.values()} == {certificate}
    assert tuple(certificate.record.signers) == (A, B, C, D)
    for shelf in shelves.values():
        assert shelf.events == ["pending", "signed", "active"]


def test_the_record_says_what_it_follows_and_who_dealt_it(vault: Vault) -> None:
    record = handed_over(vault, roster_of({B: 2, D: 4}, 6), [A, B]).record
    assert (record.vault, record.epoch, record.attempt) == (vault.record.vault, 1, 1)
    assert record.previous == vault.record.hash
    assert [dealer.device for dealer in record.dealers] == [A, B]
    assert [(place.device, place.weight, place.reduced) for place in record.roster] == [(B, 2, 1), (D, 4, 2)]
    follows(record, vault.record)


def test_keys_and_chain_codes_stay_and_everything_else_is_new(vault: Vault) -> None:
    record = handed_over(vault, vault.record.sharing).record
    for curve in Curve:
        old, new = vault.record.key(curve), record.key(curve)
        assert (new.public_key, new.chain_code) == (old.public_key, old.chain_code)
        assert not set(new.commitment[1:]) & set(old.commitment[1:])
    assert not set(record.setups) & set(vault.record.setups)
    assert record.transcript != vault.record.transcript


def test_who_leaves_keeps_nothing_but_the_certificate(vault: Vault) -> None:
    outcome, shelves = hand_over(vault, roster_of({B: 1, D: 1}, 2), [A, B])
    assert (shelves[A].shares, shelves[A].setups) == ({}, {})
    assert shelves[A].certificate == outcome.results[B]


def test_the_new_roster_signs_on_both_curves_with_what_it_was_dealt(vault: Vault) -> None:
    """Nothing here is ideal: real set-ups, real multiplications."""
    new = handed_over(vault, roster_of({B: 1, D: 2}, 3), ideally=False)
    assert not try_out(new).failures
    outcome = sign_wholly(new, new.devices, [bytes(32)])
    for (signature,) in outcome.results.values():
        assert_verifies(vault.public_key(Curve.SECP256K1), bytes(32), signature)
    assert not sign(new, new.devices, [b"message"]).failures


def test_a_reshare_costs_five_rounds(vault: Vault) -> None:
    outcome, _ = hand_over(vault, roster_of({B: 1, C: 1, D: 2}, 3), [A, B], lockstep=True, ideally=False)
    assert outcome.rounds == 5
    every, paired = 4 * 3, 3 * 2
    assert outcome.messages == every * (2 * 4 + 1 + 1 + 1) + paired * 2
