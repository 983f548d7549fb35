"""Requests have the keys, nesting and types of the published samples, and true values in them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from quorate.errors import Bug, UsageError
from quorate.identifiers import DeviceId
from quorate.operations.kinds import TRANSACTIONS, Algorithm, Claim, Kind, SigningData, SignTransaction
from quorate.operations.payload import SIGNING_INPUT
from quorate.operations.reading import effect_of
from quorate.operations.request_json import (
    SetupFacts,
    create_vault_json,
    pair_reset_json,
    reshare_json,
    route,
    sign_json,
    timestamp,
)
from quorate.operations.tokens import Tokens
from quorate.operations.transactions.actions import Payer
from quorate.operations.transactions.signing_input import SigningInput
from tests.approval.facts import (
    ALICE,
    BOB,
    VAULT,
    batch_sign,
    create_vault,
    operation,
    pair_reset,
    reshare,
    sample,
    sign,
    signer,
    vault,
)

REQUESTS = {
    "create_vault": lambda: create_vault_json(create_vault(), [signer()]),
    "sign": lambda: sign_json(sign(), vault()),
    "batch_sign": lambda: sign_json(batch_sign(), vault()),
    "reshare": lambda: reshare_json(reshare(), vault(), [signer(weight=3)], joining=False),
}


def shape(value: Any) -> Any:
    """Keys in their order, the type of every value, and the shapes a list's items have."""
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        shapes: list[Any] = []
        for item in map(shape, value):
            if item not in shapes:
                shapes.append(item)
        return ["list", *shapes]
    return type(value).__name__


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_has_the_shape_of_its_sample(name: str) -> None:
    sent = json.loads(json.dumps(REQUESTS[name]()))
    assert shape(sent) == shape(sample(name))


def test_a_shape_tells_keys_order_types_and_items_apart() -> None:
    assert shape({"a": 1, "b": [1, 2]}) == shape({"a": 7, "b": [3]})
    different: list[Any] = [
        {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}, {"a": "1", "b": 2}, {"a": True, "b": 2}, {"a": 1.0, "b": 2},
        {"a": None, "b": 2}, {"a": [], "b": 2}, {"a": [1], "b": 2}, {"a": [1, "1"], "b": 2}, {"a": {}, "b": 2},
    ]  # fmt: skip
    for i, one in enumerate(different):
        assert [shape(one) == shape(other) for other in different] == [i == j for j in range(len(different))]


@pytest.mark.parametrize("name", ["sign", "batch_sign"])
def test_signing_data_repeats_the_samples_figures(name: str) -> None:
    assert REQUESTS[name]()["signingData"] == sample(name)["signingData"]


@pytest.mark.parametrize("name", REQUESTS)
def test_what_has_one_value_has_the_samples_value(name: str) -> None:
    sent, published = REQUESTS[name](), sample(name)
    assert sent["__typename"] == published["__typename"]
    assert sent["details"]["__typename"] == published["details"]["__typename"]
    assert sent["details"]["status"] == published["details"]["status"] == "VOTING"
    assert (
        sent["details"]["vault"]["details"]["reshareNonce"]
        == published["details"]["vault"]["details"]["reshareNonce"]
    )


def test_a_creation_says_what_is_asked_for() -> None:
    op = create_vault((ALICE, 2), (BOB, 1), threshold=3)
    sent = create_vault_json(op, [signer(ALICE, vote="approved"), signer(BOB, weight=1)])
    assert (sent["id"], sent["organisationId"]) == (op.id, "acme")
    assert sent["cDetails"] == {"status": "VOTING", "threshold": 3}
    assert sent["details"]["threshold"] == sent["details"]["vault"]["details"]["threshold"] == 3
    assert sent["details"]["memo"] == "for the tests"
    assert sent["details"]["vault"]["details"]["name"] == "treasury"
    assert sent["details"]["createdAt"] == sent["details"]["updatedAt"] == "2025-11-07T15:10:52.984Z"
    assert sent["details"]["expiresAt"] == "2025-11-08T15:10:50.652Z"
    for signers in (sent["details"]["vault"]["signers"], sent["details"]["vault"]["details"]["signers"]):
        assert [(s["device"]["id"], s["device"]["name"], s["weight"]) for s in signers] == [
            (ALICE, "node a", 2),
            (BOB, "node b", 1),
        ]


