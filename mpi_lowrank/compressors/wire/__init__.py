"""How numbers and codes become the bytes of a message, and back."""
