"""Rounding to levels: left to the compressors, pass by pass."""

AT_ONCE = False
"""Whether `powers`, `uniform` and `doubling` round in one pass, to the same codes."""
