-- Vaults that this node takes no part in until its peers have shown how they hold them, or a new sharing is made. The
-- last two columns: the sharing that this node signed since, which ends it once it lives.
CREATE TABLE quarantine (
    vault     TEXT PRIMARY KEY,
    cause     TEXT NOT NULL,          -- RESTORED, SET_BACK, SHARE_LOST
    since_ms  INTEGER NOT NULL,
    epoch     INTEGER,
    attempt   INTEGER
);

-- The latest start of each peer that it told us of, in its own signed words.
CREATE TABLE starts (
    device     TEXT PRIMARY KEY,
    counter    INTEGER NOT NULL,
    boot       BLOB NOT NULL,
    statement  BLOB NOT NULL
);

-- Attempts at an epoch that this node may have signed before its store was lost.
CREATE TABLE attempt_floors (
    vault    TEXT NOT NULL,
    epoch    INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    PRIMARY KEY (vault, epoch)
);

-- Records that this node once signed a head of and has lost, so that the same head is told of once.
CREATE TABLE lost_heads (
    sequence  INTEGER NOT NULL,
    hash      BLOB NOT NULL,
    PRIMARY KEY (sequence, hash)
) WITHOUT ROWID;

-- What vaults are called of which the journal has no operation.
CREATE TABLE vault_names (
    vault  TEXT PRIMARY KEY,
    name   TEXT NOT NULL
);
