"""Compressors that send the factors of a matrix or of a tensor."""
