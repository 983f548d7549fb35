"""Whole nodes on machines that fail under them."""
