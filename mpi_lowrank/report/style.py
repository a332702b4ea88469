"""How all figures look: sized for a paper's columns, with lines that differ without colour too."""

from typing import Any, NamedTuple

TWO_COLUMNS = 7.16  # inches, the text width of most two-column papers
PANEL_HEIGHT = 2.35  # inches

RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.visible": False,
    "ytick.minor.visible": False,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.6,
    "hatch.linewidth": 0.5,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # text stays text: journals refuse Type 3 fonts
    "svg.hashsalt": "mpi-lowrank",  # the same figure is the same file
}
LABEL_SIZE = 7
LABEL_STEP = 0.135  # inches from one label to the next
SAMPLE = 0.42  # inches of a label's gutter that its line's sample and margins take
NOTE_SIZE = 6.5
NOTE_STEP = 0.125  # inches


class Line(NamedTuple):
    """What draws one case; `keywords` are Matplotlib's."""

    color: str
    linestyle: Any
    marker: str

    def keywords(self) -> dict[str, Any]:
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker}


# Okabe and Ito's palette for colour-blind readers, with a dark grey in place of the yellow that
# paper swallows; a grey as light as the green is the green to one reader in fifty.
COLORS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BASELINE = Line("black", "-", "")

WHOLE = "everything whole"
"""The family of what sends gradients as they are."""

FAMILIES = {
    "two factors": "#D55E00",
    "factors of signs and zeros": "#000000",
    "several factors": "#663300",
    "factors, Allreduced": "#666666",
    "some coordinates": "#0072B2",
    "a few bits of each": "#009E73",
    WHOLE: "#CC79A7",
}
"""A compressor's colour by its family; other families get OTHER."""
OTHER = "#56B4E9"


def line(number: int) -> Line:
    """The `number`-th line; colour and marker repeat after 7, with the dashes after 28."""
    color, dashes = COLORS[number % len(COLORS)], DASHES[number % len(DASHES)]
    return Line(color, dashes, MARKERS[number % len(MARKERS)])


# Printed in grey, a phase differs from its neighbours by lightness or by a hatch.
PHASE_FILLS: dict[str, dict[str, Any]] = {
    "gradient": {"facecolor": "#0072B2", "hatch": ""},
    "compress": {"facecolor": "#F0E442", "hatch": ""},
    "exchange": {"facecolor": "#D55E00", "hatch": "////"},
    "decode": {"facecolor": "#A6D8F0", "hatch": ""},
    "update": {"facecolor": "#009E73", "hatch": "...."},
}
