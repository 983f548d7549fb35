"""What a policy takes to judge one request: many rules that are about it, and many that are not."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.harness import Figure, measure
from quorate.approval.policy.book import Tally
from quorate.approval.policy.engine import judge
from quorate.approval.policy.language import parse_policy
from quorate.identifiers import OperationId
from quorate.operations.effect import Action, Asset, Effect
from quorate.operations.kinds import Kind

NOW = 1_767_182_400_000
HERE, RULES, APPROVED = "a" * 24, 1000, 20
USDC = Asset(chain="eip155:1", contract="0x" + "3" * 40)
HEAD = f'[assets.USDC]\nchain = "eip155:1"\ncontract = "{USDC.contract}"\ndecimals = 6\n'
SHAPES = {
    "all apply": 'scope = "global"\nwhen.kinds = ["sign"]',
    "all apply, windows of their own": 'scope = "global"\nwhen.kinds = ["sign"]',
    "a tenth applies": 'scope = "global"\nwhen.kinds = ["{kind}"]',
    "spread over vaults": 'scope = {{ vaults = ["{vault}"] }}\nwhen.kinds = ["sign"]',
}
LIMITS = (
    '[{{ asset = "USDC", each = "1000" }}, {{ asset = "USDC", total = "1000000000", within = "{hours}h" }}]'
)


def figures() -> Iterator[Figure]:
    for shape in SHAPES:
        yield _judging(shape)


def _judging(shape: str) -> Figure:
    """Every rule has three conditions, a limit on one operation and one over a window in which there is much."""
    rules = (
        f'[[rule]]\nname = "rule {n}"\n{SHAPES[shape].format(vault=_vault(n), kind=_kind(n))}\n'
        f'when.chains = ["eip155:1"]\nrequire.receivers = ["{"0x" + "1" * 40}"]\n'
        f"limits = {LIMITS.format(hours=24 + n if 'own' in shape else 24)}\n"
        for n in range(RULES)
    )
    policy = parse_policy(HEAD + "".join(rules), "benchmark")
    tally = Tally(policy, HERE)
    payment = Action(
        content_type="text/plain", chain="eip155:1", source="0x" + "2" * 40, receiver="0x" + "1" * 40, asset=USDC,
        amount=10**6, method="transfer(address,uint256)", fee=10**15,
    )  # fmt: skip
    effect = Effect(kind=Kind.SIGN, vault=_vault(7), proposer=HERE, caller="app", actions=(payment,))
    for n in range(APPROVED):
        tally.add(OperationId(f"{n:024}"), effect, NOW)
    usage = tally.besides(OperationId("z" * 24))

    def run() -> object:
        return judge(policy, effect, usage, now_ms=NOW, here=HERE)

    return measure("policy/judge", {"rules": RULES, "shape": shape}, run, 20)


def _kind(number: int) -> str:
    return "sign" if number % 10 == 0 else "create-vault"


def _vault(number: int) -> str:
    return f"{number:024}".translate(str.maketrans("0189", "abcd"))
