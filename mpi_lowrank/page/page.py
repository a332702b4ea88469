"""The page as a whole: its template, with what is static and what scripts make of the data."""

from base64 import b64encode
from hashlib import sha256
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template

from mpi_lowrank.errors import UserError
from mpi_lowrank.page import figure, network, parts
from mpi_lowrank.page.content import content, lines
from mpi_lowrank.page.stops import first_target
from mpi_lowrank.predict.model import Rounds, rounds_of
from mpi_lowrank.record import Record
from mpi_lowrank.report.best import (
    Step,
    all_steps,
    best_steps,
    best_tables,
    blocks_of,
    in_order,
    told_setting,
)
from mpi_lowrank.report.figures import stem_of
from mpi_lowrank.report.plain import plain
from mpi_lowrank.report.table import Target, record_names, table_rows, tables
from mpi_lowrank.report.verdict import Row, check_seconds

ASSETS = files("mpi_lowrank.page") / "assets"
FRONTIERS = 4
"""Settings whose frontier is drawn; scripts draw all in one."""
SCRIPTS = ("numbers", "best", "tables", "curves", "frontier", "network", "page")


def write_page(
    records: list[Record],
    output: Path | None = None,
    target: Target | None = None,
    by: str = "total_bytes",
    baseline: str | None = None,
) -> Path:
    """Write the page of the records; the default `output` is beside the first of them.

    Raises UserError as `page` does, and where the file cannot be written.
    """
    path = output or records[0].path.with_name(f"{stem_of(records)}.html")
    text = page(records, target, by, baseline)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def page(
    records: list[Record],
    target: Target | None = None,
    by: str = "total_bytes",
    baseline: str | None = None,
) -> str:
    """One self-contained HTML file: its numbers are those of `table_rows` and `best_rows`.

    The default target is the value at which most cases were to stop. Raises UserError as
    `best_steps` does, where no metric is recorded yet, and where `has_seconds` is false.
    """
    check_seconds(records)
    target = target or first_target(records)
    steps, best = all_steps(records, target), best_steps(records, target, by, baseline)
    named = [step.row["name"] for step in best if step.row["baseline"]]
    chosen = named[0] if named else baseline
    rounds = rounds_of([case for record in records for case in record.cases.values()])
    data = content(steps, target, by, chosen, rounds)
    scripts = [_asset("uplot.js"), _script()]
    told = _static(records, best, target, by) | {
        "policy": " ".join(f"'sha256-{_digest(script)}'" for script in scripts),
        "figure": figure.svg(_in_order(best, by), target, lines(steps, chosen)),
        "network": _networks(_in_order(best, by), rounds),
        "data": parts.script_json(data),
        "style": _asset("uplot.css") + _asset("page.css"),
        "plotter": scripts[0],
        "script": scripts[1],
    }
    return Template(_asset("page.html")).substitute(told)


def _static(records: list[Record], best: list[Step], target: Target, by: str) -> dict[str, str]:
    """What stands on the page as HTML."""
    rows = in_order([step.row for step in best], by)
    cases = table_rows(records, target)
    return {
        "title": escape(plain(", ".join(record_names(records)))),
        "verdict": escape(parts.verdict(plain(rows), by)),
        "best": parts.html_of(best_tables(rows, by)),
        "frontier": _frontiers(rows),
        "cases": parts.html_of(tables(cases)),
        "validity": parts.validity(cases),
        "phases": parts.phases(_in_order(best, by)),
        "certificates": parts.certificates(c for r in records for c in r.cases.values()),
        "provenance": parts.provenance(records),
        "configuration": parts.configurations(records),
        "licence": escape(_asset("uplot-licence.txt")),
    }


def _frontiers(rows: list[Row]) -> str:
    """The figure of each of the first settings."""
    blocks = blocks_of(rows)
    named = [told_setting(block[0]) if len(blocks) > 1 else "" for block in blocks]
    found = [figure.frontier_svg(block) for block in blocks[:FRONTIERS]]
    told = (
        f"<p class=caption>{escape(plain(name))}</p><div class=paper>{svg}</div>"
        for name, svg in zip(named, found, strict=False)
        if svg
    )
    return "\n".join(told) or "<p>No method arrives.</p>"


def _networks(best: list[Step], rounds: Rounds) -> str:
    """What is predicted for other networks, or why nothing is."""
    cases = [case for step in best for case in step.cases]
    if why := network.why_not(cases, rounds):
        return f"<p>{escape(plain(why))}</p>"
    blocks: dict[tuple, list[Step]] = {}
    for step in best:
        blocks.setdefault(tuple(step.row["setting"].values()), []).append(step)
    told = network.predictions(blocks.values(), cases, rounds)
    return Template(_asset("network.html")).substitute(predicted=told)


def _in_order(steps: list[Step], by: str) -> list[Step]:
    """The steps as `in_order` has their rows."""
    ordered: list[Row] = in_order([step.row for step in steps], by)
    place = {id(row): number for number, row in enumerate(ordered)}
    return sorted(steps, key=lambda step: place[id(step.row)])


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _script() -> str:
    """The page's own scripts as one, whose names are nobody else's."""
    texts = (_asset(f"{name}.js") for name in SCRIPTS)
    return '(() => {\n"use strict";\n' + "\n".join(texts) + "})();"


def _digest(script: str) -> str:
    """By which the page's policy knows its own scripts: no other runs."""
    return b64encode(sha256(script.encode()).digest()).decode()
