"""``quorate client``: add, list, rotate, revoke."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from quorate.cli.command import Call, command
from quorate.cli.connection import registry
from quorate.cli.files import require_new
from quorate.cli.output import escape
from quorate.cli.views import rows, time_of
from quorate.errors import UsageError
from quorate.rpc.client_certificates import create_client_identity
from quorate.rpc.credentials import Credentials
from quorate.storage.clients import EVERY, Client, Grant

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

Name = Annotated[str, typer.Argument(help="The client's id.")]
CertificateFile = Annotated[
    Path | None,
    typer.Option("--certificate", help="It proves itself by this certificate (PEM), whose key it keeps."),
]
NewCertificate = Annotated[
    bool,
    typer.Option("--new-certificate", help="It proves itself by a new certificate; the key is in the file."),
]


def register(app: typer.Typer) -> None:
    @command(app, "add")
    async def add(
        call: Call,
        name: Name,
        out: Annotated[
            Path, typer.Option("--out", help="The credentials file to write, for its owner only.")
        ],
        role: Annotated[
            list[str] | None,
            typer.Option(
                "--role",
                help="signer (the default), approver, viewer or admin; ROLE:VAULT on that vault only. Repeatable.",
            ),
        ] = None,
        vault: Annotated[
            list[str] | None,
            typer.Option("--vault", help="Roles that name no vault are for this one only. Repeatable."),
        ] = None,
        certificate: CertificateFile = None,
        new_certificate: NewCertificate = False,
    ) -> None:
        """Let a program or a person ask this node. The secret is in the file and nowhere else."""
        require_new(out, "credentials are")
        grants = grants_of(role or ["signer"], vault or ())
        async with registry(call) as book:
            own = proof_of(name, certificate, new=new_certificate)
            credentials = await book.add_client(name, grants, certificate_pem=own.certificate_pem)
        completed(credentials, own).save(out)
        call.output.show(
            {
                "client": name,
                "grants": [grant_record(grant) for grant in grants],
                "endpoint": credentials.endpoint,
                "credentials": str(out),
            },
            f"[green]✓[/] {escape(name)} may ask {escape(credentials.endpoint)} as"
            f" {escape(said(grants))}, with {escape(str(out))}"
            + (
                f"; its key is expected in {escape(own.private_key_file)} beside it"
                if own.private_key_file
                else ""
            ),
        )

    @command(app, "list")
    async def list_(call: Call) -> None:
        """Who may ask this node."""
        async with registry(call) as book:
            clients = await book.clients()
        if call.output.json:
            for client in clients:
                call.output.line(client_record(client))
            return
        body = (
            (escape(c.id), escape(said(c.grants)), proof(c), time_of(c.created_ms), standing(c))
            for c in clients
        )
        call.output.out.print(rows(("CLIENT", "ROLES", "PROVES ITSELF BY", "CREATED", "STATE"), body))

    @command(app, "rotate")
    async def rotate(
        call: Call,
        name: Name,
        out: Annotated[Path, typer.Option("--out", help="The credentials file to write, or to write anew.")],
        overlap: Annotated[
            str, typer.Option(help="How long what it has now stays good: 90s, 30m, 1h, 7d.")
        ] = "0",
        certificate: CertificateFile = None,
        new_certificate: NewCertificate = False,
    ) -> None:
        """Give a client a new secret, or another certificate. Its open streams end and have to be opened again."""
        overlap_ms = round(seconds(overlap) * 1000)
        if not out.exists():
            require_new(out, "credentials are")
        async with registry(call) as book:
            own = proof_of(name, certificate, new=new_certificate)
            credentials = await book.rotate_client(
                name, overlap_ms=overlap_ms, certificate_pem=own.certificate_pem
            )
        completed(credentials, own).save(out, replace=True)
        kept = f"; the old ones are good for {escape(overlap)} more" if overlap_ms else ""
        call.output.show(
            {"client": name, "rotated": True, "overlap_ms": overlap_ms, "credentials": str(out)},
            f"[green]✓[/] {escape(name)} has new credentials in {escape(str(out))}{kept}",
        )

    @command(app, "revoke")
    async def revoke(call: Call, name: Name) -> None:
        """Serve a client no longer, at once: its open streams end, too."""
        async with registry(call) as book:
            await book.revoke_client(name)
        call.output.show({"client": name, "revoked": True}, f"[green]✓[/] {escape(name)} is served no longer")


class Proof(NamedTuple):
    """A client's own certificate and its key, as far as they are known here; all empty for a secret."""

    certificate_pem: str = ""
    private_key_pem: str = ""
    private_key_file: str = ""


def proof_of(name: str, file: Path | None, *, new: bool) -> Proof:
    if file is not None and new:
        raise UsageError("--certificate brings one and --new-certificate makes one: choose")
    if new:
        made = create_client_identity(name)
        return Proof(made.certificate_pem, made.private_key_pem.decode())
    if file is None:
        return Proof()
    try:
        return Proof(file.read_text(), private_key_file=f"{name}.key")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error


def completed(credentials: Credentials, own: Proof) -> Credentials:
    return replace(credentials, private_key_pem=own.private_key_pem, private_key_file=own.private_key_file)


def grants_of(roles: Sequence[str], vaults: Sequence[str]) -> tuple[Grant, ...]:
    """``ROLE`` on all these vaults (every one if there is none), ``ROLE:VAULT`` on that one; a role named often is one
    grant."""
    found: dict[str, list[str]] = {}
    for each in roles:
        role, colon, vault = each.partition(":")
        if colon and not vault:
            raise UsageError(f"--role {each}: no vault follows the colon")
        found.setdefault(role, []).extend([vault] if colon else list(vaults) or [EVERY])
    return tuple(Grant(role, tuple(dict.fromkeys(on))) for role, on in found.items())


def seconds(text: str) -> float:
    """``90``, ``90s``, ``30m``, ``1h`` or ``7d``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no length of time; 90s, 30m, 1h and 7d are")
    return float(match[1]) * UNITS[match[2]]


def said(grants: Sequence[Grant]) -> str:
    return "; ".join(
        grant.role if grant.everywhere else f"{grant.role} on {', '.join(grant.vaults)}" for grant in grants
    )


def grant_record(grant: Grant) -> dict[str, object]:
    return {"role": grant.role, "vaults": list(grant.vaults)}


def client_record(client: Client) -> dict[str, object]:
    return {
        "client": client.id,
        "grants": [grant_record(grant) for grant in client.grants],
        "created": time_of(client.created_ms),
        "revoked": None if client.revoked_ms is None else time_of(client.revoked_ms),
        "credentials": [
            {
                "certificate_pin": None if each.pin is None else each.pin.hex(),
                "created": time_of(each.created_ms),
                "until": None if each.until_ms is None else time_of(each.until_ms),
            }
            for each in client.credentials
        ],
    }


def proof(client: Client) -> str:
    return ", ".join(
        ("a secret" if each.pin is None else f"certificate {each.pin.hex()[:16]}")
        + ("" if each.until_ms is None else f" until {time_of(each.until_ms)}")
        for each in client.credentials
    )


def standing(client: Client) -> str:
    return "[green]live[/]" if client.revoked_ms is None else f"[red]revoked {time_of(client.revoked_ms)}[/]"
