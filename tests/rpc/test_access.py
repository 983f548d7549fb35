"""Who may call what: every method of every service, for nobody, for every role, and for one vault."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from quorate.ceremony.ports import State
from quorate.ceremony.views import Caller
from quorate.rpc import access
from quorate.rpc.access import OWNERS_ALONE, RULES, Reach, Repeat
from quorate.rpc.client import CLIENT_KEY, SECRET_KEY, NodeClient
from quorate.rpc.node_server import SERVICES
from quorate.storage import Grant
from quorate.storage.clients import ROLES
from tests.rpc.fake_node import COLD, OPS, Served, operation, secure_channel
from tests.rpc.loopback import PATIENCE, eventually
from tests.rpc.test_client_port import SIGN, refusal

METHODS = {method.full_name: method for service in SERVICES.values() for method in service.methods}
Metadata = tuple[tuple[str, str], ...]
ROOT = Path(__file__).parents[2]

# Where it is shown that a method without an idempotency key may be called again.
SETTLING = {
    "quorate.v1.VaultService.EraseEarlier": (
        "tests/ceremony/test_reshare_recovery.py",
        "test_a_leaver_that_is_lost_after_dealing_is_waited_for_until_the_operator_goes_on",
    ),
    "quorate.v1.VaultService.ReleaseVault": (
        "tests/ceremony/test_release.py",
        "test_who_is_released_once_is_told_so_when_asked_again",
    ),
    "quorate.v1.PolicyService.InstallPolicy": (
        "tests/ceremony/test_policy_forgeries.py",
        "test_nothing_comes_into_force_but_by_the_governing_vault_s_signature",
    ),
    "quorate.v1.OperationService.CancelOperation": (
        "tests/ceremony/test_operations.py", "test_a_cancelled_operation_ends_everywhere_and_waits_nowhere"
    ),
    "quorate.v1.ApprovalService.Decide": (
        "tests/ceremony/test_manual.py", "test_the_first_decision_stands_and_the_same_again_changes_nothing"
    ),
    "quorate.v1.AdminService.CreateBackups": (
        "tests/cluster/test_backup_commands.py",
        "test_a_backup_is_asked_for_listed_and_verified_from_the_command_line",
    ),
    "quorate.v1.AdminService.AddPeer": (
        "tests/storage/test_store_peers.py", "test_a_peer_is_kept_with_its_card"
    ),
    "quorate.v1.AdminService.RemovePeer": (
        "tests/ceremony/test_removed_peers.py", "test_a_peer_is_removed_once_no_vault_needs_it"
    ),
    "quorate.v1.AdminService.RevokeClient": (
        "tests/storage/test_store_clients.py", "test_a_revoked_client_is_nobody_until_it_gets_a_new_secret"
    ),
    "quorate.v1.AdminService.RotateCertificate": (
        "tests/node/test_cards.py", "test_the_same_rotation_or_move_again_changes_nothing"
    ),
    "quorate.v1.AdminService.SetAddress": (
        "tests/node/test_cards.py", "test_the_same_rotation_or_move_again_changes_nothing"
    ),
    "quorate.v1.AdminService.Seal": (
        "tests/ceremony/test_sealing.py", "test_a_sealed_node_holds_no_share_and_no_node_key"
    ),
    "quorate.v1.AdminService.Unseal": (
        "tests/ceremony/test_sealing.py", "test_only_the_right_key_unseals_a_node"
    ),
    "quorate.v1.AdminService.Reload": (
        "tests/cluster/test_running.py",
        "test_a_reload_changes_what_can_be_changed_and_names_what_needs_a_restart",
    ),
}  # fmt: skip


def metadata_of(name: str, secret: str) -> Metadata:
    return ((CLIENT_KEY, name), (SECRET_KEY, secret))


async def call_raw(
    channel: grpc.aio.Channel, method: MethodDescriptor, metadata: Metadata, request: Message | None = None
) -> grpc.StatusCode:
    """The status of a call, with an empty request if there is no other."""
    form = GetMessageClass(method.input_type)
    kind = channel.unary_stream if method.server_streaming else channel.unary_unary
    call = kind(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=form.SerializeToString,
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )(request or form(), metadata=metadata, timeout=PATIENCE)
    code: grpc.StatusCode = await call.code()
    return code


# --- the table


def test_every_method_has_a_line_in_the_table_and_the_table_no_other() -> None:
    assert set(RULES) == set(METHODS)


def test_the_table_names_only_roles_that_can_be_given_and_somebody_for_every_method() -> None:
    for method, rule in RULES.items():
        assert rule.roles, method
        assert rule.roles <= set(ROLES), method


def test_whatever_concerns_the_whole_node_is_for_admins_of_all_of_it() -> None:
    for name, method in METHODS.items():
        if method.containing_service.name == "AdminService":
            assert (set(RULES[name].roles), RULES[name].reach) == ({"admin"}, Reach.NODE), name


def test_asking_deciding_and_administering_are_of_different_roles() -> None:
    def of(role: str) -> set[str]:
        return {
            method for method, rule in RULES.items() if role in rule.roles and rule.repeat is not Repeat.READS
        }

    assert of("approver") == {"quorate.v1.ApprovalService.Decide"}
    assert of("viewer") == set()
    assert of("signer") & of("admin") == {"quorate.v1.OperationService.CancelOperation"}


def test_every_call_that_changes_something_may_be_made_again() -> None:
    reading = ("Get", "List", "Wait", "Watch", "Examine", "TryApprover")
    for name, method in METHODS.items():
        repeat = RULES[name].repeat
        assert (repeat is Repeat.READS) == method.name.startswith(reading), name
        assert (repeat is Repeat.KEYED) == ("idempotency_key" in method.input_type.fields_by_name), name
    assert {name for name, rule in RULES.items() if rule.repeat is Repeat.SETTLES} == set(SETTLING)
    for file, test in SETTLING.values():
        assert f"def {test}(" in (ROOT / file).read_text(), test


# --- nobody, and every role


async def test_without_credentials_every_method_is_refused(served: Served) -> None:
    async with secure_channel(served) as channel:
        for name, method in METHODS.items():
            assert await call_raw(channel, method, ()) is grpc.StatusCode.UNAUTHENTICATED, name
    assert not served.api.calls
    assert served.book.checks == 0


@pytest.mark.parametrize("role", [*ROLES, "owner of another node"])
async def test_a_role_reaches_exactly_what_the_table_allows_it(served: Served, role: str) -> None:
    secret = served.book.enrol("app", Grant(role))
    async with secure_channel(served) as channel:
        for name, method in METHODS.items():
            code = await call_raw(channel, method, metadata_of("app", secret))
            assert (code is grpc.StatusCode.PERMISSION_DENIED) is (
                role not in RULES[name].roles or name in OWNERS_ALONE
            ), (
                name,
                code,
            )
            assert code is not grpc.StatusCode.UNAUTHENTICATED, name


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_on_one_vault_touches_neither_the_node_nor_another_vault(
    served: Served, role: str
) -> None:
    """Whatever a method's request names, it is the other vault and the operation on it."""
    served.api.operations_held = (operation("q", vault=COLD.id),)
    secret = served.book.enrol("app", Grant(role, ("ops",)))
    async with secure_channel(served) as channel:
        for name, method in METHODS.items():
            request = GetMessageClass(method.input_type)()
            named = {"vault": COLD.name, "operation": "q" * 24}
            known = [field for field in named if field in method.input_type.fields_by_name]
            for field in known[:1]:
                setattr(request, field, named[field])
            denied = await call_raw(channel, method, metadata_of("app", secret), request)
            if known or role not in RULES[name].roles or RULES[name].reach is Reach.NODE:
                assert denied is grpc.StatusCode.PERMISSION_DENIED, (name, denied)
    looked = {"operation", "operations", "pending", "vault"}
    assert {called for called, _, _ in served.api.calls} <= looked


