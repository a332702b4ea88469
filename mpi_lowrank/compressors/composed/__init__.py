"""Compressors made of others: one carries another's numbers, one has a part for each block."""
