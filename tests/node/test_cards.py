"""A node's own card, changed at rest."""

from __future__ import annotations

from pathlib import Path

from quorate.ceremony.identity import read_card
from quorate.node import founding
from quorate.node.cards import at_rest


def test_the_same_rotation_or_move_again_changes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "alice"
    founding.write_settings(home, port=7100, passphrase_file=None, key_file=None)
    founding.found(home, name="alice", advertise="127.0.0.1:7100")
    with at_rest(home) as cards:
        first = cards.certificates()
        made = cards.rotate(rev=1, at_once=False)
        assert (made.me.rev, [each.rev for each in made.earlier]) == (2, [1])
        assert made.me.certificate_pin != first.me.certificate_pin
        assert made.authority_pem == first.authority_pem  # what credentials trust stays
        assert cards.rotate(rev=1, at_once=False) == made
        moved = cards.set_address("", "10.0.0.9:7100")
        assert (moved.rev, moved.address) == (3, "10.0.0.9:7100")
        assert cards.set_address("alice", "10.0.0.9:7100") == moved
        assert cards.rotate(rev=3, at_once=True).earlier == ()
        assert read_card((home / "cards" / "alice.json").read_text()).rev == 4
