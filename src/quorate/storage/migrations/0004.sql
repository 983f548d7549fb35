-- Clients have grants, each a role on some vaults or on all, and credentials, of which two may be good at once while
-- one takes the other's place.
CREATE TABLE callers (
    id          TEXT PRIMARY KEY,
    grants      TEXT NOT NULL,          -- JSON list of {"role", "vaults": ids and names; * means every vault}
    created_ms  INTEGER NOT NULL,
    revoked_ms  INTEGER
);
INSERT INTO callers (id, grants, created_ms, revoked_ms)
    SELECT id, '[{"role":"' || role || '","vaults":' || vaults || '}]', created_ms, revoked_ms FROM clients;

CREATE TABLE credentials (
    number       INTEGER PRIMARY KEY AUTOINCREMENT,
    client       TEXT NOT NULL REFERENCES callers (id) ON DELETE CASCADE,
    secret_hash  TEXT NOT NULL,         -- Argon2id, encoded with its parameters; empty for a certificate
    pin          BLOB UNIQUE,           -- SHA-256 of the certificate's SubjectPublicKeyInfo; null for a secret
    certificate  TEXT NOT NULL,         -- PEM; empty for a secret
    made_by      TEXT NOT NULL,         -- the idempotency key of the call that made it
    created_ms   INTEGER NOT NULL,
    until_ms     INTEGER                -- good until then; null while nothing is to take its place
);
CREATE INDEX credentials_by_client ON credentials (client, number);
INSERT INTO credentials (client, secret_hash, certificate, made_by, created_ms)
    SELECT id, secret_hash, '', '', created_ms FROM clients WHERE revoked_ms IS NULL;

DROP TABLE clients;
