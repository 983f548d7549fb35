"""PolicyService: what this node's approvers decide by, and changing it."""

from __future__ import annotations

from quorate.ceremony.node_api import NodeApi
from quorate.protocols.policy import SignedPolicy
from quorate.rpc._pb import node_pb2, types_pb2
from quorate.rpc.access import Permit
from quorate.rpc.convert import operation_to_pb, policy_to_pb, signed_policy_to_pb
from quorate.rpc.services import to_the_end


class PolicyServant:
    def __init__(self, api: NodeApi) -> None:
        self._api = api

    async def change_policy(
        self, permit: Permit, request: node_pb2.ChangePolicyRequest
    ) -> types_pb2.Operation:
        work = self._api.change_policy(
            permit.caller(),
            policy=request.policy,
            vault=request.vault,
            version=request.version if request.HasField("version") else None,
            memo=request.memo,
            idempotency_key=request.idempotency_key,
            expires_in_ms=request.expires_in_ms if request.HasField("expires_in_ms") else None,
        )
        return operation_to_pb(await to_the_end(work))

    async def get_policy(self, permit: Permit, _: node_pb2.GetPolicyRequest) -> node_pb2.Policy:
        return policy_to_pb(await self._api.policy(permit.caller()))

    async def list_policies(
        self, permit: Permit, _: node_pb2.ListPoliciesRequest
    ) -> node_pb2.ListPoliciesResponse:
        rows = await self._api.policies(permit.caller())
        return node_pb2.ListPoliciesResponse(policies=map(signed_policy_to_pb, rows))

    async def install_policy(self, permit: Permit, request: node_pb2.InstallPolicyRequest) -> node_pb2.Policy:
        given = request.signed
        signed = SignedPolicy(
            vault=given.vault, version=given.version, policy=given.policy, certificate=given.certificate,
            signature=given.signature,
        )  # fmt: skip
        return policy_to_pb(
            await to_the_end(self._api.install_policy(permit.caller(), signed=signed, digest=given.digest))
        )
