"""What a kind of operation decides for itself: who votes, which stages it has, who takes part, and what completes it.

Everything else (``coordinator``, ``participant``, ``catchup``, ``facts``) is the same for every kind and asks its
procedure. docs/spec/ceremony.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Coroutine, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from quorate.ceremony.agreement import Agreement
from quorate.ceremony.context import Context
from quorate.ceremony.electorate import Electorate
from quorate.ceremony.ports import OperationRow
from quorate.ceremony.session import Patience
from quorate.ceremony.vaults import Vault
from quorate.ceremony.views import SignatureView
from quorate.errors import UsageError
from quorate.identifiers import DeviceId, VaultId
from quorate.operations.kinds import Operation
from quorate.operations.request_json import Json
from quorate.operations.transactions.actions import Payer
from quorate.protocols.quorum import Sharing
from quorate.wire.net import Net

Run = Callable[[Net], Coroutine[Any, None, object]]
"""A protocol, but for its net."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a session builds on, from this node's own records. ``vault`` and ``previous`` are empty where the session
    makes the vault; ``epoch`` is the one used or made, ``sharing`` its roster; ``former`` that of the epoch before,
    where the session makes an epoch from another."""

    sharing: Sharing
    vault: VaultId | None = None
    previous: bytes = b""
    epoch: int = 0
    former: Sharing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What an operation came to, as clients see it."""

    vault: VaultId | None
    signers: tuple[DeviceId, ...] = ()
    signatures: tuple[SignatureView, ...] = ()


class Procedure(ABC):
    """One operation at one node. Cheap to make: it holds nothing but the two. Methods raise ``UsageError`` or
    ``StaleEpoch`` where our own records are against the operation."""

    unanimous: ClassVar[bool] = False
    """Whether one who refuses the proposal ends the operation."""

    by_certificate: ClassVar[bool] = False
    """Whether an end is proved by certificates and acknowledgements, and not by the outcome itself."""

    def __init__(self, context: Context, operation: Operation) -> None:
        self.context = context
        self.operation = operation

    # --- before it runs

    @property
    @abstractmethod
    def vault(self) -> VaultId | None:
        """The vault that the request names."""

    def study(self) -> None:  # noqa: B027 - most kinds need none
        """What ``admit`` would take long for: made ready, or ``UsageError``. Blocking."""

    @abstractmethod
    def admit(self) -> None:
        """Check the request against our own records; it is put to our approver only if nothing is raised."""

    @abstractmethod
    def request_json(self) -> Json:
        """What our approver reads."""

    def payer(self) -> Payer | None:
        """The key that is to sign, as the account that pays."""
        return None

    @abstractmethod
    def electorate(self) -> Electorate:
        """Who votes, and what it takes."""

    @abstractmethod
    def concerned(self) -> frozenset[DeviceId]:
        """Everybody whose business it is, whether or not its epoch is still live."""

    @property
    def signs_with(self) -> VaultId | None:
        """The vault whose other operations suffer from the same spoilers as this one."""
        return None

    def require_current(self) -> None:
        """``StaleEpoch`` once the epoch that it is for lives no more: then its votes are worth nothing."""
        self.electorate()

    # --- stages

    @abstractmethod
    def stage(self) -> str:
        """What comes next here; empty while others have to say something first."""

    @abstractmethod
    def basis(self, stage: str) -> Basis:
        """Rule CE-3.8: ``UsageError`` unless this stage comes next here."""

    def company(self, stage: str) -> Electorate:  # noqa: ARG002 - a kind with one stage has one answer
        """Who can take part in a stage, and who or what weight must."""
        return self.electorate()

    def multiplying(self, stage: str) -> Vault | None:  # noqa: ARG002
        """The vault under whose pair set-ups the sessions of a stage work, if they multiply."""
        return None

    def exclusive(self, stage: str) -> Hashable:  # noqa: ARG002
        """Of sessions with the same mark, one runs here at a time (rule CE-3.9); None: with any others."""
        return None

    def patience(self, parties: Collection[DeviceId]) -> Patience:  # noqa: ARG002
        return self.context.limits.patience

    @abstractmethod
    def protocol(self, agreement: Agreement, setups: Mapping[DeviceId, bytes]) -> Run:
        """What a session of the agreement's stage runs, under these pair set-ups, by id. Blocking."""

    # --- its end

    @abstractmethod
    def keep(self, agreement: Agreement, result: object) -> None:
        """Make the result of a session durable, and the operation complete where nothing more is to be done.
        Blocking."""

    def settle(self) -> None:  # noqa: B027 - most kinds have nothing to find
        """Complete the operation if what it asks for is there already. Blocking."""

    def believe(self, sender: DeviceId, result: bytes) -> None:  # noqa: ARG002
        """Take over from the result in another's outcome that it was completed, if that proves itself. Blocking."""
        raise UsageError(f"CE-5.3 other ends: {sender} proves nothing by it", code="WRONG_OUTCOME")

    @abstractmethod
    def shown(self, row: OperationRow) -> Shown: ...

    def phase(self) -> str:
        """How far a running attempt has come, in words; empty if there is nothing to tell."""
        return ""

    def aftermath(self) -> str:
        """What people must know when the operation fails at this point."""
        return ""
