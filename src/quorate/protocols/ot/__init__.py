"""Oblivious transfer between two parties, and the multiplication of secrets that is made from it: docs/spec/ot.md."""
