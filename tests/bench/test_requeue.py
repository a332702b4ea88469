"""What bench/requeue.py calls a success."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import requeue


@pytest.mark.parametrize(
    ("interrupted", "differences", "verdict", "told"),
    [
        (2, [], "all went on, equal to the bit", "0.3, 1.2"),
        (2, ["EF21: loss"], "FAILED", "time limit: EF21: loss"),
        (0, [], "FAILED", "time limit: the job ended before it came; take more --rounds"),
    ],
)
def test_a_record_that_differs_or_was_left_alone_is_no_success(
    capsys, interrupted, differences, verdict, told
):
    finding = requeue.Finding("time limit", interrupted, Path(), [0.3, 1.2], differences)
    assert requeue.good(finding) == (verdict != "FAILED")
    requeue.print_table([finding])
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == verdict and told in out
