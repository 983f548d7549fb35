"""Approval backends: who says yes before a node joins."""
