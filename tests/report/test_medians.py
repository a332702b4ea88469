"""Cases that differ in their seed alone, together: the table's rows, and the figure of them."""

import json
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from mpi_lowrank.cli import main
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter
from mpi_lowrank.report import crossings, style
from mpi_lowrank.report.medians import format_medians, median_rows, together
from mpi_lowrank.report.table import COSTS

TARGET = "grad_norm_sq", 1e-3

# label, family, method, bytes of a message, rounds by which each of three starts gains a decade
GROUPS = [
    ("GD, Allreduced", "everything whole", "GD", 448, (10, 20, 40)),
    ("EF21 + sdd", "factors of signs and zeros", "EF21(g0=compressed)", 6, (5, 9, 7)),
    ("EF21 + PowerSGD", "factors, Allreduced", "EF21", 92, (30, 35, 1000)),
    ("DCGD + sdd", "factors of signs and zeros", "DCGD", 6, (1000, 2000, 3000)),
    ("EF21 + mine", "of my own", "EF21", 50, (30, 1000, 1000)),
]
ROUNDS = 200


@pytest.fixture
def record(tmp_path):
    given = {"name": "some", "config": "", "baseline": "GD, Allreduced seed=0"}
    writer = RecordWriter(tmp_path / "some.h5", given)
    for label, family, method, message, paces in GROUPS:
        for seed, pace in enumerate(paces):
            told = {"method": method, "family": family, "compressor": label, "seed": seed}
            writer.start_case(f"{label} seed={seed}", told)
            for t in range(ROUNDS + 1):
                grad = (1 + seed / 10) * 10 ** (-t / pace) * (2 if t % 2 else 1)
                row = {"round": t, "seconds": 0.1 * t, "grad_norm_sq": grad}
                writer.append(
                    row | {"uplink_bytes": message * t, "downlink_bytes": 3 * message * t}
                )
                if grad <= TARGET[1]:
                    break
            verdict = {"status": "finished", "valid": label != "EF21 + sdd" or seed != 1}
            verdict |= {"timing_valid": False, "timing_reasons": ["4 ranks on 2 cores"]}
            verdict["reasons"] = [] if verdict["valid"] else ["replicas of x differ"]
            writer.finish_case(verdict, np.zeros(0, LEDGER_DTYPE), np.zeros(0, PHASES_DTYPE))
    writer.close()
    return Record(tmp_path / "some.h5")


def taken(record, label):
    """The rounds that each start of a group took; infinite where it did not arrive."""
    found = []
    for seed in range(3):
        grad = record.cases[f"{label} seed={seed}"]["grad_norm_sq"]
        found.append(float(len(grad) - 1) if grad[-1] <= TARGET[1] else np.inf)
    return found


def test_a_row_is_the_median_over_starts_and_its_ends(record):
    rows = {row["label"]: row for row in median_rows([record], TARGET)}
    assert list(rows) == [label for label, *_ in GROUPS]
    for label, _, _, message, _ in GROUPS[:3]:
        rounds = taken(record, label)
        row, middle = rows[label], float(np.median(rounds))
        assert row["rounds"] == middle and row["starts"] == 3
        assert (
            row["uplink_bytes"] == middle * message and row["total_bytes"] == 4 * middle * message
        )
        assert row["uplink_bytes_least"] == min(rounds) * message
        assert row["arrived"] == np.isfinite(rounds).sum()
        of = np.median(taken(record, "GD, Allreduced")) * 448
        assert row["uplink_bytes_ratio"] == pytest.approx(middle * message / of)
    assert rows["EF21 + PowerSGD"]["uplink_bytes_most"] is None
    assert rows["GD, Allreduced"]["baseline"] and not rows["EF21 + sdd"]["baseline"]


