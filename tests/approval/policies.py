"""A policy's text in pieces, operations that do this or that, and what an engine says of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from quorate.approval.policy.engine import Judgement, judge
from quorate.approval.policy.language import parse_policy
from quorate.approval.policy.rules import Policy
from quorate.ceremony.ports import ApprovalRequest
from quorate.identifiers import OperationId
from quorate.operations.effect import Action, Asset, Effect
from quorate.operations.kinds import Kind
from tests.approval.asking import REQUEST
from tests.approval.facts import ALICE, BOB, VAULT

OTHER_VAULT = "w" * 24
USDC = Asset(chain="eip155:1", contract="0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")
ETHER = Asset(chain="eip155:1")
ACME, ZENITH, STRANGER, TREASURY = (f"0x{digit * 40}" for digit in "1234")
TRANSFER = "transfer(address,uint256)"
HEX = "application/octet-stream+hex"
NOON = 1_767_182_400_000  # Wednesday, 2025-12-31T12:00:00Z
HOUR = 3_600_000

HEAD = f"""
[assets.USDC]
chain = "{USDC.chain}"
contract = "{USDC.contract}"
decimals = 6
[assets.ETH]
chain = "eip155:1"
decimals = 18
[books.suppliers]
Acme = "{ACME}"
Zenith = "{ZENITH}"
"""


def rule(name: str = "the rule", scope: str = '"global"', **parts: str) -> str:
    lines = "".join(f"{key} = {value}\n" for key, value in parts.items())
    return f'[[rule]]\nname = "{name}"\nscope = {scope}\n{lines}'


def policy(*rules: str, default: str = "refuse") -> Policy:
    return parse_policy(f'default = "{default}"\n{HEAD}{"".join(rules)}', "policy.toml")


def usdc(units: float | int, to: str = ACME, **changes: Any) -> Action:
    """A transfer of so many whole USDC."""
    action = Action(
        content_type=HEX, chain="eip155:1", source=TREASURY, receiver=to, asset=USDC,
        amount=int(units * 10**6), method=TRANSFER,
    )  # fmt: skip
    return replace(action, **changes)


def ether(wei: int, to: str = ACME, **changes: Any) -> Action:
    action = Action(
        content_type=HEX, chain="eip155:1", source=TREASURY, receiver=to, asset=ETHER, amount=wei, method=""
    )
    return replace(action, **changes)


OPAQUE = Action(content_type="text/plain")


def does(
    *actions: Action, kind: Kind = Kind.SIGN, vault: str = VAULT, caller: str = "app", at: str = ALICE
) -> Effect:
    return Effect(kind=kind, vault=vault, proposer=at, caller=caller, actions=actions)


MAKES_A_VAULT = does(kind=Kind.CREATE_VAULT, vault="")
ELSEWHERE = BOB


@dataclass
class Used:
    """What windows hold: the same for all."""

    amount: int = 0
    asked: list[object] = field(default_factory=list)

    def used(self, counter: object, now_ms: int) -> int:
        self.asked.append(counter)
        return self.amount


def judged(policy: Policy, effect: Effect, used: int = 0, now_ms: int = NOON, **more: Any) -> Judgement:
    return judge(policy, effect, Used(used), now_ms=now_ms, here=ALICE, **more)


def request(effect: Effect, number: int = 0) -> ApprovalRequest:
    """A request of this effect: another operation for each number."""
    name = OperationId(f"operation{number:06d}".translate(str.maketrans("0189", "qrst")).ljust(24, "a"))
    return replace(REQUEST, operation=name, effect=effect)
