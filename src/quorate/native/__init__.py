"""The C library behind typed handles: secret memory, scalars, group operations."""