def test_a_reshare_says_what_changes_and_whom_it_concerns() -> None:
    carol = DeviceId("c" * 24)
    op = reshare((ALICE, 3), (carol, 2), threshold=3, epoch=4)
    now = vault(signer(ALICE, vote="approved"), signer(BOB, weight=1), epoch=4)
    sent = reshare_json(op, now, [signer(carol), signer(ALICE, weight=3)], joining=False)
    assert sent["rDetails"] == {"newThreshold": 3, "previousThreshold": 2}
    assert [each["__typename"] for each in sent["diff"]] == [
        "ReshareDiffThreshold",
        "ReshareDiffDevicePowerChanged",
        "ReshareDiffDeviceRemoved",
        "ReshareDiffDeviceAdded",
    ]
    _, power, removed, added = sent["diff"]
    assert (power["devicePowerChanged"]["id"], power["originalWeight"], power["newWeight"]) == (ALICE, 2, 3)
    assert (removed["deviceRemoved"]["id"], removed["originalWeight"]) == (BOB, 1)
    assert (added["deviceAdded"]["id"], added["newWeight"]) == (carol, 2)
    voting = sent["voting"]
    assert (voting["approvedWeight"], voting["progress"], voting["threshold"]) == (2, "1", 3)
    assert [(v["device"]["id"], v["weight"]) for v in voting["votes"]] == [(ALICE, 3), (BOB, 1), (carol, 2)]
    assert sent["details"]["vault"]["details"]["reshareNonce"] == 4
    ecdsa, eddsa = sent["details"]["vault"]["curves"]
    assert (ecdsa["publicKey"][:2], len(ecdsa["publicKey"]), len(eddsa["publicKey"])) == ("04", 130, 64)
    assert "previousCertificate" not in sent


def test_who_joins_reads_which_certificate_it_is_bound_by() -> None:
    sent = reshare_json(reshare(), vault(), [signer(weight=3)], joining=True)
    assert sent.pop("previousCertificate") == (b"c" * 32).hex()
    assert shape(sent) == shape(sample("reshare"))


def test_a_refresh_has_an_empty_diff() -> None:
    op = reshare((ALICE, 2), threshold=2)
    assert reshare_json(op, vault(), [signer()], joining=False)["diff"] == []


def test_a_reshare_of_another_vault_or_roster_is_not_described() -> None:
    with pytest.raises(Bug):
        reshare_json(reshare(epoch=1), vault(), [signer(weight=3)], joining=False)
    with pytest.raises(Bug):
        reshare_json(reshare(), vault(), [signer(weight=2)], joining=False)


def test_a_creation_counts_the_approvals_it_needs_and_has() -> None:
    op = create_vault((ALICE, 2), (BOB, 1), threshold=3)
    sent = create_vault_json(op, [signer(ALICE, vote="approved"), signer(BOB, weight=1, vote="rejected")])
    voting = sent["voting"]
    assert (voting["approvedWeight"], voting["progress"], voting["threshold"]) == (2, "1", 2)
    assert [(v["device"]["id"], v["vote"], v["weight"]) for v in voting["votes"]] == [
        (ALICE, "approved", 2),
        (BOB, "rejected", 1),
    ]


