"""The policies of a node: the one that the governing vault signed, files that serve without it, and what reads them.

docs/spec/policy.md, PG-3. One library serves a node; each approver that decides by a policy has a source of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import structlog

from quorate.approval.policy.approver import Fixed, PolicySource, Unserved
from quorate.approval.policy.comparison import differences
from quorate.approval.policy.language import parse_policy
from quorate.approval.policy.rules import Policy
from quorate.ceremony.rulebook import PolicyRow, ServedPolicy
from quorate.errors import QuorateError, UsageError
from quorate.operations.request_json import PolicyFacts
from quorate.protocols.policy import PolicyHead, policy_digest

REMEMBERED = 4  # policies that were read lately
PATIENCE = 10.0  # seconds that a decision waits for what peers say, or a policy that is on its way
GLANCE = 0.1

log = structlog.get_logger(__name__)


class InForce(Protocol):
    """``ceremony.policies.Policies``, as far as it is asked here."""

    @property
    def governing(self) -> object | None: ...

    def in_force(self) -> PolicyRow | None: ...

    @property
    def behind(self) -> PolicyHead | None: ...

    @property
    def unheard(self) -> bool: ...


class Ungoverned:
    """Of a node whose policies no vault signs."""

    governing, behind, unheard = None, None, False

    def in_force(self) -> PolicyRow | None:
        return None


class Library:
    """Implements ``ports.Rulebook``. ``askable``: whom a policy may ask here; None where no approver has a policy."""

    def __init__(self, policies: InForce, askable: frozenset[str] | None) -> None:
        self._policies, self._askable = policies, askable
        self._read: OrderedDict[bytes, Policy] = OrderedDict()
        self._reading = threading.Lock()
        self._sources: dict[str, tuple[str, PolicySource]] = {}

    def source(self, section: str, file: Policy | None, *, bootstrap: bool) -> PolicySource:
        """What the approver of this section decides by. ``UsageError`` for a file that must not serve."""
        governed = self._policies.governing is not None
        if governed and file is not None and not bootstrap:
            raise UsageError(
                f"PG-3.2 bootstrap: {section}: [policy] names a vault that signs policies, so {file.name} can serve"
                " only until it has: say bootstrap = true",
            )
        if not governed and file is None:
            raise UsageError(f"{section}.policy.file is missing, and [policy] names no vault that signs one")
        source = Governed(self._policies, self, file) if bootstrap or file is None else Fixed(file)
        self._sources[section] = ("bootstrap" if bootstrap else "file", source)
        return source

    def policy(self, policy: bytes, name: str) -> Policy:
        """The same object for the same bytes, for a while."""
        key = policy_digest(policy)
        with self._reading:
            if key not in self._read:
                self._read[key] = parse_policy(policy, name)
            self._read.move_to_end(key)
            while len(self._read) > REMEMBERED:
                self._read.popitem(last=False)
            return self._read[key]

    def read(self, policy: bytes) -> PolicyFacts:
        parsed = self.policy(policy, "policy")
        self.require_askable(parsed)
        row = self._policies.in_force()
        present, serving = self._present(row)
        return PolicyFacts(
            default=parsed.default, rules=tuple(rule.name for rule in parsed.rules),
            diff=differences(present, parsed), serving=serving,
        )  # fmt: skip

    def served(self) -> Sequence[ServedPolicy]:
        told = []
        for section, (kind, source) in self._sources.items():
            try:
                policy = source.current()
            except Unserved as error:
                told.append(ServedPolicy(section=section, source="none", refused=str(error)))
                continue
            signed = isinstance(source, Governed) and policy is not source.bootstrap
            source_name = "signed" if signed else kind
            told.append(ServedPolicy(section=section, source=source_name, policy=policy.text.encode()))
        return told

    def _present(self, row: PolicyRow | None) -> tuple[Policy | None, str]:
        if row is not None:
            return self.policy(row.policy, f"version {row.version}"), "signed"
        files = (source.bootstrap for _, source in self._sources.values() if isinstance(source, Governed))
        file = next((each for each in files if each is not None), None)
        return file, "none" if file is None else "bootstrap"

    def require_askable(self, policy: Policy) -> None:
        missing = sorted(policy.asks - self._askable) if self._askable is not None else []
        if missing:
            raise UsageError(
                f"PG-1.4 policy: {policy.name}: a rule asks {missing[0]}, and there is no [approvers.{missing[0]}] here"
                " that decides by no policy itself",
                code="BAD_POLICY",
            )


class Governed:
    """What the governing vault signed; ``bootstrap`` until it has signed a first one."""

    def __init__(self, policies: InForce, library: Library, bootstrap: Policy | None) -> None:
        self._policies, self._library, self.bootstrap = policies, library, bootstrap
        self._served: tuple[PolicyRow, Policy] | None = None
        try:
            unsigned = policies.in_force() is None
        except QuorateError as error:
            log.error("policy unreadable", why=str(error))
        else:
            if unsigned and bootstrap is not None:
                log.warning("policy not signed", file=bootstrap.name, digest=bootstrap.digest.hex())

    async def ready(self) -> None:
        waited = 0.0
        while waited < PATIENCE and (self._policies.unheard or self._policies.behind is not None):
            await asyncio.sleep(GLANCE)
            waited += GLANCE

    def current(self) -> Policy:
        try:
            row, behind = self._policies.in_force(), self._policies.behind
            if behind is not None:
                here = f"version {row.version}" if row is not None else "none"
                raise Unserved(
                    "PG-3.3 behind",
                    f"version {behind.version} of the policy is signed, and this node has {here}",
                )
            if self._policies.unheard:
                raise Unserved(
                    "PG-3.4 heard",
                    "no other signer of the governing vault has said yet which policy it holds",
                )
            if row is None:
                return self._unsigned()
            if self._served is None or self._served[0] is not row:
                policy = self._library.policy(row.policy, f"version {row.version}")
                self._library.require_askable(policy)
                self._served = row, policy
            return self._served[1]
        except QuorateError as error:
            raise Unserved("PG-3.5 readable", f"the policy in force cannot be used: {error}") from None

    def _unsigned(self) -> Policy:
        """PG-3.1 signed: only while nothing was ever signed."""
        if self.bootstrap is None:
            raise Unserved("PG-3.2 bootstrap", "no policy is signed yet, and no bootstrap file is configured")
        return self.bootstrap
