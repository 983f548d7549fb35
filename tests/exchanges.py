"""What nodes ask each other by the clock and not for an operation: no flight of one, and no point in one."""

from quorate.ceremony.ports import Method

BY_THE_CLOCK = frozenset({Method.HELLO, Method.WITNESS, Method.INQUIRE})
