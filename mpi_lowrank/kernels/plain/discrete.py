"""Factors of signs and zeros: left to the compressors, step by step for all workers."""

LONGEST = 0
"""Sides of matrices up to which `kronecker` and `semidiscrete` choose the factors."""
