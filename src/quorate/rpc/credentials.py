"""A client's credentials file, which is all that a program needs to reach a node."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from quorate.errors import UsageError
from quorate.rpc.registry import Access

OPTIONAL = ("secret", "certificate_pem", "private_key_pem", "private_key_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A client's credentials file: a secret, or a certificate and its key. ``endpoint`` is host:port; ``ca_pem`` the
    one authority to trust there, which is the node's own and outlives the certificates it shows. The key is in the
    file, or in another one (``private_key_file``, taken from where the credentials file is)."""

    endpoint: str
    client_id: str
    secret: str = field(default="", repr=False)
    ca_pem: str
    certificate_pem: str = ""
    private_key_pem: str = field(default="", repr=False)
    private_key_file: str = ""

    @classmethod
    def load(cls, path: Path) -> Self:
        try:
            fields = json.loads(path.read_text())
            given = {name: str(fields[name]) for name in ("endpoint", "client_id", "ca_pem")}
            given |= {name: str(fields.get(name, "")) for name in OPTIONAL}
            if bool(given["secret"]) == bool(given["certificate_pem"]):
                raise ValueError("neither a secret nor a certificate, or both")
        except OSError as error:
            raise UsageError(f"cannot read credentials {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{path} is not a credentials file of `quorate client add`") from error
        if given["private_key_file"]:
            key = path.parent / given["private_key_file"]
            try:
                given |= {"private_key_pem": key.read_text(), "private_key_file": ""}
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(
                    f"{path}: the key of its certificate, {key}, cannot be read: {error}"
                ) from error
        return cls(**given)

    def save(self, path: Path, *, replace: bool = False) -> None:
        """Write a new file that only its owner can read; over one that is there only if it is to ``replace`` it."""
        fields = {name: value for name, value in asdict(self).items() if value}
        written = path.with_name(path.name + ".new") if replace else path
        try:
            if replace:
                written.unlink(missing_ok=True)
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(fields, file, indent=2)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            if replace:
                written.replace(path)
        except OSError as error:
            raise UsageError(f"cannot write credentials {path}: {error.strerror}") from error


def credentials_of(client: str, access: Access, certificate_pem: str = "") -> Credentials:
    return Credentials(
        endpoint=access.endpoint,
        client_id=client,
        secret=access.secret,
        ca_pem=access.ca_pem,
        certificate_pem=certificate_pem,
    )
