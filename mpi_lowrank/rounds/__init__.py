"""What rounds draw, and what they leave to the next ones."""
