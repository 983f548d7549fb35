"""Hashes, commitments, proofs and one-shot secrets: functions, never coroutines."""
