"""Files that are whole or not there, and take no other file's place."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from quorate.storage.files import write_new


def failing(code: int) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.fixture(params=["", "no links", "no files without names"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "no links":
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    elif request.param:
        real = os.open

        def open_named(path: Any, flags: int, *more: Any, **named: Any) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
            return real(path, flags, *more, **named)

        monkeypatch.setattr(os, "open", open_named)
    return str(request.param)


@pytest.mark.usefixtures("file_system")
@pytest.mark.parametrize("name", ["node.key", "n" * 255])
def test_a_new_file_is_its_owner_s_and_there_is_nothing_beside_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_new(path, b"a secret" * 100_000)
    assert path.read_bytes() == b"a secret" * 100_000
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_nlink == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("file_system")
def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(b"another")
    with pytest.raises(FileExistsError) as refused:
        write_new(path, b"a secret")
    assert refused.value.filename == str(path)
    assert path.read_bytes() == b"another"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("file_system")
def test_a_disk_that_is_full_leaves_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(OSError, match="No space"):
        write_new(tmp_path / "node.key", b"a secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("file_system")
def test_of_two_writers_at_once_one_writes_the_file_and_the_other_is_told(tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / f"{number}"
        won: list[bytes] = []
        lost: list[bytes] = []

        def write(text: bytes, path: Path = path, won: list[bytes] = won, lost: list[bytes] = lost) -> None:
            try:
                write_new(path, text)
            except FileExistsError:
                lost.append(text)
            else:
                won.append(text)

        writers = [threading.Thread(target=write, args=(text,)) for text in (b"one", b"other")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert (len(won), len(lost)) == (1, 1)
        assert path.read_bytes() == won[0]