async def test_what_is_in_no_line_is_denied_to_the_owner_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "RULES", {})
    async with served.local() as node:
        assert (await refusal(node.status())).code == "NOT_ALLOWED"


async def test_grants_on_several_vaults_do_not_add_up(served: Served) -> None:
    served.api.operations_held = (operation("p"), operation("q", vault=COLD.id))
    secret = served.book.enrol("app", Grant("signer", ("ops",)), Grant("viewer", ("cold",)))
    async with NodeClient.remote(served.credentials("app", secret)) as node:
        assert {view.name for view in await node.vaults()} == {"ops", "cold"}
        await node.sign(data=["x"], **SIGN)
        assert (await refusal(node.sign(data=["x"], **SIGN | {"vault": "cold"}))).code == "NOT_ALLOWED"
        assert (await refusal(node.signatures("q" * 24))).code == "NOT_ALLOWED"
        assert (await refusal(node.cancel("q" * 24))).code == "NOT_ALLOWED"
        await node.cancel("p" * 24)
    assert served.called("cancel") == [
        (Caller(client="app", role="signer"), {"operation": "p" * 24}),
    ]


async def test_an_admin_of_one_vault_cancels_there_what_others_asked_for_and_elsewhere_as_what_else_it_is(
    served: Served,
) -> None:
    served.api.operations_held = (operation("p"), operation("q", vault=COLD.id))
    secret = served.book.enrol("app", Grant("admin", ("ops",)), Grant("signer"))
    async with NodeClient.remote(served.credentials("app", secret)) as node:
        for letter in "pq":
            await node.cancel(letter * 24)
    assert [caller and caller.role for caller, _ in served.called("cancel")] == ["admin", "signer"]


