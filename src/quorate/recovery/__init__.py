"""Backups of shares, and what is made of enough of them when the nodes are gone. Works offline, on files alone."""
