"""The figure of the bench `scaling`: speed-up and efficiency against ranks."""

import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mpi_lowrank.benchmarks.sheets.report import rows_of
from mpi_lowrank.benchmarks.sheets.sheet import Told, of_table
from mpi_lowrank.errors import UserError
from mpi_lowrank.record.bench import BenchRecord
from mpi_lowrank.report import style
from mpi_lowrank.report.figures import new_figure, save
from mpi_lowrank.report.plain import drawable, plain

SHOWN = {"strong": "speedup", "weak": "efficiency"}
LABELS = {"speedup": "speed-up", "efficiency": "efficiency"}
SHADE = "0.93"
HEADROOM = 1.2
CROWDED = "more ranks\nthan cores"


def plot_bench(record: BenchRecord, out: Path) -> list[Path]:
    """Draw it, to `out` as `report.figures.save` has it. UserError of any other bench."""
    bench = record.attributes.get("bench")
    if bench != "scaling":
        told = f"the bench {bench} has no figure; mpi-lowrank show prints its tables"
        raise UserError(f"{record.path}: {told}")
    with matplotlib.rc_context(style.RC):
        return save(draw(plain(rows_of(record))), out, f"{record.path.stem}_scaling")


def draw(rows: list[Told]) -> Figure:
    """A panel for each kind, a line for each case, and where ranks share cores a grey ground."""
    figure = new_figure(style.PANEL_HEIGHT + 0.3)
    panels = figure.subplots(1, len(SHOWN))
    names = list(dict.fromkeys(row["label"] for row in rows))
    for axes, (kind, key) in zip(panels, SHOWN.items(), strict=True):
        own = [row for row in of_table(rows, kind) if _drawable(row, key)]
        _panel(axes, own, key, names)
        axes.set_title(f"{kind} scaling", loc="left")
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=4, frameon=False)
    if notes := _notes(rows):
        figure.suptitle(notes, fontsize=style.NOTE_SIZE)
    return figure


def _drawable(row: Told, key: str) -> bool:
    """Whether a record, of whoever made it, has numbers there that axes can bear."""
    x, y = row.get("ranks", 0), row.get(key, np.nan)
    return 0 < x < 1e9 and 0 <= y < 1e9


def _notes(rows: list[Told]) -> str:
    """Why seconds are not valid where each rank has a core of its own."""
    alone = [row["timing_reasons"] for row in rows if "oversubscribed" not in row]
    found = sorted({drawable(note) for notes in alone for note in notes})
    return textwrap.fill(f"seconds not valid: {'; '.join(found)}", 140) if found else ""


def _panel(axes: Axes, rows: list[Told], key: str, names: list[str]) -> None:
    counts = sorted({row["ranks"] for row in rows})
    for number, name in enumerate(names):
        own = [row for row in rows if row["label"] == name]
        look = style.line(number).keywords()
        x, y = [row["ranks"] for row in own], [row[key] for row in own]
        axes.plot(x, y, label=drawable(name), **look)
    ideal = [count / counts[0] if key == "speedup" else 1.0 for count in counts]
    axes.plot(counts, ideal, color="0.5", linestyle=(0, (1, 2)), label="ideal")
    axes.set(
        xscale="log",
        xlabel="ranks",
        ylabel=LABELS[key],
        ylim=(0, HEADROOM * max([1.0, *(row[key] for row in rows), *ideal])),
    )
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    _shade(axes, rows)


def _shade(axes: Axes, rows: list[Told]) -> None:
    """From half way below the least crowded number of ranks on."""
    crowded = [row["ranks"] for row in rows if "oversubscribed" in row]
    if crowded:
        alone = [row["ranks"] for row in rows if row["ranks"] < min(crowded)]
        begin = (max(alone, default=min(crowded) / 2) * min(crowded)) ** 0.5
        left, right = axes.get_xlim()
        axes.axvspan(begin, right, color=SHADE, zorder=0)
        axes.set_xlim(left, right)
        place = axes.get_xaxis_transform()
        axes.text(begin * 1.03, 0.98, CROWDED, transform=place, va="top", fontsize=style.NOTE_SIZE)
