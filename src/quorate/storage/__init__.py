"""The durable side: one SQLite file, sealed shares, the operation journal."""
