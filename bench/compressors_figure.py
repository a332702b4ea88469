"""The figure of bench/compressors.py: error against bits per number, the frontier named."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from mpi_lowrank.benchmarks.families import FAMILIES
from mpi_lowrank.certificate.information import least_error
from mpi_lowrank.report.style import RC


@dataclass(frozen=True)
class Point:
    """One compressor on one kind of matrix."""

    kind: str
    family: str
    spec: str
    name: str
    """The specification without its options."""
    budget: str
    """The first of those that count: k=8."""
    bits: float
    error: float


def frontier(points: list[Point]) -> list[Point]:
    """Those than which none is better with as few bits, by increasing bits."""
    kept, least = [], 1.0
    for point in sorted(points, key=lambda p: (p.bits, p.error)):
        if point.error < least:
            kept.append(point)
            least = point.error
    return kept


NAMED = 0.1
"""The share by which a member's error is below the last named one's, to be named in the figure."""


def named_members(line: list[Point]) -> list[list[Point]]:
    """The frontier's members that are named, those of one compressor together."""
    found: dict[str, list[Point]] = {}
    least = 1.0
    for point in line:
        if point.error <= (1 - NAMED) * least:
            least = point.error
            found.setdefault(point.name, []).append(point)
    return list(found.values())


MARKS = {
    "dense": ("P", "#000000"),
    "sparse": ("o", "#D55E00"),
    "rounded": ("s", "#56B4E9"),
    "low rank": ("^", "#009E73"),
    "low rank, coarse factors": ("D", "#CC79A7"),
}
FLOOR = 1e-4
"""Smaller errors are not drawn."""


