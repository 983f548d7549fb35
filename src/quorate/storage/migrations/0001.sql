-- The first schema. Times are Unix milliseconds; ids and states are text; what is sealed says so.

CREATE TABLE node (
    id              INTEGER PRIMARY KEY CHECK (id = 1),
    device          TEXT NOT NULL,
    key_scheme      TEXT NOT NULL,
    key_parameters  TEXT NOT NULL,
    key_check       BLOB NOT NULL,      -- sealed; opens only under the right node key
    identity        BLOB NOT NULL,      -- sealed: Ed25519 seed, X25519 private key
    tls_key         BLOB NOT NULL,      -- sealed: PEM
    created_ms      INTEGER NOT NULL,
    boots           INTEGER NOT NULL DEFAULT 0,
    boot_id         BLOB NOT NULL DEFAULT x''
);

CREATE TABLE peers (
    device    TEXT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    pin       BLOB NOT NULL UNIQUE,
    rev       INTEGER NOT NULL,
    card      TEXT NOT NULL,
    added_ms  INTEGER NOT NULL
);

CREATE TABLE clients (
    id          TEXT PRIMARY KEY,
    secret_hash TEXT NOT NULL,          -- Argon2id, encoded with its parameters
    role        TEXT NOT NULL,
    vaults      TEXT NOT NULL,          -- JSON list of ids and names; * means every vault
    created_ms  INTEGER NOT NULL,
    revoked_ms  INTEGER
);

CREATE TABLE operations (
    id          TEXT PRIMARY KEY,
    digest      BLOB NOT NULL,
    kind        TEXT NOT NULL,
    vault       TEXT,
    proposer    TEXT NOT NULL,
    proposal    BLOB NOT NULL,
    state       TEXT NOT NULL,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    released    INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    culprits    TEXT NOT NULL,          -- JSON list
    result      BLOB NOT NULL,
    updated_ms  INTEGER NOT NULL
);
CREATE INDEX operations_by_age ON operations (created_ms);
CREATE INDEX operations_unfinished ON operations (created_ms)
    WHERE state IN ('PROPOSED', 'VOTING', 'APPROVED', 'RUNNING');

CREATE TABLE consumed_sessions (
    session    BLOB PRIMARY KEY,
    operation  TEXT NOT NULL REFERENCES operations (id),
    attempt    INTEGER NOT NULL,
    at_ms      INTEGER NOT NULL,
    UNIQUE (operation, attempt)
);

CREATE TABLE decisions (                -- every one is kept; the last one counts
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    operation    TEXT NOT NULL REFERENCES operations (id),
    digest       BLOB NOT NULL,
    verdict      TEXT NOT NULL,
    approver     TEXT NOT NULL,
    rule         TEXT NOT NULL,
    explanation  TEXT NOT NULL,
    at_ms        INTEGER NOT NULL
);
CREATE INDEX decisions_by_operation ON decisions (operation, number);

CREATE TABLE votes (
    operation  TEXT NOT NULL REFERENCES operations (id),
    voter      TEXT NOT NULL,
    vote       BLOB NOT NULL,
    PRIMARY KEY (operation, voter)
);

CREATE TABLE epochs (
    vault        TEXT NOT NULL,
    epoch        INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    record_hash  BLOB NOT NULL,
    record       BLOB NOT NULL,
    state        TEXT NOT NULL,
    operation    TEXT NOT NULL,
    certificate  BLOB NOT NULL,
    PRIMARY KEY (vault, epoch, attempt)
);
CREATE UNIQUE INDEX one_active_epoch ON epochs (vault) WHERE state = 'ACTIVE';

CREATE TABLE acknowledgements (
    vault            TEXT NOT NULL,
    epoch            INTEGER NOT NULL,
    attempt          INTEGER NOT NULL,
    device           TEXT NOT NULL,
    acknowledgement  BLOB NOT NULL,
    PRIMARY KEY (vault, epoch, attempt, device),
    FOREIGN KEY (vault, epoch, attempt) REFERENCES epochs (vault, epoch, attempt) ON DELETE CASCADE
);

CREATE TABLE shares (
    vault    TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    curve    TEXT NOT NULL,
    indices  TEXT NOT NULL,             -- JSON list
    sealed   BLOB NOT NULL,
    PRIMARY KEY (vault, epoch, attempt, curve),
    FOREIGN KEY (vault, epoch, attempt) REFERENCES epochs (vault, epoch, attempt) ON DELETE CASCADE
);
