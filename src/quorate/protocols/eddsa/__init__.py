"""Ed25519: FROST (RFC 9591), weighted. docs/spec/ed25519.md."""
