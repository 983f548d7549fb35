from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from quorate.curves import ED25519
from quorate.errors import NoSetup
from quorate.identifiers import Curve, DeviceId
from quorate.primitives.verify import verify_ed25519
from quorate.protocols.certificate import acknowledgement
from quorate.protocols.ot.setup import PairSetup
from quorate.protocols.trial import Purpose, Trial, internal_message, is_internal, trial_message
from quorate.wire.simulator import identity_key
from tests.protocols.vaults import Vault, generate, try_out, vault_of


@pytest.fixture
def vault() -> Vault:
    return vault_of([2, 1, 1], 3)


def test_all_members_sign_the_trial_message_and_acknowledge(vault: Vault) -> None:
    outcome = try_out(vault, lockstep=True)
    assert not outcome.failures
    assert outcome.rounds == 4
    assert outcome.messages == 6 * (2 + 1 + 2 + 1 + 1)
    for result in outcome.results.values():
        assert_signed_on_both_curves(vault, result)
        assert set(result.acknowledgements) == set(vault.devices)
        for device, signature in result.acknowledgements.items():
            assert verify_ed25519(identity_key(device), acknowledgement(vault.record, device), signature)


def assert_signed_on_both_curves(vault: Vault, result: Trial) -> None:
    assert set(result.signatures) == set(Curve)
    secp256k1, ed25519 = (
        trial_message(vault.quorum(vault.devices[0], vault.devices, curve))
        for curve in (Curve.SECP256K1, Curve.ED25519)
    )
    assert secp256k1 != ed25519
    assert verify_ed25519(vault.public_key(Curve.ED25519), ed25519, result.signatures[Curve.ED25519])
    r, s = (int.from_bytes(result.signatures[Curve.SECP256K1][at : at + 32], "big") for at in (0, 32))
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), vault.public_key(Curve.SECP256K1))
    key.verify(encode_dss_signature(r, s), secp256k1, ec.ECDSA(SHA256()))


def test_a_vault_of_one_tries_itself() -> None:
    vault = vault_of([2], 2)
    outcome = try_out(vault)
    assert not outcome.failures
    assert outcome.messages == 0
    assert_signed_on_both_curves(vault, outcome.results[vault.devices[0]])


def test_members_try_the_set_ups_that_they_made() -> None:
    """Nothing of it is dealt."""
    outcome, shelves = generate([1, 1], 2, ideally=False)
    record = next(iter(outcome.results.values())).record
    vault = Vault(record=record, shelves=shelves)
    for result in try_out(vault).results.values():
        assert_signed_on_both_curves(vault, result)


def test_a_member_without_a_live_set_up_says_nothing_on_either_curve(vault: Vault) -> None:
    def none(me: DeviceId, peer: DeviceId) -> PairSetup:
        raise NoSetup(f"no set-up with {peer}")

    outcome = try_out(vault, setups=none)
    assert [type(failure) for failure in outcome.failures.values()] == [NoSetup] * 3
    assert not outcome.messages


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
