"""Rules that a node decides by itself: docs/spec/approval.md, Policies (PO)."""
