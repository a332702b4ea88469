"""Texts of a record made safe to show, because a record can come from anybody."""

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
    """`text` for Matplotlib: printable, and with dollars that begin no formula."""
    return printable(text).replace("$", r"\$")
