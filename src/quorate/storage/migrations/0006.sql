-- What the operation of a decision does, as JSON; empty for decisions made before this was kept.
ALTER TABLE decisions ADD COLUMN effect BLOB NOT NULL DEFAULT X'';
