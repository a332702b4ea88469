"""Kernels for Numba. Only `family` imports them, where they pay."""
