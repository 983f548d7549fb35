"""An operation of each kind with the figures of its published sample, and the vault it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quorate.curves import group_of
from quorate.identifiers import Curve, DeviceId, VaultId
from quorate.operations.kinds import (
    Algorithm,
    BatchSign,
    CreateVault,
    Member,
    Operation,
    PairReset,
    PolicyChange,
    Request,
    Reshare,
    Sign,
    SigningData,
)
from quorate.operations.request_json import SignerFacts, VaultFacts

ALICE, BOB = DeviceId("a" * 24), DeviceId("b" * 24)
VAULT = VaultId("v" * 24)
CREATED, EXPIRES = (
    1762528252984,
    1762614650652,
)  # 2025-11-07T15:10:52.984Z and, nearly a day on, 2025-11-08T15:10:50.652Z


def sample(name: str) -> Any:
    return json.loads((Path(__file__).parent / "samples" / f"{name}.json").read_text())


def signer(device: DeviceId = ALICE, *, weight: int = 2, vote: Any = "") -> SignerFacts:
    return SignerFacts(
        device=device,
        uuid="6f9e1c22-4503-bdb0-bcaa-ed8c553845a7",
        name=f"node {device[0]}",
        client_record=json.dumps({"pub_enc": device[0], "rev": "1"}),
        weight=weight,
        vote=vote,
    )


def vault(*signers: SignerFacts, epoch: int = 0) -> VaultFacts:
    return VaultFacts(
        id=VAULT,
        name="treasury",
        epoch=epoch,
        threshold=2,
        signers=signers or (signer(),),
        xpubs={Curve.SECP256K1: "xpub-of-secp256k1", Curve.ED25519: "xpub-of-ed25519"},
        public_keys={curve: bytes(group_of(curve).generator) for curve in Curve},
    )


def operation(request: Request) -> Operation:
    return Operation(
        request=request,
        proposer=ALICE,
        client="treasury-app",
        idempotency_key="key-1",
        organisation="acme",
        created_ms=CREATED,
        expires_ms=EXPIRES,
    )


def create_vault(*members: tuple[DeviceId, int], threshold: int = 2) -> Operation:
    roster = tuple(
        Member(device=device, identity_key=bytes(32), weight=weight)
        for device, weight in members or [(ALICE, 2)]
    )
    return operation(
        CreateVault(
            name="treasury",
            members=roster,
            threshold=threshold,
            allow_sole_signer=False,
            memo="for the tests",
        )
    )


def sign(data: str = "Some data to be signed here", *, epoch: int = 0) -> Operation:
    signing = SigningData(
        data=(data,), content_type="text/plain", algorithm=Algorithm.EDDSA, derivation_path=""
    )
    return operation(Sign(vault=VAULT, epoch=epoch, certificate=bytes(32), signing=signing))


def batch_sign(*data: str) -> Operation:
    signing = SigningData(
        data=data or ("68656C6C6F", "676F6F64627965"),
        content_type="application/octet-stream+hex",
        algorithm=Algorithm.EDDSA,
        derivation_path="",
    )
    return operation(BatchSign(vault=VAULT, epoch=0, certificate=bytes(32), signing=signing))


def reshare(*members: tuple[DeviceId, int], threshold: int = 3, epoch: int = 0) -> Operation:
    roster = tuple(
        Member(device=device, identity_key=bytes(32), weight=weight)
        for device, weight in members or [(ALICE, 3)]
    )
    return operation(
        Reshare(
            vault=VAULT,
            epoch=epoch,
            certificate=b"c" * 32,
            name="treasury",
            members=roster,
            threshold=threshold,
            allow_sole_signer=True,
            after=0,
            memo="",
        )
    )


def policy_change(text: str = "# rules\n", *, version: int = 1) -> Operation:
    request = PolicyChange(
        vault=VAULT, epoch=0, certificate=bytes(32), after=0, replaces=b"", version=version, policy=text.encode(),
        memo="for the tests",
    )  # fmt: skip
    return operation(request)


def pair_reset(generation: int = 1, *, epoch: int = 0, memo: str = "for the tests") -> Operation:
    pair = (ALICE, BOB)
    return operation(
        PairReset(
            vault=VAULT, epoch=epoch, certificate=bytes(32), pair=pair, generation=generation, memo=memo
        )
    )
