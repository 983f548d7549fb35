"""Whole stores as a release left them: nodes that ran, frozen by ``freeze`` and never made again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from quorate.ceremony.ports import EpochState, SetupState
from quorate.identifiers import Curve
from quorate.native.memory import SecretBytes
from quorate.storage import KeyFile, KeySource, PassphraseFile, SqliteLedger
from quorate.storage.ledger import ROOM

STORES = Path(__file__).parent / "stores"
NAMES = ("alice", "bob", "carol")
CLIENT = "treasury"
TOLD = "told.json"
WITH_SHARES = (EpochState.PENDING, EpochState.SIGNED, EpochState.ACTIVE, EpochState.RETIRED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """Homes by name, and what they held: ``described`` of each node, as JSON."""

    folder: Path
    at_ms: int
    secret: str  # of CLIENT on alice
    described: Mapping[str, Any]

    def open(self, name: str) -> SqliteLedger:
        """The store at the time it was frozen."""
        return SqliteLedger.open(
            self.folder / name / "store.db", keys(self.folder)[name], now_ms=lambda: self.at_ms
        )


def keys(folder: Path) -> dict[str, KeySource]:
    """Bob's store opens with a passphrase, the others' with key files."""
    files: dict[str, KeySource] = {name: KeyFile(folder / name / "key") for name in NAMES}
    return files | {"bob": PassphraseFile(folder / "bob" / "key")}


def thaw(schema: int, folder: Path) -> Frozen:
    """Copies, as whoever reads a store may change it."""
    kept = STORES / f"schema-{schema}"
    for name in NAMES:
        (folder / name).mkdir(mode=0o700)
        for file in ("store.db", "key"):
            copied = Path(shutil.copyfile(kept / name / file, folder / name / file))
            copied.chmod(0o600)
    told = json.loads((kept / TOLD).read_text())
    return Frozen(folder=folder, **told)


def described(ledger: SqliteLedger) -> dict[str, Any]:
    """Everything a store holds, read through its ports; of what is sealed, the hash."""
    ledger.check(room=min(ROOM, 1 << 20))
    return {
        "identity": [ledger.identity.device, ledger.identity.name, hashed(ledger.identity.secret())],
        "peers": {peer.name: [peer.device, peer.rev, peer.address, peer.card] for peer in ledger.peers().values()},
        "tls": [ledger.tls()[0], hashed(ledger.tls()[1])],
        "retiring": [[each.rev, each.certificate_pem, hashed(each.tls_key)] for each in ledger.retiring()],
        "authority": None if (held := ledger.client_authority()) is None else [held[0], hashed(held[1])],
        "clients": [
            [
                client.id, client.revoked_ms is None, len(client.credentials),
                [[grant.role, list(grant.vaults)] for grant in client.grants],
            ]
            for client in ledger.clients()
        ],
        "certified": [login.client.id for login in ledger.certified()],
        "operations": operations(ledger),
        "reservations": [[each.operation, each.effect.hex(), each.at_ms] for each in ledger.reservations(0)],
        "decided": [[each.number, each.row.operation, each.effect.hex()] for each in ledger.decided(0)],
        "epochs": epochs(ledger),
        "forks": {vault: [each.hex() for each in ledger.forks(vault)] for vault in vaults(ledger)},
        "policies": [
            [each.version, each.vault, each.policy.decode(), each.signature.hex()] for each in ledger.policies()
        ],
        "policy": None if (row := ledger.policy()) is None else row.version,
        "policy_shares": {str(version): digest.hex() for version, digest in ledger.policy_shares().items()},
        "kept_time": ledger.kept_time() is not None,
    }  # fmt: skip


def operations(ledger: SqliteLedger) -> list[Any]:
    return [
        [
            row.id, row.kind, row.vault, row.state, row.attempt, row.released, row.reason, digest(row.proposal),
            digest(row.result), row.expires_ms, row.ends_ms,
            {voter: digest(vote) for voter, vote in ledger.votes(row.id).items()},
            None if (made := ledger.decision(row.id)) is None else [made.decision.verdict.name, made.decision.rule],
            digest(ledger.decided_request(row.id)),
        ]
        for row in ledger.operations()
    ]  # fmt: skip


def epochs(ledger: SqliteLedger) -> list[Any]:
    found = []
    for row in ledger.epochs():
        place = (row.vault, row.epoch, row.attempt)
        shares, setups = [], []
        if row.state in WITH_SHARES:
            for curve in Curve:
                share = ledger.share(*place, curve)
                shares.append([curve, list(share.indices), hashed(share.secret)])
        for each in ledger.setups(*place):
            live = each.state is SetupState.LIVE and row.state is EpochState.ACTIVE
            secret = hashed(ledger.setup(*place, each.peer).secret) if live else ""
            setups.append([each.peer, each.generation, each.state, each.id.hex(), secret])
        proofs = [digest(each) for each in (row.record, row.certificate, row.trial)]
        acknowledged = {device: digest(said) for device, said in row.acknowledgements.items()}
        found.append(
            [
                *place,
                row.record_hash.hex(),
                row.state,
                row.operation,
                row.waived,
                proofs,
                acknowledged,
                shares,
                setups,
            ]
        )
    return found


def vaults(ledger: SqliteLedger) -> Sequence[Any]:
    return sorted({row.vault for row in ledger.epochs()})


def hashed(secret: SecretBytes) -> str:
    return digest(secret.reveal())


def digest(value: bytes) -> str:
    return sha256(value).hexdigest()[:16]