def test_a_signature_says_what_is_asked_for() -> None:
    op = sign("pay 5", epoch=4)
    sent = sign_json(op, vault(signer(ALICE, vote="abstain"), signer(BOB, weight=1), epoch=4))
    facts = sent["details"]["vault"]
    assert (sent["id"], sent["organisationId"], facts["id"]) == (op.id, "acme", VAULT)
    assert sent["details"]["expiresAt"] == "2025-11-08T15:10:50.652Z"
    assert facts["details"] == {"name": "treasury", "reshareNonce": 4, "threshold": 2}
    assert [(c["algorithm"], c["curve"], c["xpub"]) for c in facts["curves"]] == [
        ("ECDSA", "Secp256k1", "xpub-of-secp256k1"),
        ("EDDSA", "Edwards", "xpub-of-ed25519"),
    ]
    assert [(s["device"]["id"], s["weight"], s["signingParty"]) for s in facts["signers"]] == [
        (ALICE, 2, {"threshold": 2}),
        (BOB, 1, {"threshold": 2}),
    ]
    assert [(v["device"]["id"], v["vote"]) for v in sent["voting"]["votes"]] == [
        (ALICE, "abstain"),
        (BOB, ""),
    ]
    assert sent["signingData"]["data"] == "pay 5"


def test_the_card_of_a_voter_is_passed_on_as_it_is() -> None:
    for sent in (create_vault_json(create_vault(), [signer()]), sign_json(sign(), vault())):
        device = sent["voting"]["votes"][0]["device"]
        assert device["uuid"] == "6f9e1c22-4503-bdb0-bcaa-ed8c553845a7"
        assert json.loads(device["clientRecord"]) == {"pub_enc": "a", "rev": "1"}


def test_a_signers_id_has_24_letters_before_the_vault_exists_and_32_hex_digits_after() -> None:
    creation = create_vault((ALICE, 2), (BOB, 1))
    before = [
        s["id"]
        for s in create_vault_json(creation, [signer(), signer(BOB, weight=1)])["details"]["vault"]["signers"]
    ]
    both = vault(signer(), signer(BOB, weight=1))
    after = [s["id"] for s in sign_json(sign(), both)["details"]["vault"]["signers"]]
    assert all(re.fullmatch("[a-z2-7]{24}", name) for name in before)
    assert all(re.fullmatch("[0-9a-f]{32}", name) for name in after)
    assert len({*before, *after}) == 4
    assert after == [s["id"] for s in sign_json(batch_sign(), both)["details"]["vault"]["signers"]]


def test_a_request_is_only_written_for_the_vault_it_is_for() -> None:
    with pytest.raises(Bug, match="not the one"):
        sign_json(sign(epoch=1), vault(epoch=0))
    with pytest.raises(Bug, match="roster"):
        create_vault_json(create_vault((ALICE, 2)), [signer(ALICE, weight=3)])
    with pytest.raises(Bug, match="roster"):
        create_vault_json(create_vault((ALICE, 2)), [signer(), signer()])
    with pytest.raises(Bug, match="not a signature"):
        sign_json(create_vault(), vault())
    with pytest.raises(Bug, match="not a vault creation"):
        create_vault_json(sign(), [signer()])
    with pytest.raises(Bug, match="not a pair reset"):
        pair_reset_json(sign(), vault(), None)
    with pytest.raises(Bug, match="not the one"):
        pair_reset_json(pair_reset(epoch=1), vault(epoch=0), None)
    with pytest.raises(Bug, match="not of the vault"):
        pair_reset_json(pair_reset(), vault(signer(ALICE)), None)


