-- What this node did, as a chain of signed records, and the head of it. The first record is written when the store is
-- next opened, by whoever holds the device key.
CREATE TABLE audit (
    sequence   INTEGER PRIMARY KEY,
    body       BLOB NOT NULL,
    hash       BLOB NOT NULL,
    signature  BLOB NOT NULL
);
CREATE TABLE audit_head (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    sequence   INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    signature  BLOB NOT NULL
);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'audit records stay'); END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'audit records stay'); END;
-- Heads of peers' chains, as they signed them: the one that they last confirmed, and the highest.
CREATE TABLE peer_heads (
    device     TEXT PRIMARY KEY,
    confirmed  BLOB NOT NULL,
    highest    BLOB NOT NULL
) WITHOUT ROWID;