def plot(points: list[Point], path: Path) -> None:
    """A panel per kind: error against bits per number, the frontier as a line."""
    with rc_context(RC):
        figure = Figure(figsize=(7.16, 6.2), dpi=200)
        names = list(dict.fromkeys(point.kind for point in points))
        panels = figure.subplots(-(-len(names) // 2), 2, sharex=True, sharey=True, squeeze=False)
        for axes, kind in zip(panels.flat, names, strict=False):
            _panel(axes, kind, [p for p in points if p.kind == kind and p.error >= FLOOR])
        for axes in panels[:, 0]:
            axes.set_ylabel("relative error  E|C(X) - X|² / |X|²")
        for axes in panels[-1]:
            axes.set_xlabel("bits per number of X")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        tight = {"columnspacing": 1.1, "handletextpad": 0.3, "handlelength": 1.3}
        figure.legend(handles, labels, loc="upper center", ncols=7, frameon=False, **tight)
        figure.subplots_adjust(0.08, 0.07, 0.99, 0.92, wspace=0.06, hspace=0.16)
        for axes, kind in zip(panels.flat, names, strict=False):
            _name_frontier(axes, [p for p in points if p.kind == kind and p.error >= FLOOR])
        figure.savefig(path, dpi="figure")


def _panel(axes, kind, points):
    axes.set(xscale="log", yscale="log", xlim=(0.006, 40), ylim=(FLOOR / 2, 1.3), title=kind)
    for name in FAMILIES:
        marker, colour = MARKS[name]
        mine = [p for p in points if p.family == name]
        at = [p.bits for p in mine], [min(p.error, 1.25) for p in mine]
        axes.plot(
            *at, marker, color=colour, label=name, ms=2.6, mew=0.3, mec="0.25", alpha=0.75, zorder=2
        )
    line = frontier(points)
    at = [p.bits for p in line], [p.error for p in line]
    axes.plot(*at, "-", color="black", lw=1.0, label="frontier", zorder=3)
    if kind.startswith("Gaussian"):
        bits = np.geomspace(0.006, -np.log2(FLOOR) / 2, 100)
        axes.plot(bits, least_error(bits), ":", color="0.35", lw=1.0, label="least possible")


def _name_frontier(axes, points):
    """Each compressor's name below the frontier, where nothing is, and a thin line to it."""
    line = frontier(points)
    curve = axes.transData.transform([(p.bits, p.error) for p in line])
    named = [(own, _written(axes, _name(own))) for own in named_members(line)]
    sized = [
        (axes.transData.transform([(p.bits, p.error) for p in own]), text.get_window_extent().size)
        for own, text in named
    ]
    for (own, text), found in zip(named, _arrange(axes.bbox, sized, curve), strict=True):
        if found is None:
            print(f"no room in the figure for {_name(own)}")
            text.remove()
            continue
        corner, leader = found
        text.set_position(corner)
        ends = axes.transData.inverted().transform(leader[[0, -1]])
        axes.plot(*ends.T, color="0.5", lw=0.4, zorder=1.5)


def _written(axes, name):
    style = {"xycoords": "figure pixels", "fontsize": 6, "va": "bottom", "ha": "left"}
    return axes.annotate(name, (0, 0), **style)


def _arrange(room, sized, curve):
    """A corner and a line for each (anchors, size), or None; in the order that leaves out least."""
    tried, rng, count = [], np.random.default_rng(0), len(sized)
    for attempt in range(8):
        order = np.arange(count)[:: 1 - 2 * attempt] if attempt < 2 else rng.permutation(count)
        found, boxes, leaders = [None] * len(sized), [], np.empty((0, 2))
        for number in order:
            anchors, size = sized[number]
            found[number] = _place(room, size, anchors, curve, boxes, leaders)
            if found[number]:
                corner, leader = found[number]
                boxes.append((corner - GAP, corner + size + GAP))
                leaders = np.concatenate([leaders, leader])
        lengths = [1e6 if f is None else np.ptp(f[1], axis=0).sum() for f in found]
        tried.append((sum(lengths), found))
        if attempt > 0 and None not in found:
            break
    return min(tried, key=lambda one: one[0])[1]


GAP = 5
"""Pixels between what is written and everything else."""


def _place(room, size, anchors, curve, boxes, leaders):
    """The free lower left corner nearest to any of the anchors, and the line from there to it."""
    low, high = room.min + 2 * GAP, room.max - size - 2 * GAP
    axes = (np.arange(a, b, 4.0) for a, b in zip(low, high, strict=True))
    places = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
    top_right = places + size + GAP
    # The frontier falls: what has its upper right corner below it lies below it.
    places = places[_below(top_right, curve)]
    near = np.stack([_gap(places, size, anchor) for anchor in anchors])
    for place in np.argsort(near.min(axis=0)):
        corner, anchor = places[place], anchors[near[:, place].argmin()]
        box = corner - GAP, corner + size + GAP
        if any((box[0] < other[1]).all() and (other[0] < box[1]).all() for other in boxes):
            continue
        start = np.clip(anchor, corner, corner + size)
        leader = start + np.linspace(0, 1, 60)[:, np.newaxis] * (anchor - start)
        if _inside(leaders, box) or any(_inside(leader, other) for other in boxes):
            continue
        if not _below(leader[:-6], curve).all() or _cross(leader[:-6], leaders):
            continue
        return corner, leader
    return None


def _below(points, curve):
    """Which points lie below the falling polyline, beyond its ends below its end's height."""
    return points[:, 1] < np.interp(points[:, 0], curve[:, 0], curve[:, 1])


def _inside(points, box):
    return bool(((points > box[0]) & (points < box[1])).all(axis=1).any())


def _cross(leader, leaders):
    """Whether some point of one is within three pixels of the others."""
    gaps = leader[:, np.newaxis] - leaders
    return bool(len(leaders) and (np.abs(gaps).max(axis=2) < 3).any())


def _gap(places, size, anchor):
    """How far each place's box is from the anchor."""
    return np.linalg.norm(np.clip(anchor, places, places + size) - anchor, axis=1)


def _name(members: list[Point]) -> str:
    """The compressor with its budget; of several the first and the last one's."""
    first, last = members[0].budget, members[-1].budget
    more = "" if first == last else f"...{last.partition('=')[2]}"
    return f"{members[0].name} {first}{more}".strip()
