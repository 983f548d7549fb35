"""``quorate.toml`` and its environment overrides, checked before anything opens.

Every key can be set by ``QUORATE_SECTION__KEY``. A key nobody reads is an error with its file and line: a
typing mistake in a limit or an approver must not quietly become a default.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from quorate.approval.options import ApproverOptions, is_loopback, wrong_references
from quorate.errors import UsageError

FILE = "quorate.toml"

DAY = 24 * 3600
Seconds = Annotated[float, Field(gt=0, le=30 * DAY, allow_inf_nan=False)]
PerSecond = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Burst = Annotated[int, Field(ge=1, le=10**6)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PeerPort(Section):
    """Where peers reach this node. ``bind`` is local; the address others dial stands on the device card."""

    bind: str = "0.0.0.0"  # noqa: S104 - peers are elsewhere; mutual TLS with pinned identities guards the port
    port: int = Field(default=7100, ge=1, le=65535)


class CallLimits(Section):
    """What the client port takes: so many a second for long, and a burst of so many at once. ``calls``: of one client.
    From one source address (of IPv6, a /64): ``strangers``, calls that do not prove at once who makes them, and
    ``failures``, those that then fail to. ``checks``: secrets checked slowly, of everybody together."""

    calls_per_second: PerSecond = 500
    calls_burst: Burst = 1000
    strangers_per_second: PerSecond = 10
    strangers_burst: Burst = 50
    failures_per_second: PerSecond = 0.2
    failures_burst: Burst = 10
    checks_per_second: PerSecond = 10
    checks_burst: Burst = 50


class ClientPort(Section):
    """Where applications reach this node. ``endpoint`` (HOST:PORT, if not bind:port) goes into credentials. Clients
    that have a certificate come to ``certificate_port``, if it is set, with ``certificate_endpoint`` in theirs."""

    bind: str = "127.0.0.1"
    port: int = Field(default=7200, ge=1, le=65535)
    endpoint: str = ""
    certificate_port: int | None = Field(default=None, ge=1, le=65535)
    certificate_endpoint: str = ""
    limits: CallLimits = CallLimits()

    @property
    def address(self) -> str:
        return self.endpoint or f"{self.bind}:{self.port}"

    @property
    def certificate_address(self) -> str:
        """Empty where there is no such port."""
        if self.certificate_port is None:
            return ""
        host = self.endpoint.rpartition(":")[0] or self.bind
        return self.certificate_endpoint or f"{host}:{self.certificate_port}"

    @property
    def certificate_listener(self) -> str:
        return "" if self.certificate_port is None else f"{self.bind}:{self.certificate_port}"


def in_credentials(path: Path) -> Path:
    """``$CREDENTIALS_DIRECTORY/NAME`` is a credential that systemd loaded for this service."""
    if path.parts[:1] != (CREDENTIALS,):
        return path
    directory = os.environ.get(CREDENTIALS.removeprefix("$"))
    if not directory:
        raise ValueError(f"{CREDENTIALS} is set for services that systemd starts with LoadCredential=")
    return Path(directory).joinpath(*path.parts[1:])


CREDENTIALS = "$CREDENTIALS_DIRECTORY"
SecretFile = Annotated[Path, AfterValidator(in_credentials)]


def kms_endpoint(url: str) -> str:
    parts = urlsplit(url)
    if url and not (parts.hostname and (parts.scheme == "https" or is_loopback(parts.hostname))):
        raise ValueError("not the https:// address of a KMS endpoint")
    return url


class Key(Section):
    """What opens the store: the file that holds the passphrase, or one that holds 32 random bytes, or a symmetric key
    in AWS KMS (``quorate[aws]``) by id, ARN or alias, with its ``region`` and ``endpoint`` if the environment does not
    say. What a guess at a passphrase costs (Argon2id: memory, passes) is fixed when the store is made.
    ``start``: sealed, and a started node does nothing until ``quorate unseal``."""

    passphrase_file: SecretFile | None = None
    key_file: SecretFile | None = None
    kms_key_id: str = Field(default="", max_length=2048)
    start: Literal["unsealed", "sealed"] = "unsealed"
    region: str = Field(default="", pattern=r"^([a-z0-9-]{1,40})?$")
    endpoint: Annotated[str, AfterValidator(kms_endpoint)] = ""
    memory_kib: int = Field(default=64 << 10, ge=8, le=4 << 20)
    passes: int = Field(default=3, ge=1, le=100)

    @model_validator(mode="after")
    def one_source(self) -> Key:
        if sum(map(bool, (self.passphrase_file, self.key_file, self.kms_key_id))) > 1:
            raise ValueError("set one of passphrase_file, key_file and kms_key_id")
        return self


class Backup(Section):
    """Where sealed copies of shares go: after each new epoch, unless not ``automatic``, and when asked for. Sealed with
    the passphrase in a file, or with a recovery key, of which this is the public half (X25519, PEM)."""

    folder: Path | None = None
    passphrase_file: Path | None = None
    recovery_key_file: Path | None = None
    automatic: bool = True

    @model_validator(mode="after")
    def one_lock(self) -> Backup:
        if bool(self.passphrase_file) + bool(self.recovery_key_file) != bool(self.folder):
            raise ValueError("set folder together with passphrase_file or recovery_key_file, one of the two")
        return self


class Limits(Section):
    """Seconds, and counts. ``silence``: how long a session waits on one message; ``unlinked``: the same while there is
    no connection to the peer it waits on; ``deadline``: one session; ``carry_out``: from approval to the end.
    ``overlap``: how long a TLS certificate that another took the place of still counts, ours and a peer's."""

    expiry: Seconds = DAY
    longest_expiry: Seconds = 7 * DAY
    clock_tolerance: Seconds = 30
    silence: Seconds = 10
    unlinked: Seconds = 2
    deadline: Seconds = 60
    carry_out: Seconds = 300
    repeat: Seconds = 2
    attempts: int = Field(default=8, ge=1, le=64)
    unfinished: int = Field(default=1000, ge=1)
    drain: Seconds = 20
    overlap: Seconds = 7 * DAY


