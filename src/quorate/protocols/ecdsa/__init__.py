"""secp256k1 ECDSA: three rounds for any quorum (Doerner, Kondi, Lee, shelat), weighted. docs/spec/ecdsa.md."""
