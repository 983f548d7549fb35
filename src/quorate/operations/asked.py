"""From the request that an approver gets back to the effect of the operation: from the bytes in it, as nodes do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from quorate.errors import UsageError
from quorate.identifiers import Curve
from quorate.operations import payload
from quorate.operations.addresses import ethereum_account
from quorate.operations.derivation import derive, read_xpub
from quorate.operations.effect import Effect
from quorate.operations.kinds import TRANSACTIONS, Algorithm, Kind, SigningData
from quorate.operations.reading import actions_of
from quorate.operations.request_json import typenames
from quorate.operations.tokens import Tokens
from quorate.operations.transactions.actions import Payer

KINDS: Mapping[str, Kind] = MappingProxyType({typenames(kind)[0]: kind for kind in Kind})
"""By ``__typename``."""


def is_request(stated: object) -> bool:
    """Whether a JSON object is such a request, and no effect that somebody wrote down."""
    return isinstance(stated, dict) and "__typename" in stated


def effect_of_request(
    body: Mapping[str, Any], *, caller: str, proposer: str, tokens: Tokens | None = None
) -> Effect:
    """``caller`` and ``proposer`` do not stand in a request. ``UsageError`` for what is none of ours."""
    try:
        kind = KINDS[body["__typename"]]
        vault = body["details"]["vault"]
        signing = _signing(kind, body["signingData"]) if "signingData" in body else None
        return Effect(
            kind=kind,
            vault="" if kind is Kind.CREATE_VAULT else str(vault["id"]),
            proposer=proposer,
            caller=caller,
            actions=()
            if signing is None
            else actions_of(signing, _payer(signing, vault, tokens or Tokens())),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"no request that an approver gets: {error!r}", code="BAD_EFFECT") from None


def _signing(kind: Kind, stated: Mapping[str, Any]) -> SigningData:
    content, algorithm = stated["contentType"], stated["coseAlgorithm"]["type"]
    if kind in TRANSACTIONS and not content:  # as published: the form says all of it
        content, algorithm = payload.SIGNING_INPUT, Algorithm.ESKEC256.value
    batch = stated["batchData"]
    return SigningData(
        data=tuple(batch) if batch is not None else (stated["data"],), content_type=content,
        algorithm=payload.algorithm(algorithm), derivation_path=stated["derivationPath"],
    )  # fmt: skip


def _payer(signing: SigningData, vault: Mapping[str, Any], tokens: Tokens) -> Payer | None:
    if signing.algorithm.curve is not Curve.SECP256K1:
        return None
    [xpub] = [curve["xpub"] for curve in vault["curves"] if curve["algorithm"] == "ECDSA"]
    key = derive(Curve.SECP256K1, *read_xpub(Curve.SECP256K1, xpub), signing.derivation_path)
    return Payer(account=ethereum_account(key.public_key), tokens=tokens)
