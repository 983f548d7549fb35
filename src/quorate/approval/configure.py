"""From a node's configuration to its approver."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from quorate.approval.always import AlwaysApprover
from quorate.approval.dialect import approver_key
from quorate.approval.manual import ManualApprover
from quorate.approval.none import NoApprover
from quorate.approval.webhook import WebhookApprover
from quorate.ceremony.ports import Approver
from quorate.errors import Bug, UsageError
from quorate.identifiers import DeviceId


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
    timeout: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 10.0
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


class ApproverOptions(BaseModel):
    """The node's ``[approver]`` section. Without one, everything is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["none", "always", "webhook", "manual"] = "none"
    webhook: WebhookOptions | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if (self.type == "webhook") is not (self.webhook is not None):
            raise ValueError("type 'webhook' and a webhook section go together")
        return self


def build_approver(options: ApproverOptions, *, sign: Callable[[bytes], bytes], device: DeviceId) -> Approver:
    """The approver that ``options`` ask for. ``sign`` gives the device key's signature of its argument.

    ``UsageError`` names the option whose file cannot be used.
    """
    if options.type == "always":
        return AlwaysApprover()
    if options.type == "manual":
        return ManualApprover()
    if options.webhook is None:
        return NoApprover()
    webhook = options.webhook
    return WebhookApprover(
        urls={"transaction": webhook.transaction_url, "reshare": webhook.reshare_url},
        key=_key(webhook),
        sign=sign,
        device=device,
        tls=_tls(webhook),
        timeout=webhook.timeout,
        tries=webhook.tries,
        backoff=webhook.backoff,
    )


def _key(options: WebhookOptions) -> Ed25519PublicKey:
    if options.public_key is not None:
        return approver_key(options.public_key)
    if options.public_key_file is None:
        raise Bug("neither key, although the options were checked")
    try:
        return approver_key(options.public_key_file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"approver.webhook.public_key_file: {options.public_key_file}: {error}") from None


def _tls(options: WebhookOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"approver.webhook.ca_file: {options.ca_file}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.client_certificate is not None:
        try:
            # An encrypted key must fail here, not stop to ask at a terminal.
            context.load_cert_chain(options.client_certificate, options.client_key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            files = f"{options.client_certificate}, {options.client_key}"
            raise UsageError(f"approver.webhook.client_certificate, client_key: {files}: {error}") from None
    return context


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
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.host):
        return "http is only for loopback; use https, or set allow_http"
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
