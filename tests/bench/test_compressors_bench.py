"""bench/compressors.py: every compressor is in it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank.compressors import compressors

FOLDER = Path(__file__).parents[2] / "bench"


def output(*command):
    script, *options = command
    done = subprocess.run(
        [sys.executable, FOLDER / script, *options], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(rows):
    return {row["spec"].partition(":")[0].partition("+")[0].partition(" ")[0] for row in rows}


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    return tmp_path_factory.mktemp("picture") / "compressors.png"


@pytest.fixture(scope="module")
def points(picture):
    """All points on the mushrooms' differences."""
    options = ("--kind", "mushrooms", "--json", "--plot", picture)
    return json.loads(output("compressors.py", *options))


def test_every_compressor_is_on_the_map(points):
    assert names(points) >= set(compressors.names())


def test_the_map_is_drawn(points, picture):
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


def test_top_k_keeps_the_better_the_more_it_keeps(points):
    kept = [p for p in points if p["name"] == "topk"]
    errors = [p["error"] for p in sorted(kept, key=lambda p: p["bits"])]
    assert len(errors) > 4
    assert np.all(np.diff(errors) < 0)


def test_no_contraction_adds_to_the_error(points):
    assert max(p["error"] for p in points) < 1.02  # of an expectation, a few draws of it


def test_bits_are_those_of_the_messages(points):
    (sign,) = (p for p in points if p["name"] == "scaled_sign")
    assert sign["bits"] == 8 * (4 + 14) / 112
    elias = [p for p in points if "elias" in p["spec"]]
    assert len({p["bits"] for p in elias}) == len(elias)  # measured, not the longest
