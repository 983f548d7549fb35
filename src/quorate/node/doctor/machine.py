"""The machine under a node: disk, store, the key that opens it, and ports."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quorate.errors import QuorateError, Sealed, StoreError
from quorate.node.config import Settings
from quorate.node.doctor.verdicts import fine, problem, warning
from quorate.rpc.findings import Finding
from quorate.storage.ledger import ROOM

LOW = 1 << 30  # bytes


def free_bytes(home: Path) -> int:
    """What this user may still write where the node lives."""
    disk = os.statvfs(home)
    return disk.f_bavail * disk.f_frsize


def examine_disk(home: Path) -> Finding:
    try:
        free = free_bytes(home)
    except OSError as error:
        return problem("disk", code="STORE_ERROR", said=f"{home} cannot be looked at: {error.strerror}")
    said = f"{free >> 20} MiB free at {home}"
    if free < ROOM:
        return problem("disk", code="DISK_LOW", said=f"{said}, {ROOM >> 20} are needed: no ceremony is begun")
    return warning("disk", code="DISK_LOW", said=said) if free < LOW else fine("disk", said)


def examine_store(home: Path, store: Path, prove: Callable[[], None] | None = None) -> Finding:
    """Can the node's directory and its store be written? ``prove`` commits something in an open store."""
    try:
        with tempfile.TemporaryFile(dir=home):
            pass
        os.close(os.open(store, os.O_RDWR))
        if prove is not None:
            prove()
    except FileNotFoundError:
        return problem("store", code="STORE_ERROR", said=f"there is no store at {store}")
    except OSError as error:
        return problem(
            "store",
            code="DISK_LOW" if error.errno == errno.ENOSPC else "READ_ONLY",
            said=f"{error.filename or home} cannot be written: {error.strerror}",
        )
    except StoreError as error:
        return refused("store", error)
    return fine("store", f"{store} can be written")


def examine_key(unlock: Callable[[], None]) -> Finding:
    """Does what [key] names open the store? A running node has it open: this is about the next start."""
    try:
        unlock()
    except QuorateError as error:
        return refused("key", error)
    return fine("key", "opens the store")


def examine_sealing(fault: StoreError | None) -> Finding:
    """Has the operator of a running node taken its key from it?"""
    if isinstance(fault, Sealed):
        return refused("sealed", fault)
    return fine("sealed", "no: the node has its key")


def examine_ports(settings: Settings) -> list[Finding]:
    """Of a node that does not run: can it listen on each of its ports?"""
    found = [
        _examine_port(name, section.bind, section.port)
        for name, section in _sections(settings)
        if isinstance(getattr(section, "port", None), int) and isinstance(getattr(section, "bind", None), str)
    ]
    if (certificates := settings.client.certificate_port) is not None:
        found.append(_examine_port("client certificates", settings.client.bind, certificates))
    return found


def refused(check: str, error: QuorateError) -> Finding:
    return problem(check, code=str(getattr(error, "code", error.reason)), said=str(error))


def _sections(settings: Settings) -> list[tuple[str, Any]]:
    return list(settings)


def _examine_port(name: str, host: str, port: int) -> Finding:
    check, where = f"port {name}", f"{host}:{port}"
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return problem(check, code="PORT_IN_USE", said=f"something else listens on {where}")
        return problem(check, code="INVALID_REQUEST", said=f"cannot listen on {where}: {error.strerror}")
    return fine(check, f"{where} is free")
