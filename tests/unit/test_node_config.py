"""The configuration: defaults, overrides, and mistakes named by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.errors import UsageError
from quorate.node.config import load, parse
from quorate.node.home import home_of

FILE = Path("/home/node/quorate.toml")


def test_an_empty_file_gives_the_documented_ports() -> None:
    settings = parse("", FILE)
    assert (settings.peer.port, settings.client.port) == (7100, 7200)
    assert settings.client.bind == "127.0.0.1"
    assert settings.metrics.enabled
    assert (settings.metrics.bind, settings.metrics.port) == ("127.0.0.1", 2112)


def test_without_an_approver_section_nothing_is_approved() -> None:
    assert parse("", FILE).approver.type == "none"


def test_an_environment_variable_goes_above_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_PEER__PORT", "7300")
    settings = parse('[peer]\nport = 7101\nbind = "127.0.0.1"', FILE)
    assert (settings.peer.port, settings.peer.bind) == (7300, "127.0.0.1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[peer]\nport = 7100\nprot = 1", "quorate.toml:3: peer.prot: no such key"),
        ("\n[pear]\nport = 1", "quorate.toml:2: pear: no such key"),
        ("surplus = 1", "quorate.toml:1: surplus: no such key"),
        ('[approver]\ntype = "always"\nverbose = true', "quorate.toml:3: approver.verbose: no such key"),
        ("[peer]\nport = 70000", "quorate.toml:2: peer.port: "),
        ("[limits]\nsilence = -1", "quorate.toml:2: limits.silence: "),
        ("limits.silence = -1", "quorate.toml:1: limits.silence: "),
        (
            '[key]\nkey_file = "a"\npassphrase_file = "b"',
            "quorate.toml:1: key: set one of passphrase_file, key_file and kms_key_id",
        ),
        ("[peer\nport = 1", "quorate.toml: not TOML: "),
        (
            '[approver]\ntype = "all-off"',
            "quorate.toml:2: approver.type: there is no type of approver 'all-off'",
        ),
        (
            '[approver]\ntype = "all-of"',
            "quorate.toml:1: approver: types all-of, any-of, first-decisive and of",
        ),
        (
            '[key]\nkms_key_id = "alias/node"\nendpoint = "http://kms.example"',
            "quorate.toml:3: key.endpoint: not the https:// address of a KMS endpoint",
        ),
        (
            '[approver]\ntype = "policy"',
            "quorate.toml:1: approver: type 'policy' and a policy section go together",
        ),
        (
            '[approver]\ntype = "all-of"\nof = ["people"]',
            "quorate.toml:3: approver.of: there is no [approvers.people]",
        ),
        (
            '[approvers]\na = { type = "any-of", of = ["b"] }\nb = { type = "any-of", of = ["a"] }',
            "quorate.toml:2: approvers.a.of: b asks a again",
        ),
        (
            '[approvers.a]\ntype = "grpc"\n[approvers.a.grpc]\naddress = "far.example:1"\nplaintext = true',
            "quorate.toml:3: approvers.a.grpc: plaintext is only for loopback",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=r"quorate\.toml") as refused:
        parse(text, FILE)
    assert said in str(refused.value)


def test_a_credential_of_systemd_s_is_found_in_its_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[key]\npassphrase_file = "$CREDENTIALS_DIRECTORY/passphrase"'
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/quorate.service")
    assert parse(text, FILE).key.passphrase_file == Path("/run/credentials/quorate.service/passphrase")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(
        UsageError, match=r"quorate\.toml:2: key\.passphrase_file: \$CREDENTIALS_DIRECTORY is set"
    ):
        parse(text, FILE)


def test_every_mistake_is_named_at_once() -> None:
    with pytest.raises(UsageError) as refused:
        parse("[peer]\nprot = 1\n[client]\nprot = 2", FILE)
    assert len(str(refused.value).splitlines()) == 2


def test_a_mistake_in_the_environment_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_CLIENT__PORT", "many")
    with pytest.raises(UsageError, match=r"^QUORATE_CLIENT__PORT: client\.port: "):
        parse("", FILE)


def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_CLIENT__PROT", "1")
    with pytest.raises(UsageError, match=r"^QUORATE_CLIENT__PROT: client\.prot: no such key"):
        parse("", FILE)


def test_relative_files_start_from_the_home() -> None:
    settings = parse('[key]\nkey_file = "node.key"', FILE)
    assert settings.key.key_file == FILE.parent / "node.key"


def test_a_home_without_a_node_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="quorate init"):
        load(tmp_path)


def test_the_home_is_the_option_or_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUORATE_HOME", str(tmp_path / "variable"))
    assert home_of(tmp_path / "option") == tmp_path / "option"
    assert home_of(None) == tmp_path / "variable"


def test_files_of_named_approvers_are_taken_from_the_home_too() -> None:
    settings = parse(
        '[approvers.rules]\ntype = "policy"\n[approvers.rules.policy]\nfile = "policy.toml"', FILE
    )
    options = settings.approvers["rules"].policy
    assert options is not None
    assert options.file == FILE.parent / "policy.toml"


def test_token_lists_are_taken_from_the_home_and_chains_by_their_number() -> None:
    settings = parse(
        '[tokens]\nfiles = ["a.json", "/b.json"]\n[chains.5]\nrpc = "https://five.example/key"', FILE
    )
    assert settings.tokens.files == (Path("/home/node/a.json"), Path("/b.json"))
    assert settings.chains[5].rpc == "https://five.example/key"
    assert "key" not in repr(settings.chains)


@pytest.mark.parametrize("url", ["http://five.example", "five.example", "ws://five.example"])
def test_a_chain_s_endpoint_is_https_and_a_mistake_is_named_without_it(url: str) -> None:
    with pytest.raises(UsageError, match=r"quorate\.toml:2: chains\.5\.rpc: .*https") as refused:
        parse(f'[chains.5]\nrpc = "{url}"', FILE)
    assert "five.example" not in str(refused.value)