def test_a_median_that_is_infinite_is_none_and_the_lowest_is_told(record):
    rows = {row["label"]: row for row in median_rows([record], TARGET)}
    for label in ("DCGD + sdd", "EF21 + mine"):
        assert [rows[label][cost] for cost in COSTS] == [None] * 4
    assert rows["EF21 + mine"]["arrived"] == 1
    lowest = [record.cases[f"DCGD + sdd seed={s}"]["grad_norm_sq"].min() for s in range(3)]
    assert rows["DCGD + sdd"]["lowest"] == np.median(lowest)
    assert json.loads(json.dumps(list(rows.values()), allow_nan=False)) == list(rows.values())


def start(reached):
    return {"targets": [{"reached": reached}]}


def test_a_start_that_never_arrives_counts_as_infinitely_much():
    costs = {"rounds": 3, "uplink_bytes": 30.0, "total_bytes": 60.0, "seconds": 1.0}
    one_short = together([start(costs), start(None), start(costs)])
    assert one_short["reached"] == costs and np.isinf(one_short["costs"]["rounds"]).sum() == 1
    two_short = together([start(costs), start(None), start(None)])
    assert two_short["reached"] is None


def test_the_table_says_how_many_arrived_and_which_are_not_valid(record):
    text = format_medians(median_rows([record], TARGET))
    assert "medians over 3 starts" in text and "base is GD, Allreduced" in text
    assert max(map(len, text.splitlines())) <= 100
    line = next(x for x in text.splitlines() if x.startswith("EF21 + sdd"))
    assert line.startswith("EF21 + sdd*") and " 3/3 " in line
    assert "seconds" not in text  # none are shown
    assert "* not valid: replicas of x differ (EF21 + sdd)" in text


def test_a_curve_is_what_so_many_bytes_have_reached(record):
    cases = [record.cases[f"EF21 + sdd seed={seed}"] for seed in range(3)]
    x, bands = crossings.curve(cases, crossings.COSTS[0], TARGET[1])
    for at, band in zip(x[::50], bands.T[::50], strict=True):
        least = [case["grad_norm_sq"][case["uplink_bytes"] <= 1e3 * at].min() for case in cases]
        np.testing.assert_allclose(band[1], max(np.median(least), TARGET[1]))
    assert (np.diff(bands, axis=1) <= 0).all() and (bands[0] <= bands[2]).all()
    assert x[-1] == max(case["uplink_bytes"][-1] for case in cases) / 1e3


def test_a_curve_ends_where_the_first_start_ends_that_has_not_arrived(record):
    cases = [record.cases[f"EF21 + mine seed={seed}"] for seed in range(3)]
    x, _ = crossings.curve(cases, crossings.COSTS[1], TARGET[1])
    assert x[-1] == pytest.approx(4 * 50 * ROUNDS / 1e3)


@pytest.fixture
def figure(record):
    return crossings.draw(crossings._lines([record], TARGET), TARGET[1])


def test_every_line_is_named_at_its_end_and_nothing_overlaps(figure, record):
    rows = {row["label"]: row for row in median_rows([record], TARGET)}
    for axes, cost in zip(figure.axes, ("uplink_bytes", "total_bytes"), strict=True):
        texts = {text.get_text(): text for text in axes.texts}
        assert len(texts) == len(GROUPS) + 1
        for label, row in rows.items():
            (told,) = [text for text in texts if text.startswith(label)]
            if row["arrived"] > 1:
                assert texts[told].xy[0] == pytest.approx(row[cost] / 1e3)
                assert texts[told].xy[1] < TARGET[1] and " KB" in told
            else:
                assert texts[told].xy[1] > 2 and "KB" not in told
        boxes = [text.get_window_extent() for text in axes.texts]
        assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
        frame = axes.get_window_extent()
        assert all(frame.x0 <= box.x0 and box.x1 < figure.bbox.x1 for box in boxes)
        lines = {tuple(line.get_xdata()): line for line in axes.lines if len(line.get_xdata()) > 2}
        for text, box in zip(axes.texts, boxes, strict=True):
            corners = axes.transData.inverted().transform(box.corners())[:, 1]
            assert corners.max() < TARGET[1] or corners.min() > 2, text
        assert len(lines) == len(GROUPS)
    assert any("* EF21 + sdd: not valid" in text.get_text() for text in figure.texts)


