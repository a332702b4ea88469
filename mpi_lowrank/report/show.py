"""Where a record comes from: code, machines, data, constants."""

import json
from typing import Any

from mpi_lowrank.record import Record
from mpi_lowrank.report.numbers import finite
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.verdict import WIDTH


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


MANY = 12
"""Beyond so many cases `show` summarises them."""


OF_ONE = ("label", "run_id", "key", "number", "traceback")
"""What has a case's own value always: a summary leaves it out."""


def format_show(shown: dict[str, Any], every: bool = False) -> str:
    """`show`'s answer as lines: the record, its cases, and the configuration as it was written.

    Of more than MANY cases, unless `every` one is asked for, what all have in common, what differs,
    and the labels of those that are not valid or did not finish.
    """
    lines = _lines(plain(_without(shown, "config", "cases")))
    if len(shown["cases"]) > MANY and not every:
        return "\n".join([*lines, "", *_summary(shown["cases"])])
    for case in shown["cases"]:
        lines += ["", plain(case["label"])]
        lines += ["  " + line for line in _lines(plain(_without(case, "label", "traceback")))]
        lines += ["  " + line for line in _quoted("traceback", case.get("traceback"))]
    config = _quoted("config", shown.get("config"))
    return "\n".join([*lines, "", *config] if config else lines)


def _summary(cases: list[dict[str, Any]]) -> list[str]:
    said = [{k: t for k, v in case.items() if (t := _text(v))} for case in plain(cases)]
    names = dict.fromkeys(name for case in said for name in case)
    common = {name: said[0].get(name) for name in names if _alike(said, name)}
    differing = {n: _values(cases, n) for n in names if n not in {*common, *OF_ONE}}
    bad = [c for c in plain(cases) if c.get("status") != "finished" or c.get("valid") is False]
    return [
        f"{len(cases)} cases, in common",
        *("  " + line for line in _lines(common)),
        "",
        "differing",
        *("  " + _cut(line) for line in _lines(differing)),
        *(["", f"not finished or not valid: {len(bad)}"] if bad else []),
        *(_cut(f"  {case['label']}: {case.get('status')}") for case in bad[:MANY]),
        "",
        "--all shows every case and the configuration",
    ]


def _alike(said: list[dict[str, str]], name: str) -> bool:
    return all(case.get(name) == said[0].get(name) for case in said)


def _values(cases: list[dict[str, Any]], name: str) -> str:
    """The values of the cases: numbers by their range, texts with how often each occurs."""
    values = [case[name] for case in cases if case.get(name) is not None]
    texts = [_text(value) for value in values]
    if len(set(texts)) > 1 and all(type(value) in (int, float) for value in values):
        return _text(values)
    return _text(texts) if len(set(texts)) <= MANY else f"{len(set(texts))} different ones"


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 3] + "..."


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
