"""Files that are whole or not there, and take no other file's place."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from quorate.storage.files import write_new


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM))


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(os, "link", no_links)


@pytest.mark.usefixtures("links")
def test_a_new_file_is_its_owner_s_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    (tmp_path / ".node.key.part").write_bytes(b"of one that was cut off")
    write_new(path, b"a secret")
    assert path.read_bytes() == b"a secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("links")
def test_a_file_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    path.write_bytes(b"another")
    with pytest.raises(FileExistsError) as refused:
        write_new(path, b"a secret")
    assert refused.value.filename == str(path)
    assert path.read_bytes() == b"another"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("links")
def test_a_disk_that_is_full_leaves_no_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_new(tmp_path / "node.key", b"a secret")
    assert list(tmp_path.iterdir()) == []
