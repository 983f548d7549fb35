-- Certificates of ours that peers may still expect, because they hold a card from before the change.
CREATE TABLE retiring_certificates (
    rev          INTEGER PRIMARY KEY,   -- of the last card that has it
    certificate  TEXT NOT NULL,
    tls_key      BLOB NOT NULL,         -- sealed: PEM
    until_ms     INTEGER NOT NULL
);

-- The authority that issues what the client port shows, so that this can change and credentials need not.
CREATE TABLE client_authority (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    certificate  TEXT NOT NULL,
    key          BLOB NOT NULL          -- sealed: PEM
);

-- Where this node reaches a peer, if its operator knows better than the card.
ALTER TABLE peers ADD COLUMN dial TEXT NOT NULL DEFAULT '';