def test_a_pair_reset_says_which_two_and_what_they_have() -> None:
    op = pair_reset(3, epoch=4, memo="a cheat was caught")
    carol = DeviceId("c" * 24)
    members = vault(signer(ALICE, vote="approved"), signer(BOB, weight=1), signer(carol, weight=1), epoch=4)
    sent = pair_reset_json(op, members, SetupFacts(generation=2, state="DEAD"))
    assert (sent["__typename"], sent["id"], sent["organisationId"]) == ("OperationPairReset", op.id, "acme")
    details = sent["details"]
    assert (details["__typename"], details["status"]) == ("OperationPairResetDetails", "VOTING")
    assert details["memo"] == "a cheat was caught"
    assert (details["createdAt"], details["expiresAt"]) == (
        "2025-11-07T15:10:52.984Z",
        "2025-11-08T15:10:50.652Z",
    )
    assert details["vault"] == {
        "id": VAULT,
        "details": {"name": "treasury", "reshareNonce": 4, "threshold": 2},
    }
    assert details["pair"]["devices"] == [
        {"id": device, "uuid": "6f9e1c22-4503-bdb0-bcaa-ed8c553845a7", "name": f"node {device[0]}"}
        for device in (ALICE, BOB)
    ]
    named = ("generation", "presentGeneration", "presentState")
    assert [details["pair"][name] for name in named] == [3, 2, "DEAD"]
    assert sent["voting"]["threshold"] == 2
    assert [(v["device"]["id"], v["vote"]) for v in sent["voting"]["votes"]] == [
        (ALICE, "approved"),
        (BOB, ""),
    ]
    first = pair_reset_json(pair_reset(), vault(signer(), signer(BOB)), None)
    assert [first["details"]["pair"][name] for name in named] == [1, -1, ""]


def test_creation_goes_to_the_reshare_url_and_signatures_to_the_transaction_url() -> None:
    assert {kind: route(kind) for kind in Kind} == {
        Kind.CREATE_VAULT: "reshare",
        Kind.SIGN: "transaction",
        Kind.BATCH_SIGN: "transaction",
        Kind.PAIR_RESET: "reshare",
        **dict.fromkeys(TRANSACTIONS, "transaction"),
        Kind.RESHARE: "reshare",
        Kind.POLICY_CHANGE: "reshare",
    }


def test_times_are_rfc_3339_in_utc_with_milliseconds() -> None:
    assert timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert timestamp(1762752013683) == "2025-11-10T05:20:13.683Z"
    assert timestamp(253402300799999) == "9999-12-31T23:59:59.999Z"
    with pytest.raises(UsageError, match="year 9999"):
        timestamp(253402300800000)
    with pytest.raises(UsageError, match="year 9999"):
        timestamp(2**53)


def test_a_transfer_reads_as_the_published_one_does() -> None:
    """The same keys, nesting and types; of the transaction, more than is published."""
    wanted = SigningInput(
        chain_id=bytes.fromhex("aa36a7"), tx_mode=1, gas_limit=b"\x52\x08", max_fee_per_gas=b"\x1e",
        to_address="0x" + "bb" * 20,
    )  # fmt: skip
    wanted.transaction.transfer.amount = b"\x05"
    made = wanted.SerializeToString().hex()
    signing = SigningData(
        data=(made,), content_type=SIGNING_INPUT, algorithm=Algorithm.ESKEC256, derivation_path=""
    )
    asked = operation(
        SignTransaction(
            vault=VAULT, epoch=0, certificate=bytes(32), purpose=Kind.TRANSFER_OUT, signing=signing,
            claim=Claim(), memo="rent",
        )
    )  # fmt: skip
    actions = effect_of(asked, Payer(account=bytes(20), tokens=Tokens())).actions
    sent, published = sign_json(asked, vault(), actions=actions), sample("transfer_out")
    more = sent["tDetails"].keys() - published["tDetails"].keys()
    assert shape({**sent, "tDetails": {k: v for k, v in sent["tDetails"].items() if k not in more}}) == shape(
        published
    )
    assert sent["tDetails"]["asset"]["id"] == published["tDetails"]["asset"]["id"] == "ETH_SEPOLIA"
    assert more == {"chain", "actions", "feeLimit", "toVault", "memo"}
    assert (sent["tDetails"]["feeLimit"], sent["tDetails"]["memo"]) == (str(21000 * 30), "rent")
    [action] = sent["tDetails"]["actions"]
    assert (action["amount"], action["symbol"], action["decimals"]) == ("5", "ETH", 18)
