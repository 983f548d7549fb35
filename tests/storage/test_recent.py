"""What was read may be kept only until something about it is written."""

from __future__ import annotations

from quorate.storage.recent import ROOM, Recent


def test_a_value_is_read_once_until_it_is_forgotten() -> None:
    recent, reads = Recent(), [1, 2]
    assert recent.get("a", "row", lambda: reads.pop(0)) == 1
    assert recent.get("a", "row", lambda: reads.pop(0)) == 1
    recent.forget("a")
    assert recent.get("a", "row", lambda: reads.pop(0)) == 2


def test_what_was_read_before_a_write_is_not_kept_after_it() -> None:
    recent = Recent()

    def slow() -> str:
        recent.forget("a")  # the write lands between the read and the keeping
        return "old"

    assert recent.get("a", "row", slow) == "old"
    assert recent.get("a", "row", lambda: "new") == "new"


def test_what_is_not_worth_keeping_is_read_again() -> None:
    recent = Recent()
    assert recent.get("a", "row", lambda: "long", worth=lambda text: len(text) < 4) == "long"
    assert recent.get("a", "row", lambda: "new", worth=lambda text: len(text) < 4) == "new"
    assert recent.get("a", "row", lambda: "newer") == "new"


def test_parts_of_a_subject_are_apart_and_forgotten_together() -> None:
    recent = Recent()
    assert recent.get("a", "row", lambda: 1) == 1
    assert recent.get("a", "votes", lambda: 2) == 2
    recent.forget("a")
    assert recent.get("a", "row", lambda: 3) == 3
    assert recent.get("a", "votes", lambda: 4) == 4


def test_the_subject_not_used_longest_goes_first() -> None:
    recent = Recent()
    for n in range(ROOM):
        recent.get(n, "row", lambda: "old")
    recent.get(0, "row", lambda: "used")
    recent.get(ROOM, "row", lambda: "one too many")
    assert recent.get(0, "row", lambda: "new") == "old"
    assert recent.get(1, "row", lambda: "new") == "new"
