"""Kernels in NumPy: what the compiled ones are held against."""
