"""What tells lines and marks apart: to readers who lack a kind of cone, and in grey.

Colours are compared in CIELAB (D65), where a distance of 2.3 is just noticed. Protanopia and
deuteranopia are simulated by matrices for linear RGB, of severity 1: G. M. Machado, M. M. Oliveira,
L. A. F. Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE
Transactions on Visualization and Computer Graphics 15 (2009).
"""

from itertools import combinations, pairwise

import numpy as np
import pytest

from mpi_lowrank.report import style
from mpi_lowrank.report.figures import MOST
from mpi_lowrank.report.frontier import MARKERS

APART = 15.0
"""The least distance of two colours that name things."""

LIGHTER = 10.0
"""The least difference in L* that is seen between thin lines."""

VISION = {
    "three kinds of cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Of linear sRGB (IEC 61966-2-1)."""


def cielab(color, vision=VISION["three kinds of cones"]):
    coded = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    x = XYZ @ np.clip(vision @ linear, 0, 1) / (XYZ @ np.ones(3))
    f = np.where(x > (6 / 29) ** 3, np.cbrt(x), x / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_the_yardstick_measures_known_colours():
    for color, known in (
        ("#FFFFFF", (100, 0, 0)),
        ("#FF0000", (53.24, 80.09, 67.20)),
        ("#0000FF", (32.30, 79.19, -107.86)),
        ("#777777", (50.03, 0, 0)),
    ):
        np.testing.assert_allclose(cielab(color), known, atol=0.02)


@pytest.mark.parametrize("vision", VISION.values(), ids=VISION)
@pytest.mark.parametrize(
    "colors",
    [(*style.COLORS, "#000000"), (*style.FAMILIES.values(), style.OTHER)],
    ids=["lines", "families"],
)
def test_any_two_colours_are_told_apart(colors, vision):
    seen = {color: cielab(color, vision) for color in colors}
    distances = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a, b in combinations(seen, 2)}
    assert min(distances.values()) >= APART, min(distances, key=distances.get)


def test_in_grey_lines_differ_by_lightness_or_by_dashes_and_all_by_dashes_or_marker():
    for (i, one), (k, other) in combinations(enumerate(map(style.line, range(MOST))), 2):
        lighter = abs(cielab(one.color)[0] - cielab(other.color)[0]) >= LIGHTER
        shown = (one.linestyle != other.linestyle) + (one.marker != other.marker) + lighter
        assert shown >= 1 and (k - i > 1 or shown >= 2)


def test_in_grey_families_differ_by_their_marker_and_neighbouring_phases_by_lightness_or_hatch():
    assert len(set(MARKERS.values())) == len(MARKERS) == len(style.FAMILIES) - 1  # but WHOLE
    for one, other in pairwise(style.PHASE_FILLS.values()):
        lighter = abs(cielab(one["facecolor"])[0] - cielab(other["facecolor"])[0])
        assert lighter >= 2 * LIGHTER or one["hatch"] != other["hatch"]