# --- one vault


@pytest.mark.parametrize("allowed", [OPS.id, OPS.name])
async def test_a_client_of_one_vault_sees_and_uses_only_that(served: Served, allowed: str) -> None:
    served.api.operations_held = (operation("p"), operation("q", vault=COLD.id), operation("r", vault=None))
    async with served.enrolled("app", "signer", [allowed]) as node:
        assert await node.vaults() == (OPS,)
        assert await node.vault("ops") == OPS  # with the xpubs that keys are derived from
        assert [view.id for view in await node.operations()] == ["p" * 24]
        await node.sign(data=["x"], **SIGN)
        for call in (
            node.vault("cold"),
            node.sign(data=["x"], **SIGN | {"vault": "cold"}),
            node.sign(data=["x"], batch=True, **SIGN | {"vault": COLD.id}),
            node.operation("q" * 24),
            node.signatures("q" * 24),
            node.wait("q" * 24, 0.0),
            node.operation("r" * 24),
            node.asked("q" * 24),
            node.cancel("q" * 24),
        ):
            assert (await refusal(call)).code == "NOT_ALLOWED"
    ((_, arguments),) = served.called("sign")
    assert arguments["vault"] == OPS.id


async def test_an_approver_of_one_vault_is_shown_and_decides_only_that(served: Served) -> None:
    served.api.operations_held = (operation("p"), operation("q", vault=COLD.id), operation("r", vault=None))
    async with served.enrolled("olga", "approver", ["ops"]) as node:
        assert [view.id for view in await node.pending()] == ["p" * 24]
        await node.decide("p" * 24, digest=bytes(32), verdict="approve")
        for letter in "qr":
            decided = node.decide(letter * 24, digest=bytes(32), verdict="approve")
            assert (await refusal(decided)).code == "NOT_ALLOWED"
    [(caller, arguments)] = served.called("decide")
    assert caller == Caller(client="olga", role="approver")
    assert arguments["operation"] == "p" * 24


async def test_a_watch_shows_a_client_of_one_vault_only_that_vaults_events(served: Served) -> None:
    served.api.operations_held = (operation("p"), operation("q", vault=COLD.id), operation("r", vault=None))
    async with served.enrolled("app", "viewer", ["ops"]) as node:
        assert [view.id[0] async for view in node.watch(every=True)] == ["p"]
        for watched in (node.watch(vault="cold"), node.watch(operation="q" * 24)):
            assert (await refusal(anext(watched))).code == "NOT_ALLOWED"


async def test_what_is_not_there_and_what_is_anothers_look_the_same(served: Served) -> None:
    served.api.operations_held = (operation("q", vault=COLD.id),)
    async with served.enrolled("app", "signer", ["ops"]) as node:
        for there, missing in (
            (node.operation("q" * 24), node.operation("z" * 24)),
            (node.vault("cold"), node.vault("warm")),
        ):
            said = [str(await refusal(call)) for call in (there, missing)]
            assert said[0].replace("q" * 24, "z" * 24).replace("cold", "warm") == said[1]


