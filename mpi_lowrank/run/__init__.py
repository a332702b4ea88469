"""Carrying out a case: from its configuration to its last row."""
