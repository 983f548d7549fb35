"""Transactions of chains, built and hashed by the node itself. Pure."""
