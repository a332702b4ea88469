"""Compressors made of others: one that carries another's numbers, one for each block of a model."""
