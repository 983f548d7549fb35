-- Steady time, which the wall clock does not set: of the node when it last said so, and when each operation ends by it.
ALTER TABLE node ADD COLUMN steady_ms INTEGER;
ALTER TABLE node ADD COLUMN wall_ms INTEGER;
ALTER TABLE operations ADD COLUMN ends_ms INTEGER NOT NULL DEFAULT 0;
UPDATE operations SET ends_ms = expires_ms;
