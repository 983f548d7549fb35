"""A node's home before it runs: its identity and store, the cards it trusts, the callers it serves."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from quorate import storage
from quorate.ceremony.identity import Identity
from quorate.ceremony.ports import Peer
from quorate.errors import UsageError
from quorate.native.memory import SecretBytes
from quorate.node.config import FILE, Key, Settings, explain, load
from quorate.node.entropy import SystemEntropy
from quorate.node.registry import Registry
from quorate.rpc.tls import create_identity
from quorate.storage import Argon2, AwsKms, KeyFile, KeySource, PassphraseFile, SqliteLedger
from quorate.storage.audit import acting
from quorate.storage.files import write_new

STORE = "node.db"
CARDS = "cards"
AT_REST = "whoever holds the store's key, the node at rest"
KEY_VARIABLES = ("QUORATE_KEY__PASSPHRASE_FILE", "QUORATE_KEY__KEY_FILE", "QUORATE_KEY__KMS_KEY_ID")
TEMPLATE = """\
# This node's settings. Each can be set by an environment variable too: QUORATE_PEER__PORT, for one.

[peer]                      # other nodes, over mutual TLS
bind = "0.0.0.0"
port = {port}

[client]                    # applications; `quorate client add` writes their credentials
bind = "127.0.0.1"
port = 7200
# endpoint = "signer.example:7200"   # how applications reach it, if not at bind:port

[metrics]                   # Prometheus at /metrics, probes at /livez and /readyz; plain HTTP
bind = "127.0.0.1"
port = 2112

[key]                       # what opens the store
{key}

[approver]                  # who says yes before this node joins anything
type = "none"               # refuses everything; "webhook" asks your server; "manual" a person; "always" nobody
# [approver.webhook]
# transaction_url = "https://approver.example/transaction"
# reshare_url = "https://approver.example/reshare"
# public_key = '''
# -----BEGIN PUBLIC KEY-----
# ...
# -----END PUBLIC KEY-----
# '''
"""


def write_settings(home: Path, *, port: int, passphrase_file: Path | None, key_file: Path | None) -> bool:
    """A first ``quorate.toml``, if there is none. With no key given, here or in the environment, a new key file in
    the home opens the store."""
    if (home / FILE).exists():
        return False
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if passphrase_file is not None:
        key = f"passphrase_file = {quoted(passphrase_file.absolute())}"
    elif key_file is None and any(variable in os.environ for variable in KEY_VARIABLES):
        key = "# set in the environment"
    else:
        path = (key_file or home / "node.key").absolute()
        if key_file is None:
            write_key(path)
        key = f"key_file = {quoted(path)}"
    write_new(home / FILE, TEMPLATE.format(port=port, key=key).encode(), mode=0o644)
    return True


def found(home: Path, *, name: str, advertise: str) -> Peer:
    """Make the device identity, its certificate and the store, and write the device card to ``cards``.

    ``UsageError``, and nothing changed, if the home holds a device already.
    """
    settings = load(home)
    if settings.key.key_file is not None and not settings.key.key_file.exists():
        write_key(settings.key.key_file)
    identity = Identity.generate(SystemEntropy(), name)
    tls = create_identity(identity.device)
    with SqliteLedger.create(
        home / STORE,
        key_source(settings.key),
        identity=identity,
        address=advertise,
        hardware_id=hardware_id(),
        certificate_pem=tls.certificate_pem,
        tls_key=SecretBytes.of(tls.private_key_pem),
    ) as ledger:
        me = ledger.me
    write_card(home, me)
    return me


def card_file(directory: Path, name: str) -> Path:
    """Where the card of a node of this name stands."""
    return directory / (re.sub(r"[^\w.-]", "_", name) + ".json")


def write_card(home: Path, me: Peer) -> Path:
    """The node's own card as a file to hand out, made again if it is missing or of an earlier rev."""
    path = card_file(home / CARDS, me.name)
    text = me.card.encode() + b"\n"
    if not path.exists() or path.read_bytes() != text:
        path.parent.mkdir(exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        write_new(fresh, text, mode=0o644)
        fresh.replace(path)
    return path


@contextmanager
def opened(
    home: Path, settings: Settings | None = None, *, on_commit: Callable[[str], None] | None = None
) -> Iterator[SqliteLedger]:
    """The store in ``home``, held by this process until the block ends."""
    with SqliteLedger.open(
        home / STORE, key_source((settings or load(home)).key), on_commit=on_commit
    ) as ledger:
        yield ledger


@contextmanager
def at_rest(home: Path) -> Iterator[Registry]:
    """The registry of a node that is not running."""
    settings = load(home)
    before = acting.set(AT_REST)
    try:
        with opened(home, settings) as ledger:
            yield Registry(ledger, settings)
    finally:
        acting.reset(before)


def key_source(key: Key) -> KeySource:
    if key.passphrase_file is not None:
        return PassphraseFile(key.passphrase_file, Argon2(memory_kib=key.memory_kib, passes=key.passes))
    if key.key_file is not None:
        return KeyFile(key.key_file)
    if key.kms_key_id:
        return AwsKms(key=key.kms_key_id, region=key.region, endpoint=key.endpoint)
    raise UsageError("[key] has none of passphrase_file, key_file and kms_key_id: nothing opens the store")


def rewrap(home: Path, wanted: Mapping[str, str]) -> int:
    """Have the store open by another ``[key]`` from now on; how many values were wrapped anew. A key file that is not
    there is made. The settings are the operator's to change."""
    held = load(home).key
    try:
        to = Key(**{"memory_kib": held.memory_kib, "passes": held.passes, **wanted})  # type: ignore[arg-type]
    except ValidationError as error:
        raise UsageError("\n".join(explain(error, "", Path("rewrap"), ("key",)))) from None
    source = key_source(held)
    with opened(home):  # before a key file is made for nothing
        pass
    if to.key_file is not None and not to.key_file.exists():
        write_key(to.key_file)
    return storage.rewrap(home / STORE, source, key_source(to))


def write_key(path: Path) -> None:
    write_new(path, os.urandom(32).hex().encode() + b"\n")


def hardware_id() -> str:
    """What this machine calls itself for good, or else its host name."""
    try:
        return Path("/etc/machine-id").read_text().strip() or socket.gethostname()
    except OSError:
        return socket.gethostname()


def quoted(path: Path | str) -> str:
    """A path, or other text, as a TOML basic string."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
