-- The policies that the governing vault signed. Rows are added, above all before, and never changed or deleted.
CREATE TABLE policies (
    version      INTEGER PRIMARY KEY CHECK (version > 0),
    vault        TEXT NOT NULL,
    policy       BLOB NOT NULL,
    certificate  BLOB NOT NULL,         -- hash of the one that was live when it was signed
    signature    BLOB NOT NULL,
    signers      TEXT NOT NULL,         -- JSON: device ids, as far as this node saw who signed
    at_ms        INTEGER NOT NULL
);

-- Which of them is in force, sealed: a row that is taken away is missed.
CREATE TABLE policy_in_force (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    sealed       BLOB NOT NULL
);

-- Of which policy this node gave a share of a signature: of each version one.
CREATE TABLE policy_shares (
    version      INTEGER PRIMARY KEY,
    digest       BLOB NOT NULL
);