class Log(Section):
    """To stderr: ``json`` for programs, one object a line, ``text`` for people."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class MetricsPort(Section):
    """Prometheus and probes, over plain HTTP, to whoever can reach it: names and figures, no secrets."""

    enabled: bool = True
    bind: str = "127.0.0.1"
    port: int = Field(default=2112, ge=1, le=65535)


class Policy(Section):
    """Which vault signs this node's policies: its id, and on a node that never was a signer of it its Ed25519 public
    key (hex)."""

    vault: str = Field(pattern=r"^[a-z2-7]{24}$")
    key: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")


class TokenLists(Section):
    """Lists of tokens (tokenlists.org) that this node has names for, read when it starts."""

    files: tuple[Path, ...] = ()


def rpc_url(url: str) -> str:
    """An endpoint may carry a key of its owner, so no message repeats it."""
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("not the https:// address of a JSON-RPC endpoint")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http:// reaches this machine alone; anywhere else it is https://")
    return url


RpcUrl = Annotated[str, AfterValidator(rpc_url)]
ChainId = Annotated[int, Field(ge=1, lt=2**64)]


class ChainOptions(Section):
    """Where the command line reaches a chain. A node reaches none."""

    rpc: RpcUrl = Field(repr=False)


class Settings(BaseSettings):
    model_config = SettingsConfigDict(
        env_prefix="QUORATE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )
    peer: PeerPort = PeerPort()
    client: ClientPort = ClientPort()
    key: Key = Key()
    approver: ApproverOptions = ApproverOptions()
    approvers: dict[str, ApproverOptions] = {}  # by the names that combinations and policies call them
    policy: Policy | None = None
    limits: Limits = Limits()
    backup: Backup = Backup()
    tokens: TokenLists = TokenLists()
    chains: dict[ChainId, ChainOptions] = {}  # by EIP-155's number
    log: Log = Log()
    metrics: MetricsPort = MetricsPort()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment above the file; nothing else."""
        return env_settings, init_settings


def load(home: Path) -> Settings:
    """The settings of the node in ``home``. ``UsageError`` says in which line or variable each mistake is."""
    file = home / FILE
    try:
        text = file.read_text()
    except FileNotFoundError:
        raise UsageError(f"no node in {home}: {FILE} is missing; run `quorate init` first") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    return parse(text, file)


def parse(text: str, file: Path) -> Settings:
    """Settings out of TOML text; ``file`` is for the error messages and is what relative paths start from."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not TOML: {error}") from error
    try:
        settings = Settings(**data)
    except ValidationError as error:
        raise UsageError("\n".join(explain(error, text, file))) from None
    if wrong := list(wrong_references(settings.approver, settings.approvers)):
        lines = line_numbers(text)
        raise UsageError("\n".join(f"{place(at, lines, file)}: {'.'.join(at)}: {why}" for at, why in wrong))
    return anchored(settings, file.parent)


S = TypeVar("S", bound=BaseModel)


def anchored(section: S, home: Path) -> S:
    """The settings with every relative file path taken from the home, wherever the command was started."""
    changes: dict[str, object] = {}
    for name, value in section:
        if isinstance(value, Path):
            changes[name] = home / value.expanduser()
        elif isinstance(value, BaseModel):
            changes[name] = anchored(value, home)
        elif isinstance(value, tuple) and all(isinstance(each, Path) for each in value):
            changes[name] = tuple(home / each.expanduser() for each in value)
        elif name == "approvers":
            changes[name] = {each: anchored(options, home) for each, options in value.items()}
    return section.model_copy(update=changes)


def explain(error: ValidationError, text: str, file: Path, under: Sequence[str] = ()) -> list[str]:
    """One line per mistake: where it stands, which key, what is wrong. ``under`` is the section checked."""
    lines = line_numbers(text)
    said = []
    for mistake in error.errors(include_url=False, include_context=False, include_input=False):
        path = (*under, *(str(part) for part in mistake["loc"]))
        why = (
            "no such key"
            if mistake["type"] == "extra_forbidden"
            else mistake["msg"].removeprefix("Value error, ")
        )
        said.append(f"{place(path, lines, file)}: {'.'.join(path) or 'settings'}: {why}")
    return said


def place(path: Sequence[str], lines: Mapping[tuple[str, ...], int], file: Path) -> str:
    variable = "QUORATE_" + "__".join(path).upper()
    if variable in os.environ:
        return variable
    for size in range(len(path), 0, -1):
        if found := lines.get(tuple(path[:size])):
            return f"{file}:{found}"
    return str(file)


def line_numbers(text: str) -> dict[tuple[str, ...], int]:
    """The line of every table header and key of a TOML text, by dotted path. Inside multi-line values it may
    be wrong: it only ever decorates an error."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\[?([^\]]+)\]", line):
            table = dotted(header[1])
            found.setdefault(table, number)
        elif key := re.match(r"\s*([\w.\"'-]+)\s*=", line):
            found.setdefault((*table, *dotted(key[1])), number)
    return found


def dotted(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
