from __future__ import annotations

import pytest

from quorate.curves import ED25519
from quorate.identifiers import Curve
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import acknowledgement
from quorate.protocols.trial import Purpose, internal_message, is_internal, trial_message
from quorate.wire.simulator import identity_key
from tests.protocols.vaults import Vault, try_out, vault_of


@pytest.fixture
def vault() -> Vault:
    return vault_of([2, 1, 1], 3)


def test_all_members_sign_the_trial_message_and_acknowledge(vault: Vault) -> None:
    outcome = try_out(vault, lockstep=True)
    assert not outcome.failures
    assert outcome.rounds == 3
    message = trial_message(vault.quorum(vault.devices[0], vault.devices))
    for result in outcome.results.values():
        assert verify_ed25519(vault.public_key(Curve.ED25519), message, result.signature)
        assert set(result.acknowledgements) == set(vault.devices)
        for device, signature in result.acknowledgements.items():
            assert verify_ed25519(identity_key(device), acknowledgement(vault.record, device), signature)


def test_a_vault_of_one_tries_itself() -> None:
    outcome = try_out(vault_of([2], 2))
    assert not outcome.failures
    assert outcome.messages == 0


def test_an_acknowledgement_is_for_one_device_and_one_certificate(vault: Vault) -> None:
    other = vault_of([2, 1, 1], 3, seed=7)
    said = {acknowledgement(v.record, device) for v in (vault, other) for device in vault.devices}
    assert len(said) == 6


def test_internal_messages_differ_in_everything_they_say(vault: Vault) -> None:
    quorum = vault.quorum(vault.devices[0], vault.devices)
    message = trial_message(quorum)
    others = {
        trial_message(vault.quorum(vault.devices[0], vault.devices[:2])),
        trial_message(vault.quorum(vault.devices[0], vault.devices, Curve.SECP256K1)),
        trial_message(vault_of([2, 1, 1], 3, seed=7).quorum(vault.devices[0], vault.devices)),
        internal_message(
            Purpose.POLICY, Curve.ED25519, vault.record.hash, quorum.vault, list(quorum.devices)
        ),
        internal_message(Purpose.TRIAL, Curve.ED25519, vault.record.hash, "other", list(quorum.devices)),
    }
    assert len(others | {message}) == 6


def test_an_internal_message_has_the_documented_form(vault: Vault) -> None:
    quorum = vault.quorum(vault.devices[0], vault.devices)
    message = trial_message(quorum)
    assert message.startswith(b"\xffquorate/internal/v1\x00\x01\x02" + vault.record.hash)
    assert len(message) == 1 + 19 + 1 + 2 + 32 + 32 > 64


def test_what_begins_like_an_internal_message_is_one(vault: Vault) -> None:
    assert is_internal(trial_message(vault.quorum(vault.devices[0], vault.devices)))
    assert is_internal(b"\xffquorate/")
    assert is_internal(b"\xffquorate/internal/v2")
    assert not is_internal(b"")
    assert not is_internal(b"quorate/internal/v1")
    assert not is_internal(b"\xffquorate")
    assert not is_internal(bytes(ED25519.generator))
