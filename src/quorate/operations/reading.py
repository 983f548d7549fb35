"""From an operation to its effect: every node reads for itself the very bytes that it is asked to sign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from quorate.operations import payload
from quorate.operations.effect import Action, Effect
from quorate.operations.kinds import Algorithm, CreateVault, Operation, Signature, SigningData
from quorate.operations.transactions import typed_data
from quorate.operations.transactions.actions import Payer, actions_of_message, actions_of_typed_data


def effect_of(operation: Operation, payer: Payer | None = None) -> Effect:
    """``payer`` is the key that signs, as an account of the chains that are read here; None where it is none, or there
    is none yet: then every message is opaque. ``UsageError`` for a payload that cannot be signed."""
    request = operation.request
    return Effect(
        kind=operation.kind,
        vault="" if isinstance(request, CreateVault) else request.vault,
        proposer=operation.proposer,
        caller=operation.client,
        actions=actions_of(request.signing, payer) if isinstance(request, Signature) else (),
    )


def actions_of(signing: SigningData, payer: Payer | None) -> tuple[Action, ...]:
    """What the messages of a request do, if ``payer`` signs them."""
    return tuple(_actions(signing, payer))


def _actions(signing: SigningData, payer: Payer | None) -> Iterator[Action]:
    for number, message in enumerate(payload.messages(signing)):
        done: tuple[Action, ...] = (Action(),)
        if payer is not None and signing.algorithm is Algorithm.ESKEC256:
            if signing.content_type == payload.TYPED_DATA:
                done = actions_of_typed_data(typed_data.read(signing.data[number]), payer)
            else:
                done = actions_of_message(message, payer)
        for action in done:
            yield replace(action, message=number, content_type=signing.content_type)
