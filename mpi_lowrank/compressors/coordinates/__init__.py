"""Compressors that send some coordinates."""
