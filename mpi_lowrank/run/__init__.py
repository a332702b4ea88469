"""A case carried out: from what it names to its last row."""
