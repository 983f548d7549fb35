"""What may be wrong with a node, looked at one by one, and what to do about it."""
