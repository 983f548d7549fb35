-- What an approver was asked, as JSON; empty for decisions made before this was kept.
ALTER TABLE decisions ADD COLUMN request BLOB NOT NULL DEFAULT X'';
