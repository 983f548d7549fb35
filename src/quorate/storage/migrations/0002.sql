-- Pair set-ups, which ECDSA multiplies with. They come with the shares of a sharing and go with them.

CREATE TABLE setups (
    id          BLOB PRIMARY KEY,
    vault       TEXT NOT NULL,
    epoch       INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    peer        TEXT NOT NULL,
    generation  INTEGER NOT NULL,
    state       TEXT NOT NULL,
    sealed      BLOB NOT NULL,          -- empty once it is DEAD
    UNIQUE (vault, epoch, attempt, peer, generation),
    FOREIGN KEY (vault, epoch, attempt) REFERENCES epochs (vault, epoch, attempt) ON DELETE CASCADE
);
CREATE UNIQUE INDEX one_live_setup ON setups (vault, epoch, attempt, peer) WHERE state = 'LIVE';
