"""Compressors that send a few bits of each coordinate: its sign, its nearest level."""
