"""A value as people write it."""


def spell(value: object) -> str:
    """A value as short text: 8x14 for a shape, 0.1 for a float."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
