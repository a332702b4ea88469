"""Where a record comes from: code, machines, data, constants."""

import json
from typing import Any

from mpi_lowrank.record import Record
from mpi_lowrank.report.numbers import finite
from mpi_lowrank.report.plain import plain


def show(record: Record) -> dict[str, Any]:
    """The record's attributes and each case's, with its rows and arrays, ready for JSON."""
    attributes = finite(record.attributes)
    attributes["versions"] = _parsed(attributes.get("versions"))
    cases = [
        {
            **finite(case.attributes),
            **{name: finite(array.tolist()) for name, array in case.arrays.items()},
            "rows": len(case),
        }
        for case in record.cases.values()
    ]
    return {"path": str(record.path), **attributes, "cases": cases}


def format_show(shown: dict[str, Any]) -> str:
    """`show`'s answer as lines: the record, its cases, and the configuration as it was written."""
    lines = _lines(plain(_without(shown, "config", "cases")))
    for case in shown["cases"]:
        lines += ["", plain(case["label"])]
        lines += ["  " + line for line in _lines(plain(_without(case, "label", "traceback")))]
        lines += ["  " + line for line in _quoted("traceback", case.get("traceback"))]
    config = _quoted("config", shown.get("config"))
    return "\n".join([*lines, "", *config] if config else lines)


def _quoted(title: str, text: object) -> list[str]:
    """The lines of `text` as they are, indented below a title; none if there is no text."""
    lines = str(text).expandtabs().splitlines() if text else []
    return [title, *("  " + plain(line) for line in lines)] if lines else []


def _lines(values: dict[str, Any]) -> list[str]:
    said = {name: _text(value) for name, value in values.items()}
    said = {name: text for name, text in said.items() if text}
    width = max(map(len, said), default=0)
    return [f"{name:<{width}}  {text}" for name, text in said.items()]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    if isinstance(value, list):
        return _list_text(value)
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _list_text(values: list) -> str:
    """Numbers by their range, texts each with how often it occurs: 64 hosts are often two."""
    if len(values) > 4 and all(isinstance(value, int | float) for value in values):
        return f"{_text(min(values))} to {_text(max(values))} ({len(values)})"
    texts = [_text(value) for value in values]
    counts = {text: texts.count(text) for text in texts}
    return ", ".join(f"{text} ({n}x)" if n > 1 else text for text, n in counts.items())


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}


def _parsed(versions: object) -> Any:
    """The dictionary that a JSON text of versions holds; any other value as it is."""
    try:
        return json.loads(versions) if isinstance(versions, str) else versions
    except (ValueError, RecursionError):
        return versions
