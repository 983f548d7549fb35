"""The calls of ``client.NodeClient`` about policies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from quorate.ceremony.rulebook import PolicyRow, PolicyView
from quorate.ceremony.views import OperationView
from quorate.errors import UsageError
from quorate.protocols.policy import SignedPolicy
from quorate.rpc._pb import node_pb2, node_pb2_grpc
from quorate.rpc.convert import operation_from_pb, policy_from_pb, signed_policy_from_pb


@contextmanager
def representable() -> Iterator[None]:
    """A value that no request can carry is the caller's mistake."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(f"not a possible request: {error}") from error


class PolicyCalls:
    _policies: node_pb2_grpc.PolicyServiceAsyncStub
    _call: Callable[..., Any]

    async def change_policy(
        self,
        *,
        policy: bytes,
        vault: str = "",
        version: int | None = None,
        memo: str = "",
        idempotency_key: str,
        expires_in_ms: int | None = None,
    ) -> OperationView:
        """``policy`` is the file, byte by byte; ``version`` None is the next."""
        with representable():
            request = node_pb2.ChangePolicyRequest(
                policy=policy,
                vault=vault,
                version=version,
                memo=memo,
                idempotency_key=idempotency_key,
                expires_in_ms=expires_in_ms,
            )
        return operation_from_pb(await self._call(self._policies.ChangePolicy, request))

    async def policy(self) -> PolicyView:
        """What the node's approvers decide by."""
        return policy_from_pb(await self._call(self._policies.GetPolicy, node_pb2.GetPolicyRequest()))

    async def policies(self) -> tuple[PolicyRow, ...]:
        """The signed policies that were ever in force at the node, oldest first."""
        answer = await self._call(self._policies.ListPolicies, node_pb2.ListPoliciesRequest())
        return tuple(map(signed_policy_from_pb, answer.policies))

    async def install_policy(self, signed: SignedPolicy, digest: bytes) -> PolicyView:
        """``digest`` is what was signed, as whoever has the policy says."""
        given = node_pb2.SignedPolicy(
            vault=signed.vault,
            version=signed.version,
            policy=signed.policy,
            certificate=signed.certificate,
            signature=signed.signature,
            digest=digest,
        )
        request = node_pb2.InstallPolicyRequest(signed=given)
        return policy_from_pb(await self._call(self._policies.InstallPolicy, request))