def test_colour_is_of_the_family_and_dashes_of_what_has_no_error_feedback(figure):
    drawn = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert len(drawn) == len(GROUPS)
    for line, (_, family, method, *_) in zip(drawn, GROUPS, strict=True):
        assert to_rgb(line.get_color()) == to_rgb(style.FAMILIES.get(family, style.OTHER))
        assert line.is_dashed() == (method == "DCGD")


def test_the_command_draws_one_figure_and_prints_one_row_a_group(record, tmp_path, capsys):
    target = ["--median", "grad_norm_sq=1e-3"]
    assert main(["plot", str(record.path), *target, "-o", str(tmp_path / "made")]) == 0
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == [
        "some_median.pdf",
        "some_median.png",
    ]
    capsys.readouterr()
    assert main(["table", str(record.path), *target, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(GROUPS)
    assert main(["table", str(record.path), "--median", "loss"]) == 2
    assert "--median loss: expected METRIC=NUMBER" in capsys.readouterr().err


def test_one_figure_may_show_chosen_lines(record, tmp_path, capsys):
    command = ["plot", str(record.path), "--median", "grad_norm_sq=1e-3", "--cases"]
    out = tmp_path / "made.svg"
    assert main([*command, "EF21 *", "-o", str(out)]) == 0
    drawn = out.read_text()
    assert [f"<!-- {label}" in drawn for label in GROUPS] == [g[:5] == "EF21 " for g in GROUPS]
    assert main([*command, "EF22 *", "-o", str(out)]) == 2
    assert "--cases EF22 *: none fits of" in capsys.readouterr().err


def test_the_figure_is_of_the_gradient_alone(record, tmp_path):
    with pytest.raises(UserError, match="shows grad_norm_sq alone"):
        crossings.plot_medians([record], ("loss", 1.0), tmp_path)


def one_case(folder, change):
    """The path of a record of two cases, of which one's rows go through `change`."""
    writer = RecordWriter(folder / "one.h5", {"name": "one", "config": "", "baseline": "a"})
    for label in "ab":
        given = {"method": "GD", "family": "everything whole", "compressor": label, "seed": 0}
        writer.start_case(label, given)
        for t in range(9):
            row = {"round": t, "grad_norm_sq": 0.5**t, "uplink_bytes": 8 * t, "downlink_bytes": 8}
            writer.append(row | {"seconds": t} if label == "a" else change(row | {"seconds": t}))
        writer.finish_case({}, np.zeros(0, LEDGER_DTYPE), np.zeros(0, PHASES_DTYPE))
    writer.close()
    return folder / "one.h5"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("target", ["0.1", "100"])  # the second one holds from the start
@pytest.mark.parametrize(
    "change",
    [
        lambda row: row | {"uplink_bytes": 0, "downlink_bytes": 0},
        lambda row: row | {"uplink_bytes": 1e-320, "downlink_bytes": np.nan},
        lambda row: row | {"grad_norm_sq": np.nan},
        lambda row: row | {"grad_norm_sq": -np.inf if row["round"] else 1.0},
        lambda row: row | {"grad_norm_sq": np.inf if row["round"] else 1.0},
    ],
)
def test_cases_that_sent_or_measured_nothing_are_no_line_and_no_error(tmp_path, change, target):
    path = one_case(tmp_path, change)
    assert main(["plot", str(path), "--median", f"grad_norm_sq={target}"]) == 0


def test_numbers_that_json_has_no_word_for_are_none(tmp_path, capsys):
    path = one_case(tmp_path, lambda row: row | {"uplink_bytes": np.nan, "grad_norm_sq": np.nan})
    for command in ["table", "--median", "grad_norm_sq=0.1"], ["table"], ["show"]:
        assert main([command[0], str(path), *command[1:], "--json"]) == 0
        assert "NaN" not in capsys.readouterr().out
