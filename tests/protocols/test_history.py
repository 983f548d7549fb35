"""Which record may follow which, and chains of certificates made by real reshares."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from quorate.errors import UsageError
from quorate.protocols.certificate import Certificate, EpochRecord, Key, Signer, endorsement
from quorate.protocols.history import follows, verify_chain
from quorate.wire.simulator import devices, identity_key, signer
from tests.protocols.vaults import Vault, handed_over, roster_of, vault_of
from tests.rules import breaks

A, B, C, D, E = devices(5)


def certificate_of(vault: Vault) -> Certificate:
    certificate = next(iter(vault.shelves.values())).certificate
    assert certificate is not None
    return certificate


@pytest.fixture(scope="module")
def vaults() -> list[Vault]:
    first = vault_of([2, 1, 1], 3)
    second = handed_over(first, roster_of({B: 1, C: 1, D: 2}, 3), [A, B])
    return [first, second, handed_over(second, roster_of({D: 1}, 1), [C, D])]


@pytest.fixture
def chain(vaults: list[Vault]) -> list[Certificate]:
    return [certificate_of(vault) for vault in vaults]


def signed(record: EpochRecord) -> Certificate:
    """The record with the signatures of all its signers, whatever it says."""
    owners = {identity_key(device): signer(device) for device in devices(5)}
    signatures = (owners[key](endorsement(record.hash, device)) for device, key in record.signers.items())
    return Certificate(record=record, signatures=tuple(signatures))


def test_a_chain_made_by_reshares_is_one(chain: list[Certificate]) -> None:
    for length in (1, 2, 3):
        verify_chain(chain[:length])


def test_each_record_follows_the_one_before_and_no_other(chain: list[Certificate]) -> None:
    records = [certificate.record for certificate in chain]
    for later in records:
        for earlier in records:
            if later.epoch == earlier.epoch + 1:
                follows(later, earlier)
            else:
                with pytest.raises(UsageError, match=r"RS-3\.[12]"):
                    follows(later, earlier)


def test_two_attempts_at_one_epoch_both_follow_the_epoch_before(vaults: list[Vault]) -> None:
    """Not a fork: the later attempt wins."""
    first, second, _ = vaults
    sibling = handed_over(first, second.record.sharing, [A, B], attempt=2, seed=9)
    follows(sibling.record, first.record)
    assert sibling.record.hash != second.record.hash


def rekeyed(record: EpochRecord, change: Callable[[Key], Key]) -> EpochRecord:
    return replace(record, keys=(record.keys[0], change(record.keys[1])))


def another_public_key(key: Key) -> Key:
    return replace(key, commitment=key.commitment[::-1])


STRANGER = Signer(device=D, identity_key=identity_key(D))
FALSE: dict[str, tuple[str, Callable[[EpochRecord], EpochRecord]]] = {
    "another certificate before": ("RS-3.1", lambda r: replace(r, previous=bytes(32))),
    "an epoch left out": ("RS-3.2", lambda r: replace(r, epoch=2)),
    "another vault": ("RS-3.2", lambda r: replace(r, vault="another".ljust(24, "2"))),
    "another chain code": ("RS-3.3", lambda r: rekeyed(r, lambda key: replace(key, chain_code=bytes(32)))),
    "another public key": ("RS-3.3", lambda r: rekeyed(r, another_public_key)),
    "another key of a member": (
        "RS-3.4",
        lambda r: replace(
            r,
            roster=(r.roster[0], replace(r.roster[1], identity_key=identity_key(E)), r.roster[2]),
        ),
    ),
    "another key of a dealer": (
        "RS-3.4",
        lambda r: replace(r, dealers=(replace(r.dealers[0], identity_key=identity_key(E)), r.dealers[1])),
    ),
    "a member under another name": (
        "RS-3.4",
        lambda r: replace(
            r,
            roster=(
                r.roster[0],
                replace(r.roster[1], device=D),
                replace(r.roster[2], device=E, identity_key=identity_key(E)),
            ),
        ),
    ),
    "a stranger who deals": ("RS-3.5", lambda r: replace(r, dealers=(*r.dealers, STRANGER))),
    "dealers one short": ("RS-3.6", lambda r: replace(r, dealers=r.dealers[:1])),
}


@breaks("RS-3.1", "RS-3.2", "RS-3.3", "RS-3.4", "RS-3.5", "RS-3.6")
@pytest.mark.parametrize("name", FALSE)
def test_a_record_that_does_not_follow_is_refused_by_rule_though_all_signed_it(
    name: str, chain: list[Certificate]
) -> None:
    rule, change = FALSE[name]
    record = change(chain[1].record)
    with pytest.raises(UsageError, match=rule) as raised:
        follows(record, chain[0].record)
    assert raised.value.code == "BAD_CERTIFICATE"
    forged = signed(record)
    assert forged.verify()
    with pytest.raises(UsageError, match=rule):
        verify_chain([chain[0], forged])


@breaks("RS-3.6")
def test_dealers_who_reach_the_threshold_need_more_than_half_besides() -> None:
    """Of two sets with nobody in common each could otherwise make an epoch of its own."""
    old = vault_of([1, 1, 1, 1], 2)
    new = handed_over(old, old.record.sharing, old.devices[:3]).record
    half = replace(new, dealers=new.dealers[:2])
    with pytest.raises(UsageError, match=r"RS-3\.6 weight: .* weight of 2, and takes 3"):
        follows(half, old.record)


@breaks("RS-3.2", "RS-3.7")
def test_a_history_that_is_not_whole_is_refused(chain: list[Certificate]) -> None:
    for part in ([], chain[1:], [chain[2], chain[0]]):
        with pytest.raises(UsageError, match=r"RS-3\.2"):
            verify_chain(part)
    with pytest.raises(UsageError, match=r"RS-3\.1"):
        verify_chain([chain[0], chain[2]])
    for place, certificate in enumerate(chain):
        for unsigned in (
            replace(certificate, signatures=certificate.signatures[1:] or (bytes(64),)),
            replace(certificate, signatures=(bytes(64), *certificate.signatures[1:])),
        ):
            with pytest.raises(UsageError, match=r"RS-3\.7"):
                verify_chain([*chain[:place], unsigned, *chain[place + 1 :]])


def test_a_certificate_without_the_signature_of_who_left_is_none(chain: list[Certificate]) -> None:
    """All of the new roster signed it: it is the dealers that cannot have."""
    certificate = chain[1]
    assert list(certificate.record.signers) == [A, B, C, D]
    assert certificate.verify()
    assert not replace(certificate, signatures=certificate.signatures[1:]).verify()
    assert not replace(
        certificate, signatures=(certificate.signatures[1], *certificate.signatures[1:])
    ).verify()
