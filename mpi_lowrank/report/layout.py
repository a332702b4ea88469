"""Tables of rows: as text, Markdown or LaTeX."""

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mpi_lowrank.report.numbers import short
from mpi_lowrank.report.verdict import WIDTH, Row, mark, timing_note


class Column(NamedTuple):
    """What a table shows of each row."""

    header: str
    value: Callable[[Row], Any]
    show: Callable[[Any], str] = short
    timing: bool = False


class Table(NamedTuple):
    """Rows below a title; the first column, `named` so, has their labels. `notes` stand below."""

    title: str
    rows: list[Row]
    columns: Sequence[Column]
    named: str = "case"
    notes: Sequence[str] = ()

    def recorded(self) -> list[Column]:
        """The columns that have a number; the first one where no case began or none arrived."""
        found = [c for c in self.columns if any(c.value(row) is not None for row in self.rows)]
        return found or list(self.columns[:1])


def kilobytes(value: float | None) -> str:
    """Bytes as a table shows them, whose header has the unit."""
    return short(None if value is None else value / 1e3)


def scientific(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def whole(value: float | None) -> str:
    """A count, or a median of some."""
    return "-" if value is None else f"{value:.12g}"


def percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def text(value: object) -> str:
    return "-" if value is None else str(value)


def as_text(tables: list[Table]) -> str:
    """The tables at most WIDTH wide, with their notes."""
    parts = [part for table in tables for part in (_text_lines(table), table.notes)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _text_lines(table: Table) -> list[str]:
    rows, cells = table.rows, [_cells(column, table.rows) for column in table.recorded()]
    widths = [max(map(len, column)) for column in cells]
    wanted = max((len(row["label"] + mark(row)) for row in rows), default=0)
    gap = "  " if sum(widths) + 2 * len(widths) + wanted <= WIDTH else " "
    room = WIDTH - sum(widths) - len(gap) * len(widths)
    labels = _labels(table, min(max(wanted, len(table.named)), room))
    lines = [
        gap.join([label, *(cell.rjust(width) for cell, width in zip(line, widths, strict=True))])
        for label, line in zip(labels, zip(*cells, strict=True), strict=True)
    ]
    if len(set(labels[1:])) < len({row["label"] + mark(row) for row in rows}):
        width = len(labels[0])
        lines[1:] = [_below(row, line, width) for row, line in zip(rows, lines[1:], strict=True)]
    title = [table.title] if table.title else []
    return [*title, *_with_headings([line.rstrip() for line in lines], rows)]


def _cells(column: Column, rows: list[Row]) -> list[str]:
    """The header and what is shown of each row; "~" marks seconds that mean nothing."""
    return [column.header, *(cell(column, row) for row in rows)]


def cell(column: Column, row: Row) -> str:
    """What is shown of the row; "~" behind seconds that mean nothing."""
    value = column.value(row)
    doubt = column.timing and timing_note(row) and value is not None
    return column.show(value) + "~" * bool(doubt)


def _labels(table: Table, width: int) -> list[str]:
    shown = (_fit(row["label"], width - len(mark(row))) + mark(row) for row in table.rows)
    return [label.ljust(width) for label in (table.named, *shown)]


def _below(row: Row, line: str, width: int) -> str:
    """A row's line, the label that does not fit in so many characters whole above it."""
    label = row["label"] + mark(row)
    if len(label) <= width:
        return line
    return "\n".join([*textwrap.wrap(label, WIDTH), " " * width + line[width:]])


def _fit(label: str, width: int) -> str:
    """`label` with its middle left out if it is too long: both ends tell cases apart."""
    if len(label) <= width:
        return label
    head = (width - 1) // 2
    return label[:head] + "…" + label[len(label) - (width - 1 - head) :]


def _with_headings(lines: list[str], rows: list[Row]) -> list[str]:
    """The header line and the rows, with each record's name above its rows if there are several."""
    if len({row["record"] for row in rows}) < 2:
        return lines
    result, current = lines[:1], None
    for row, line in zip(rows, lines[1:], strict=True):
        if row["record"] != current:
            current = row["record"]
            result.append(f"-- {current}")
        result.append(line)
    return result


def as_markdown(tables: list[Table]) -> str:
    """The tables as GitHub and Pandoc read them."""
    parts = [part for table in tables for part in _markdown_parts(table)]
    return "\n\n".join("\n".join(part) for part in parts if part)


def _markdown_parts(table: Table) -> tuple[list[str], list[str], Sequence[str]]:
    """The title, the table and the notes."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in _grid(table)]
    head, *body = (f"| {line} |" for line in lines)
    rule = "|--|" + "--:|" * len(table.recorded())
    return table.title.splitlines(), [head, rule, *body], table.notes


def _grid(table: Table) -> list[list[str]]:
    """All cells, whole labels with their marks first; the record's name before it of several."""
    several = len({row["record"] for row in table.rows}) > 1
    names = [f"{row['record']}: " if several else "" for row in table.rows]
    labels = [name + row["label"] + mark(row) for name, row in zip(names, table.rows, strict=True)]
    cells = [_cells(column, table.rows) for column in table.recorded()]
    return [list(line) for line in zip([table.named, *labels], *cells, strict=True)]


def as_latex(tables: list[Table]) -> str:
    """Each table as a tabular that needs no package; titles and notes are comments."""
    return "\n\n".join("\n".join(_latex_lines(table)) for table in tables)


def _latex_lines(table: Table) -> list[str]:
    head, *body = (" & ".join(map(_escaped, line)) + r" \\" for line in _grid(table))
    told = [[f"% {line}" for line in lines] for lines in (table.title.splitlines(), table.notes)]
    begin = r"\begin{tabular}{l" + "r" * len(table.recorded()) + "}"
    rule = r"\hline"
    return [*told[0], begin, rule, head, rule, *body, rule, r"\end{tabular}", *told[1]]


SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "|": r"\textbar{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        **{sign: "\\" + sign for sign in "&%$#_{}"},
    }
)


def _escaped(cell: str) -> str:
    return cell.translate(SPECIAL)