async def test_a_second_vault_of_the_same_name_is_not_slipped_to_a_client_of_one(served: Served) -> None:
    served.api.vaults_held = (OPS, replace(COLD, name="ops"))
    async with served.enrolled("app", "signer", ["ops"]) as node:
        assert (await refusal(node.sign(data=["x"], **SIGN))).code == "AMBIGUOUS_VAULT"
    async with served.enrolled("exact", "signer", [OPS.id]) as node:
        await node.sign(data=["x"], **SIGN)


@pytest.mark.parametrize(
    ("role", "shown"), [("signer", True), ("viewer", False), ("approver", False), ("admin", False)]
)
async def test_signatures_are_for_those_who_may_sign(served: Served, role: str, shown: bool) -> None:
    for vaults in (["*"], ["ops"]):
        async with served.enrolled("app", role, vaults) as node:
            views = [await node.operation("p" * 24), await node.wait("p" * 24, 0.0)]
            views += [view async for view in node.watch(operation="p" * 24)]
        assert [bool(view.signatures) for view in views] == [shown] * 3


async def test_a_pair_is_reset_for_an_admin_of_the_vault_only(served: Served) -> None:
    for role, vaults in (("signer", ["ops"]), ("approver", ["ops"]), ("admin", ["cold"])):
        async with served.enrolled(f"{role} of {vaults[0]}", role, vaults) as node:
            reset = node.pair_reset(vault="ops", peer="bob", idempotency_key="key")
            assert (await refusal(reset)).code == "NOT_ALLOWED"
    assert served.called("pair_reset") == []
    async with served.enrolled("keeper", "admin", ["ops"]) as node:
        await node.pair_reset(vault="ops", peer="bob", idempotency_key="key")
    ((_, asked),) = served.called("pair_reset")
    assert asked["vault"] == OPS.id


# --- nobody raises itself


@pytest.mark.parametrize("role", ["approver", "admin"])
async def test_over_the_network_nobody_makes_a_credential_that_approves_or_administers(
    served: Served, role: str
) -> None:
    async with served.local() as owner, served.enrolled("boss", "admin") as boss:
        assert (
            await refusal(boss.add_client("friend", [Grant("viewer"), Grant(role)]))
        ).code == "NOT_ALLOWED"
        await owner.add_client("friend", [Grant(role)])
        assert (await refusal(boss.rotate_client("friend"))).code == "NOT_ALLOWED"
        await owner.rotate_client("friend")
        await boss.add_client("app", [Grant("signer")])
        await boss.rotate_client("app")
        await boss.revoke_client("friend")
    assert served.book.rotations == 2


# --- while it lasts


async def test_a_wrong_secret_an_unknown_client_and_a_revoked_one_look_the_same(served: Served) -> None:
    served.book.enrol("app", Grant("signer"))
    gone = served.book.enrol("gone", Grant("signer"))
    served.book.revoke_client("gone")
    answers = []
    for name, secret in (("app", "wrong"), ("nobody", "wrong"), ("gone", gone)):
        async with NodeClient.remote(served.credentials(name, secret)) as node:
            error = await refusal(node.vaults())
            answers.append((error.code, str(error)))
    expected = ("UNAUTHENTICATED", "client id or secret is wrong, or the client was revoked")
    assert answers == [expected] * len(answers)
    assert not served.api.calls


@pytest.mark.parametrize("act", ["revoke", "rotate"])
async def test_a_client_is_out_at_once_with_its_streams_and_its_calls_under_way(
    served: Served, act: str
) -> None:
    served.api.operations_held = (operation(state=State.RUNNING),)
    served.api.endless = True
    async with (
        served.local() as owner,
        served.enrolled("app", "viewer") as app,
        served.enrolled("other", "viewer") as other,
    ):
        watched, elsewhere = app.watch(every=True), other.watch(every=True)
        assert (await anext(watched)).id == (await anext(elsewhere)).id
        served.api.gate = asyncio.Event()
        waiting = asyncio.create_task(app.wait("p" * 24, 0.0))
        await eventually(lambda: len(served.called("operation")) == 1)
        await (owner.revoke_client("app") if act == "revoke" else owner.rotate_client("app"))
        assert (await refusal(anext(watched))).code == "UNAUTHENTICATED"
        served.api.gate.set()
        assert (await refusal(waiting)).code == "UNAUTHENTICATED"
        assert (await refusal(app.vaults())).code == "UNAUTHENTICATED"
        assert await other.vaults()
        await elsewhere.aclose()  # type: ignore[attr-defined] # is a generator
    await eventually(lambda: served.api.watchers == 0)


