"""What a record says, as it may be shown: a record can come from anybody."""

from typing import Any

from mpi_lowrank.text.names import printable


def plain(value: object) -> Any:
    """`value` with every text in it, also in lists and dictionaries, made printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    return value


def drawable(text: str) -> str:
    """`text` as Matplotlib draws it: printable, and a dollar begins no formula."""
    return printable(text).replace("$", r"\$")
