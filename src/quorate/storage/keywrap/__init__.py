"""Where the node key comes from: the one key that wraps every data key of a store."""

from __future__ import annotations

from typing import Protocol

from quorate.identifiers import DeviceId
from quorate.native.memory import SecretBytes


class KeySource(Protocol):
    """A passphrase, a key file, a key in AWS KMS. ``scheme`` and the parameters stand in the store, in the clear."""

    @property
    def scheme(self) -> str: ...

    def enrol(self, device: DeviceId, /) -> str:
        """Fresh parameters for a store of this device."""
        ...

    def unlock(self, device: DeviceId, parameters: str, /) -> SecretBytes:
        """The 32-byte node key; ``Locked`` where its source cannot be read or is unfit.

        Whether it is the *right* key shows when the store's check value opens.
        """
        ...
