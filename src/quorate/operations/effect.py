"""What an operation does, as far as this node can tell from the very bytes that will be signed. Policies judge this.

In every field ``None`` is *not known* and the empty text is *known to be none*. The difference decides: a policy that
asks for what is not known refuses. So whatever cannot be read to its last byte is opaque, never guessed, and nothing in
here comes from the caller's description of the request.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from quorate.operations.kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """``chain`` as in CAIP-2, such as ``eip155:1``. ``contract`` is the token's account; empty is the chain's own coin.

    Two assets are one if chain and contract are: ``symbol`` and ``decimals`` are for people, empty and None where this
    node's token list does not have them.
    """

    chain: str
    contract: str = ""
    symbol: str = field(default="", compare=False)
    decimals: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One thing that a message does once it is signed; a message that does several has several.

    ``source`` and ``receiver`` are accounts as their chain writes them (Ethereum's with the case of EIP-55): who pays,
    and who is paid, allowed to spend, or called. ``amount`` is in the asset's base units, of an allowance the whole of
    it. ``method`` is the signature of what is called, ``transfer(address,uint256)``, or its selector, ``0xa9059cbb``,
    where the signature is not known; empty for a plain payment. A call that may move what does not stand in it has
    ``asset`` and ``amount`` None. ``fee`` is the most that the chain may take for it, in base units of its own coin; of
    what one transaction does, the first has the whole of it. ``message`` counts from 0 within a batch.
    """

    message: int = 0
    content_type: str | None = None
    chain: str | None = None
    source: str | None = None
    receiver: str | None = None
    asset: Asset | None = None
    amount: int | None = None
    method: str | None = None
    fee: int | None = None

    @property
    def opaque(self) -> bool:
        """Whether nothing is known of what these bytes do."""
        return self.chain is None

    def __post_init__(self) -> None:
        if min(self.amount or 0, self.fee or 0) < 0:
            raise ValueError("an amount is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """``caller`` is the client id at ``proposer``, the device that was asked first: that device's word, no more.
    ``vault`` is empty where there is none yet. No ``actions``: it moves nothing and calls nothing, for certain."""

    kind: Kind
    vault: str
    proposer: str
    caller: str
    actions: tuple[Action, ...] = ()
