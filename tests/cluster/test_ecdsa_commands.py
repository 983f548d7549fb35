"""ECDSA by three daemons, asked from the command line. Libraries that know nothing of us judge what they sign."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import coincurve
import ecdsa
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from eth_account import Account
from eth_utils.crypto import keccak

from quorate.ceremony.ports import State
from quorate.identifiers import Curve
from quorate.operations.addresses import Chain, address
from quorate.operations.derivation import derive
from quorate.operations.signatures import EcdsaSignature
from quorate.operations.transactions.evm import DynamicFee, transaction_id
from quorate.protocols.ecdsa.sign import MAX_MESSAGES
from tests.cluster.conftest import HEX, THRESHOLD, WEIGHTS, Command, Signers, new_vault, sign

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cluster")]

DIGESTS = {"ES256K": lambda message: hashlib.sha256(message).digest(), "ESKEC256": keccak}
ORDER = ecdsa.SECP256k1.order


def key_at(signers: Signers, path: str = "") -> bytes:
    curve, vault = Curve.SECP256K1, signers.vault
    return derive(curve, vault.public_keys[curve], vault.chain_codes[curve], path).public_key


def check(key: bytes, signature: dict[str, Any], message: bytes) -> None:
    """coincurve, ecdsa and OpenSSL accept it, compact and in DER, and the key is recovered from it."""
    assert (signature["public_key_hex"], signature["message_hex"]) == (key.hex(), message.hex())
    digest = DIGESTS[signature["algorithm"]](message)
    compact, der = (bytes.fromhex(signature[form]) for form in ("signature_hex", "der_hex"))
    assert int.from_bytes(compact[32:], "big") <= ORDER // 2
    assert coincurve.PublicKey(key).verify(der, digest, hasher=None)
    recoverable = compact + bytes([signature["recovery_id"]])
    recovered = coincurve.PublicKey.from_signature_and_message(recoverable, digest, hasher=None)
    assert recovered.format() == key
    verifier = ecdsa.VerifyingKey.from_string(key, ecdsa.SECP256k1)
    assert verifier.verify_digest(compact, digest)
    assert verifier.verify_digest(der, digest, sigdecode=ecdsa.util.sigdecode_der)
    openssl = EllipticCurvePublicKey.from_encoded_point(SECP256K1(), key)
    openssl.verify(der, digest, ECDSA(Prehashed(SHA256())))


@pytest.mark.parametrize("path", ["", "m/0/7"])
@pytest.mark.parametrize("algorithm", DIGESTS)
async def test_every_library_accepts_what_the_command_line_signs(
    signers: Signers, quorate: Command, algorithm: str, path: str
) -> None:
    signed = await quorate(
        "sign", "--vault", "ops", "--text", "chairs", "--algorithm", algorithm, "--path", path, "--der", "--wait",
        "--json", "--home", signers["bob"].home,
    )  # fmt: skip
    assert signed.code == 0, signed.err
    [operation] = signed.lines
    [signature] = operation["signatures"]
    check(key_at(signers, path), signature, b"chairs")
    names = {member.device: name for name, member in signers.cluster.members.items()}
    assert sum(WEIGHTS[names[device]] for device in operation["signers"]) >= THRESHOLD
    for form in ("signature_hex", "der_hex"):
        verified = await quorate(
            "verify", "--algorithm", algorithm, "--public-key", signature["public_key_hex"],
            "--signature", signature[form], "--text", "chairs", "--json",
        )  # fmt: skip
        assert verified.lines == [{"valid": True}], verified.err


async def test_der_is_shown_only_when_it_is_asked_for(signers: Signers, quorate: Command) -> None:
    home = signers["carol"].home
    signed = await quorate(
        "sign", "--vault", "ops", "--text", "plain", "--algorithm", "ES256K", "--wait", "--json", "--home", home
    )  # fmt: skip
    [operation] = signed.lines
    [signature] = operation["signatures"]
    assert "der_hex" not in signature
    ask = ("operation", "show", operation["operation"], "--home", home)
    [shown] = (await quorate(*ask, "--der", "--json")).lines
    check(key_at(signers), shown["signatures"][0], b"plain")
    told = await quorate(*ask)
    assert f"{signature['signature_hex']} recovery id {signature['recovery_id']}" in told.out
    told = await quorate(*ask, "--der")
    assert shown["signatures"][0]["der_hex"] in told.out.split()


async def test_der_of_an_ed25519_signature_is_a_usage_error(signers: Signers, quorate: Command) -> None:
    view = await sign(signers["alice"].node, "ops", "by Ed25519")
    refused = await quorate("operation", "show", view.id, "--der", "--home", signers["alice"].home)
    assert (refused.code, refused.out) == (2, "")
    assert "EDDSA" in refused.err


async def test_a_batch_is_signed_whole_and_in_order(signers: Signers, quorate: Command) -> None:
    messages = [b"", b"hello", bytes(range(256)), b"hello", *(b"%d" % number for number in range(63))]
    assert len(messages) > MAX_MESSAGES  # more than one chunk
    signed = await quorate(
        "batch-sign", "--vault", "ops", *(word for each in messages for word in ("--hex", each.hex())),
        "--algorithm", "ES256K", "--path", "m/3", "--der", "--wait", "--json", "--home", signers["alice"].home,
    )  # fmt: skip
    assert signed.code == 0, signed.err
    [operation] = signed.lines
    assert len(operation["signatures"]) == len(messages)
    for message, signature in zip(messages, operation["signatures"], strict=True):
        check(key_at(signers, "m/3"), signature, message)
    assert len({signature["signature_hex"][:64] for signature in operation["signatures"]}) == len(messages)


@pytest.mark.parametrize("path", ["", "m/60/0"])
async def test_a_raw_ethereum_transaction_recovers_to_the_vault_s_account(
    signers: Signers, path: str
) -> None:
    payment = DynamicFee(
        chain_id=11155111, nonce=4, max_priority_fee_per_gas=2 * 10**9, max_fee_per_gas=30 * 10**9,
        gas_limit=90_000, to=os.urandom(20), value=10**15, data=os.urandom(68),
    )  # fmt: skip
    view = await sign(
        signers["alice"].node, "ops", payment.unsigned().hex(), content_type=HEX, algorithm="ESKEC256", path=path
    )  # fmt: skip
    assert view.state is State.COMPLETED, view
    [signature] = view.signatures
    assert signature.recovery_id is not None
    raw = payment.signed(EcdsaSignature.of(signature.signature, signature.recovery_id))
    account = address(Chain.ETHEREUM, key_at(signers, path))
    assert Account.recover_transaction(raw) == account
    assert transaction_id(raw) == keccak(raw)


async def test_all_three_sign_where_two_are_not_enough(signers: Signers) -> None:
    node = signers["carol"].node
    vault = await new_vault(signers.cluster, "everybody", threshold=4)
    view = await sign(node, vault.name, "all of us", algorithm="ES256K")
    assert view.state is State.COMPLETED, view
    assert len(view.signers) == 3
    [signature] = view.signatures
    digest = hashlib.sha256(b"all of us").digest()
    verifier = ecdsa.VerifyingKey.from_string(vault.public_keys[Curve.SECP256K1], ecdsa.SECP256k1)
    assert verifier.verify_digest(signature.signature, digest)


async def test_who_did_not_sign_is_shown_the_signature_and_shows_it(signers: Signers) -> None:
    view = await sign(signers["alice"].node, "ops", "by two of us", algorithm="ES256K")
    assert view.state is State.COMPLETED, view
    [other] = [each for each in signers.cluster.members.values() if each.device not in view.signers]
    shown = await other.node.wait(view.id, 30)
    assert shown.state is State.COMPLETED, shown
    assert shown.signatures == view.signatures


async def test_two_signers_make_another_set_up_and_sign_under_it(signers: Signers, quorate: Command) -> None:
    home = signers["alice"].home
    show = ("vault", "show", "ops", "--home", home)

    async def generation() -> int:
        [shown] = (await quorate(*show, "--json")).lines
        [setup] = [each for each in shown["setups"] if each["name"] == "carol"]
        assert setup["state"] == "LIVE"
        return int(setup["generation"])

    before = await generation()
    reset = await quorate(
        "vault", "pair-reset", "ops", "carol", "--memo", "a drill", "--wait", "--json", "--home", home
    )  # fmt: skip
    assert reset.code == 0, reset.err
    assert reset.lines[0]["state"] == "COMPLETED"
    assert await generation() == before + 1
    assert f"carol LIVE (generation {before + 1})" in (await quorate(*show)).out
    await signers["bob"].stop()
    try:
        view = await sign(signers["alice"].node, "ops", "by the two", algorithm="ES256K")
        assert view.state is State.COMPLETED, view
        assert set(view.signers) == {signers["alice"].device, signers["carol"].device}
    finally:
        await signers["bob"].start()
        await signers.cluster.linked()
