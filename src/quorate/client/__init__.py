"""Call a node from Python: ``Node`` where threads wait, ``AsyncNode`` in asyncio.

    from quorate.client import Node

    with Node.connect("treasury.json") as node:
        asked = node.sign("ops", "Order 40 chairs")
        [signature] = node.signed(asked.id)

Every call that changes something has an idempotency key, made here unless given, and is made again with the same one
while the node cannot be reached: it is done once. ``docs/guide/python-client.md`` says more.
"""

from quorate.ceremony.lifecycle import FINAL
from quorate.ceremony.ports import State
from quorate.ceremony.views import AskedView, OperationView, SignatureView, VaultView, VoteView
from quorate.client.asynchronous import AsyncNode
from quorate.client.errors import NotAllowed, NotFound, NotSigned, Throttled, Unauthenticated, Unavailable
from quorate.client.receipts import verify_receipt
from quorate.client.synchronous import Node
from quorate.errors import QuorateError, UsageError
from quorate.rpc.credentials import Credentials
from quorate.rpc.failures import RemoteError

__all__ = [
    "FINAL",
    "AskedView",
    "AsyncNode",
    "Credentials",
    "Node",
    "NotAllowed",
    "NotFound",
    "NotSigned",
    "OperationView",
    "QuorateError",
    "RemoteError",
    "SignatureView",
    "State",
    "Throttled",
    "Unauthenticated",
    "Unavailable",
    "UsageError",
    "VaultView",
    "VoteView",
    "verify_receipt",
]
