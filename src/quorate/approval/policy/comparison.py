"""What one policy says otherwise than another, for who is to approve of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quorate.approval.policy.rules import Policy

Json = dict[str, Any]


def differences(before: Policy | None, after: Policy) -> tuple[Json, ...]:
    """One object for each rule, asset, book or setting that is there, or is gone, or says something else, by what
    the files mean: their order, their comments and how they are laid out are no difference."""
    old, new = _parts(before.stated if before is not None else {}), _parts(after.stated)
    diff: list[Json] = []
    for part in (*old, *(part for part in new if part not in old)):
        if part not in new:
            diff.append({"__typename": "PolicyDiffRemoved", "part": part, "original": old[part]})
        elif part not in old:
            diff.append({"__typename": "PolicyDiffAdded", "part": part, "new": new[part]})
        elif _text(old[part]) != _text(new[part]):
            diff.append(
                {"__typename": "PolicyDiffChanged", "part": part, "original": old[part], "new": new[part]}
            )
    return tuple(diff)


def _parts(stated: Mapping[str, Any]) -> Json:
    """By name; a sound policy has no two rules of one name."""
    parts = {f'rule "{rule["name"]}"': rule for rule in stated.get("rule", [])}
    for kind in ("assets", "books"):
        parts |= {f"{kind}.{name}": value for name, value in stated.get(kind, {}).items()}
    return parts | {key: value for key, value in stated.items() if key not in ("rule", "assets", "books")}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
