-- What approved operations take of the limits of policies; docs/spec/store.md, ST-3.7.
CREATE TABLE reservations (
    operation TEXT PRIMARY KEY REFERENCES operations (id),
    effect    BLOB NOT NULL,          -- JSON
    at_ms     INTEGER NOT NULL
);
CREATE INDEX reservations_by_time ON reservations (at_ms);
