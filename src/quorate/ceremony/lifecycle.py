"""The life of an operation, as one table."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.ceremony.ports import State

MOVES: Mapping[State, frozenset[State]] = {
    State.PROPOSED: frozenset(
        {State.VOTING, State.REJECTED, State.EXPIRED, State.CANCELLED, State.COMPLETED}
    ),
    State.VOTING: frozenset(
        {
            State.APPROVED,
            State.RUNNING,
            State.REJECTED,
            State.EXPIRED,
            State.FAILED,
            State.CANCELLED,
            State.COMPLETED,
        }
    ),
    State.APPROVED: frozenset(
        {State.RUNNING, State.REJECTED, State.EXPIRED, State.FAILED, State.CANCELLED, State.COMPLETED}
    ),
    State.RUNNING: frozenset(
        {State.RUNNING, State.COMPLETED, State.REJECTED, State.EXPIRED, State.FAILED, State.CANCELLED}
    ),
    # A signature that turns up after the end is a fact, whatever was reported before (``signature_may_exist``).
    State.REJECTED: frozenset({State.COMPLETED}),
    State.EXPIRED: frozenset({State.COMPLETED}),
    State.FAILED: frozenset({State.COMPLETED}),
    State.CANCELLED: frozenset({State.COMPLETED}),
    State.COMPLETED: frozenset(),
}

FINAL = frozenset({State.COMPLETED, State.REJECTED, State.EXPIRED, State.FAILED, State.CANCELLED})
OPEN = frozenset(State) - FINAL


def sources(to: State) -> tuple[State, ...]:
    """The states from which ``to`` may be reached."""
    return tuple(state for state, reachable in MOVES.items() if to in reachable)
