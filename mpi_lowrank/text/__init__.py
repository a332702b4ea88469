"""How names and values are written. Imports nothing of this package."""
