"""Prints and exits; no logic."""
