"""The durable side: one SQLite file, sealed shares, the operation journal."""

from quorate.storage.clients import Client, Grant
from quorate.storage.keywrap import KeySource
from quorate.storage.keywrap.aws_kms import AwsKms
from quorate.storage.keywrap.keyfile import KeyFile
from quorate.storage.keywrap.passphrase import Argon2, Passphrase, PassphraseFile
from quorate.storage.ledger import Boot, SqliteLedger
from quorate.storage.rewrapping import rewrap

__all__ = [
    "Argon2",
    "AwsKms",
    "Boot",
    "Client",
    "Grant",
    "KeyFile",
    "KeySource",
    "Passphrase",
    "PassphraseFile",
    "SqliteLedger",
    "rewrap",
]
