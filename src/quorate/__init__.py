"""Quorate: a virtual signer. Weighted-threshold keys that never exist in one place."""
