"""How each kind of operation is carried out: one procedure per kind."""

from __future__ import annotations

from typing import assert_never

from quorate.ceremony.context import Context
from quorate.ceremony.procedures.creation import Creation
from quorate.ceremony.procedures.governing import Governance
from quorate.ceremony.procedures.procedure import Procedure
from quorate.ceremony.procedures.repairing import Repairing
from quorate.ceremony.procedures.resharing import Resharing
from quorate.ceremony.procedures.signing import Signing
from quorate.ceremony.procedures.transacting import Transacting
from quorate.operations.kinds import (
    BatchSign,
    CreateVault,
    Operation,
    PairReset,
    PolicyChange,
    Reshare,
    Sign,
    SignTransaction,
)

__all__ = ["Procedure", "procedure_of"]


def procedure_of(context: Context, operation: Operation, shown: bytes = b"") -> Procedure:
    """``shown``: the certificate that came beside a proposal that is not journalled yet."""
    request = operation.request
    match request:
        case CreateVault():
            return Creation(context, operation, request)
        case Sign() | BatchSign():
            return Signing(context, operation, request)
        case SignTransaction():
            return Transacting(context, operation, request)
        case PairReset():
            return Repairing(context, operation, request)
        case Reshare():
            return Resharing(context, operation, request, shown)
        case PolicyChange():
            return Governance(context, operation, request)
        case _:
            assert_never(request)
