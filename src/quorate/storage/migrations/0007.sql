-- What a change of roster needs to know of an epoch: its trial signatures, so that who leaves can check them, and
-- whether its operator goes on without the acknowledgements that are missing. And the sharing that an attempt was
-- begun under, by record hash; empty where it makes the first.
ALTER TABLE epochs ADD COLUMN trial BLOB NOT NULL DEFAULT X'';
ALTER TABLE epochs ADD COLUMN waived INTEGER NOT NULL DEFAULT 0;
ALTER TABLE consumed_sessions ADD COLUMN sharing BLOB NOT NULL DEFAULT X'';
