-- Certificates that were refused because they contradict an epoch held here: evidence of who signed two.
CREATE TABLE forks (
    vault        TEXT NOT NULL,
    record_hash  BLOB NOT NULL,
    certificate  BLOB NOT NULL,
    PRIMARY KEY (vault, record_hash)
) WITHOUT ROWID;