@pytest.mark.parametrize("name", ["SigningService.Sign", "OperationService.WatchOperations"])
async def test_a_client_that_is_out_before_its_request_has_come_asks_for_nothing(
    served: Served, name: str
) -> None:
    metadata = ((CLIENT_KEY, "app"), (SECRET_KEY, served.book.enrol("app", Grant("signer"))))
    service, method = name.split(".")
    async with secure_channel(served) as channel, served.local() as owner:
        opened = channel.stream_stream(f"/quorate.v1.{service}/{method}", bytes, bytes)
        call: Any = opened(None, metadata=metadata, timeout=PATIENCE)
        server: Any = served.server
        await eventually(lambda: "app" in server._attendance._visits)
        await owner.revoke_client("app")
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(b"")
            await call.done_writing()
        assert await call.code() == grpc.StatusCode.UNAUTHENTICATED
    assert not served.called("sign")
    assert not served.called("watch")


async def test_one_client_has_at_most_so_many_calls_under_way(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quorate.rpc.reception.CALLS_PER_CLIENT", 2)
    served.api.gate = asyncio.Event()
    async with served.enrolled("app", "signer") as app, served.enrolled("other", "signer") as other:
        held = [asyncio.create_task(app.vault("ops")) for _ in range(2)]
        await eventually(lambda: len(served.called("vault")) == 2)
        assert (await refusal(app.vault("ops"))).code == "BUSY"
        third = asyncio.create_task(other.vault("ops"))
        await eventually(lambda: len(served.called("vault")) == 3)
        served.api.gate.set()
        assert [view.id for view in await asyncio.gather(*held, third)] == [OPS.id] * 3


@pytest.mark.parametrize("costly", ["TryApprover", "Examine"])
async def test_costly_examinations_are_made_a_few_at_a_time_whoever_asks(served: Served, costly: str) -> None:
    served.examiner.gate = asyncio.Event()
    most = RULES[f"quorate.v1.AdminService.{costly}"].at_once
    assert most is not None

    async def ask(node: NodeClient) -> None:
        await (node.examine() if costly == "Examine" else node.try_approver())

    async with served.local() as owner, served.enrolled("boss", "admin") as boss:
        asked: Sequence[asyncio.Task[None]] = [asyncio.create_task(ask(owner)) for _ in range(most)]
        await eventually(lambda: served.examiner.under_way == most)
        for node in (owner, boss):
            assert (await refusal(ask(node))).code == "BUSY"
        served.examiner.gate.set()
        await asyncio.gather(*asked)
        await ask(boss)


async def test_making_a_credential_needs_an_idempotency_key(served: Served) -> None:
    async with served.local() as owner:
        for key in ("", "x" * 201):
            for act in (
                owner.add_client("app", [Grant("signer")], idempotency_key=key),
                owner.rotate_client("app", idempotency_key=key),
            ):
                assert (await refusal(act)).code == "INVALID_REQUEST"
    assert not served.book.secrets


async def test_a_node_is_sealed_by_an_admin_and_unsealed_on_its_own_machine_alone(served: Served) -> None:
    async with served.enrolled("boss", "admin") as boss, served.local() as owner:
        await boss.seal()
        for passphrase in (b"", b"correct horse battery staple"):
            assert (await refusal(boss.unseal(passphrase))).code == "NOT_ALLOWED"
        assert served.upkeep.sealing.sealed
        await owner.unseal(b"correct horse battery staple")
        assert not served.upkeep.sealing.sealed
        assert served.upkeep.sealing.passphrases == [b"correct horse battery staple"]
