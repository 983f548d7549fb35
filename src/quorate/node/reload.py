"""``quorate.toml`` read again while the node runs: what can change does, what cannot is named, a mistake changes
nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel

from quorate.node.config import Settings, load
from quorate.rpc.upkeep import Reloaded

APPROVERS = frozenset({"approver", "approvers"})
LIVE = frozenset({"limits", "log", "tokens", "chains"}) | APPROVERS
CLIENT_LIMITS = "client.limits"  # of its section the one part that changes live
FORGETFUL = frozenset({"none", "always", "webhook"})

log = structlog.get_logger()

Prepare = Callable[[Settings], Callable[[], None]]
"""Checks new settings, raising ``UsageError``, and gives what puts them into effect, which does not fail."""


class Configuration:
    """The settings in effect."""

    def __init__(self, home: Path, settings: Settings) -> None:
        self._home = home
        self.settings = settings
        self.prepare: list[Prepare] = []
        self.record: Callable[[Sequence[str]], None] = lambda _: None  # before they are in effect; may raise

    def __call__(self) -> Settings:
        return self.settings

    def reload(self) -> Reloaded:
        """Not for the event loop. ``UsageError``, and nothing changed, for a file that has a mistake anywhere."""
        wanted = load(self._home)
        differing = sorted(differences(self.settings, wanted))
        restart = tuple(name for name in differing if not changes_live(name, self.settings, wanted))
        sections = {name.partition(".")[0] for name in differing} & LIVE
        sections -= {name.partition(".")[0] for name in restart}
        update = {name: getattr(wanted, name) for name in sections}
        update["client"] = self.settings.client.model_copy(update={"limits": wanted.client.limits})
        merged = self.settings.model_copy(update=update)
        changed = tuple(name for name in differing if name not in restart)
        prepared = [prepare(merged) for prepare in self.prepare]
        if changed:
            self.record(changed)
        for apply in prepared:
            apply()
        self.settings = merged
        log.info("settings read again", changed=list(changed), restart_needed=list(restart))
        return Reloaded(changed=changed, restart=restart)


def changes_live(name: str, before: Settings, after: Settings) -> bool:
    section = name.partition(".")[0]
    if section in APPROVERS:
        return keeps_nothing(before) and keeps_nothing(after)
    return section in LIVE or name.startswith(f"{CLIENT_LIMITS}.")


def keeps_nothing(settings: Settings) -> bool:
    """Whether no approver of these settings holds anything between requests, such as those that wait for a person: one
    that does is not exchanged under them."""
    return {settings.approver.type, *(each.type for each in settings.approvers.values())} <= FORGETFUL


def differences(before: BaseModel, after: BaseModel, under: str = "") -> Iterator[str]:
    """Dotted names of the settings in which two configurations differ."""
    for name, value in before:
        other: Any = getattr(after, name)
        if value == other:
            continue
        if isinstance(value, BaseModel) and isinstance(other, BaseModel):
            yield from differences(value, other, f"{under}{name}.")
        else:
            yield f"{under}{name}"
