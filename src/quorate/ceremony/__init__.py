"""From an operation to its consequences: votes, sessions, epochs. Declares the ports."""
