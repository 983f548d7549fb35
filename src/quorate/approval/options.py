"""What a node's configuration can say about its approvers: the ``[approver]`` and ``[approvers.NAME]`` sections."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from quorate.approval.dialect import approver_key
from quorate.operations.addresses import account_of, checksummed

GROUP = "quorate.approvers"
COMBINATIONS = ("all-of", "any-of", "first-decisive")
SECTIONS = ("webhook", "policy", "grpc", "evm-contract")
BUILT_IN = ("none", "always", "manual", *SECTIONS, *COMBINATIONS)

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class WebhookOptions(BaseModel):
    """How to reach the approver, and whom to believe.

    ``public_key`` is its Ed25519 key: PEM, or the hex of that; or ``public_key_file`` holds it. ``ca_file`` (PEM)
    stands in for the system's authorities; ``client_certificate`` and ``client_key`` (PEM) are shown to the approver.
    Plain http is for loopback, or where ``allow_http`` says so. ``timeout`` and ``backoff`` are in seconds.
    """

    # A URL may hold a token, so what was given is not repeated in an error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    transaction_url: str
    reshare_url: str
    public_key: str | None = None
    public_key_file: Path | None = None
    allow_http: bool = False
    ca_file: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    timeout: Seconds = 10.0
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    backoff: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.5

    @field_validator("public_key")
    @classmethod
    def _is_a_key(cls, text: str | None) -> str | None:
        if text is not None:
            approver_key(text)
        return text

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name in ("transaction_url", "reshare_url"):
            if flaw := _flaw(getattr(self, name), allow_http=self.allow_http):
                raise ValueError(f"{name}: {flaw}")
        if (self.public_key is None) is (self.public_key_file is None):
            raise ValueError("set public_key or public_key_file, one of the two")
        if (self.client_certificate is None) is not (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        return self


class PolicyOptions(BaseModel):
    """``file`` holds the rules. ``bootstrap``: it serves only until the governing vault has signed a policy; where a
    vault governs, no other file serves at all, and none need be there. ``shadow``, a draft: what it would say is logged
    beside what counts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path | None = None
    bootstrap: bool = False
    shadow: Path | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.bootstrap and self.file is None:
            raise ValueError("bootstrap is about a file, and none is named")
        return self


class GrpcOptions(BaseModel):
    """An approver that serves ``quorate.approval.v1.ApproverService`` at ``address`` (HOST:PORT).

    It is known by a certificate of ``ca_file`` (PEM) for the host, or for ``server_name``; ``client_certificate`` and
    ``client_key`` are shown to it. ``plaintext`` is for loopback alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str
    ca_file: Path | None = None
    server_name: str = ""
    client_certificate: Path | None = None
    client_key: Path | None = None
    plaintext: bool = False
    timeout: Seconds = 10.0
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    backoff: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.5

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        host, colon, port = self.address.rpartition(":")
        if not (host and colon and port.isdecimal() and 0 < int(port) < 1 << 16):
            raise ValueError("address is HOST:PORT")
        if self.plaintext and not is_loopback(host.strip("[]")):
            raise ValueError("plaintext is only for loopback; leave it out to use TLS")
        if self.plaintext and (self.ca_file or self.client_certificate or self.server_name):
            raise ValueError("plaintext and certificates do not go together")
        if (self.client_certificate is None) is not (self.client_key is None):
            raise ValueError("client_certificate and client_key go together")
        return self


class EvmContractOptions(BaseModel):
    """An approval contract: its account, the id of its chain, and endpoints of that chain, which have to agree.

    ``block`` is the state that is asked: ``latest`` may still be undone, ``safe`` and ``finalized`` less. ``ca_file``
    (PEM) stands in for the system's authorities. Plain http is for loopback, or where ``allow_http`` says so.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)  # a URL may hold a key

    urls: Annotated[tuple[str, ...], Field(min_length=1, max_length=10)]
    contract: str
    chain_id: Annotated[int, Field(ge=1, lt=2**63)]
    block: Literal["latest", "safe", "finalized"] = "safe"
    allow_http: bool = False
    ca_file: Path | None = None
    timeout: Seconds = 10.0
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    backoff: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.5

    @field_validator("contract")
    @classmethod
    def _is_an_account(cls, text: str) -> str:
        return checksummed(account_of(text))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for url in self.urls:
            if flaw := _flaw(url, allow_http=self.allow_http):
                raise ValueError(f"urls: {flaw}")
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("urls: one stands there twice, and agrees with itself")
        return self


class ApproverOptions(BaseModel):
    """One approver. ``of``: the names of those that a combination asks; ``options``: for a type that another package
    brings, by an entry point of the group ``quorate.approvers``. Without a type everything is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: str = "none"
    webhook: WebhookOptions | None = None
    policy: PolicyOptions | None = None
    grpc: GrpcOptions | None = None
    evm_contract: EvmContractOptions | None = None
    of: tuple[str, ...] = ()
    options: dict[str, Any] | None = None

    @field_validator("type")
    @classmethod
    def _is_known(cls, name: str) -> str:
        known = {*BUILT_IN, *(each.name for each in entry_points(group=GROUP))}
        if name not in known:
            raise ValueError(f"there is no type of approver {name!r}: one of {', '.join(sorted(known))}")
        return name

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        for section in SECTIONS:
            name = section.replace("-", "_")
            if (self.type == section) is not (getattr(self, name) is not None):
                raise ValueError(f"type '{section}' and a {name} section go together")
        if (self.type in COMBINATIONS) is not bool(self.of):
            raise ValueError(
                f"types {', '.join(COMBINATIONS)} and of, a list of approvers' names, go together"
            )
        if len(set(self.of)) < len(self.of):
            raise ValueError("of names an approver twice")
        if self.options is not None and self.type in BUILT_IN:
            raise ValueError(f"type '{self.type}' takes no options section")
        return self


Named = Mapping[str, ApproverOptions]


def entry_point(name: str) -> EntryPoint:
    """What brings a type of approver that is not built in."""
    [found] = entry_points(group=GROUP, name=name)
    return found


def wrong_references(approver: ApproverOptions, named: Named) -> Iterator[tuple[tuple[str, ...], str]]:
    """Where a section names an approver that there is none of, or one that comes to itself again, and why it is
    wrong."""
    sections: list[tuple[tuple[str, ...], ApproverOptions]] = [(("approver",), approver)]
    sections += [(("approvers", name), each) for name, each in named.items()]
    for place, options in sections:
        for name in options.of:
            if name not in named:
                yield (*place, "of"), f"there is no [approvers.{name}]"
            elif place[1:] and _comes_to(place[1], name, named):
                yield (*place, "of"), f"{name} asks {place[1]} again"


def _comes_to(wanted: str, start: str, named: Named) -> bool:
    seen, ahead = set[str](), [start]
    while ahead:
        name = ahead.pop()
        if name == wanted:
            return True
        if name not in seen and name in named:
            seen.add(name)
            ahead += named[name].of
    return False


def _flaw(url: str, *, allow_http: bool) -> str:
    """What is wrong with an approver's URL; empty if nothing is."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        return str(error)
    if parts.scheme not in ("http", "https") or not parts.host:
        return "an https:// URL is needed"
    if not 0 < (parts.port or 443) < 1 << 16:
        return f"there is no port {parts.port}"
    if parts.userinfo or parts.fragment:
        return "a URL without user, password and fragment is needed"
    if parts.scheme == "http" and not allow_http and not is_loopback(parts.host):
        return "http is only for loopback; use https, or set allow_http"
    return ""


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
