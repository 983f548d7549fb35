"""What holds for every file of the repository."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.docs.readme_commands import README, blocks, commands

ROOT = Path(__file__).parents[2]
LONGEST = 600
GENERATED = re.compile(
    r"^(.*\.lock|.*go\.sum|LICENSE|src/quorate/rpc/_pb/.*|.*\.jsonl?|tests/storage/stores/.*/.*)$"
)
TEMPORARY = re.compile(r"(?<![\w.}])/(tmp|root|work)/")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
PIN = re.compile(r"^[a-z0-9-]+==[^ ]+( ; .+)? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")


def tracked() -> list[str]:
    """The files git knows, without those deleted since."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    return [(name, (ROOT / name).read_text()) for name in tracked() if not GENERATED.match(name)]


def test_no_file_is_longer_than_a_reader_s_patience() -> None:
    long = {name: lines for name, text in texts() if (lines := text.count("\n")) > LONGEST}
    assert not long


def test_no_file_names_a_directory_of_somebody_s_machine() -> None:
    assert not [
        name for name, text in texts() if TEMPORARY.search(text) and name != "tests/docs/test_repository.py"
    ]


def test_every_link_between_documents_leads_somewhere() -> None:
    documents = [(ROOT / name, text) for name, text in texts() if name.endswith(".md")]
    dead = [
        f"{document.relative_to(ROOT)}: {target}"
        for document, text in documents
        for target in LINK.findall(text)
        if not (document.parent / target).exists()
    ]
    assert documents
    assert not dead


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports each by its name alone, and refuses the second."""
    names = Counter(Path(name).name for name in tracked() if Path(name).match("tests/**/test_*.py"))
    assert names
    assert not [name for name, count in names.items() if count > 1]


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-aws.lock", "requirements-dev.lock"])
def test_a_lock_is_pins_and_hashes_and_nothing_else(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    assert lines
    assert not [line for line in lines if not (PIN.match(line) or HASH.match(line))]


def test_the_locks_agree_and_hold_every_dependency() -> None:
    runtime, with_kms, everything = (
        {line.partition("==")[0]: line for line in (ROOT / lock).read_text().splitlines() if PIN.match(line)}
        for lock in ("requirements.lock", "requirements-aws.lock", "requirements-dev.lock")
    )
    assert runtime.items() < with_kms.items() < everything.items()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = project["project"]["dependencies"] + project["build-system"]["requires"]
    development = [each for each in project["dependency-groups"]["dev"] if isinstance(each, str)]
    assert {name_of(each) for each in needed} <= runtime.keys()
    assert {name_of(each) for each in development} <= everything.keys()


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~\[ ;]", requirement)[0].lower()


def test_every_command_of_the_readme_is_in_a_block_that_is_run() -> None:
    shell = [
        name for language, name, _ in blocks(README.read_text()) if language in ("sh", "console", "bash")
    ]
    assert sorted(shell) == ["demo", "test", "walkthrough"]
    ci = (ROOT / ".ci" / "run").read_text()
    assert "readme demo\n" in ci
    assert "readme test\n" in ci
    assert 'commands("walkthrough"' in (ROOT / "tests/docs/test_walkthrough.py").read_text()


@pytest.mark.parametrize(
    "text", ["", "```sh name=demo\n```\n", "```sh name=demo\na\n```\n```sh name=demo\nb\n```\n"]
)
def test_a_block_that_is_not_there_once_is_no_command_at_all(text: str) -> None:
    with pytest.raises(SystemExit, match="not one"):
        commands("demo", text)
