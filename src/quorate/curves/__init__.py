"""Algebra that reads like algebra: groups, points, scalars, polynomials."""
