"""Figures of speed, in three tiers: native, protocol and node. See README.md here."""
