"""The bench `scaling`: parts of the ranks, the others asleep; its ratios and its figure."""

import numpy as np
import pytest

from mpi_lowrank import cli
from mpi_lowrank.errors import UserError
from mpi_lowrank.record.bench import BenchRecord, BenchWriter

OPTIONS = {"rounds": 2, "seconds": 0.0, "repeats": 1, "overwrite": False}


def run(comm, folder, monkeypatch, ranks, case='method = "GD"'):
    from mpi_lowrank.benchmarks import scaling, session

    monkeypatch.setattr(scaling, "CASES", {"GD": case})
    monkeypatch.setattr(scaling, "CONFIG", scaling.CONFIG.replace("[128, 128]", "[8, 8]"))
    options = OPTIONS | {"ranks": ranks, "out": str(folder / "some.h5")}
    session.run(comm, "scaling", scaling.SCALING, options, list)


@pytest.mark.mpi
def test_each_number_of_ranks_has_its_rows(comm, tmp_path, monkeypatch):
    run(comm, tmp_path, monkeypatch, None)
    if comm.rank:
        return
    rows = BenchRecord(tmp_path / "some.h5").rows
    counts = {1: [1], 2: [1, 2], 4: [1, 2, 4]}[comm.size]
    for kind, workers in (("strong", [16] * 3), ("weak", [8, 16, 32])):
        own = [row for row in rows if row["table"] == kind]
        assert [row["ranks"] for row in own] == counts
        assert [row["workers"] for row in own] == workers[: len(counts)]
        times = [row["p50_seconds"] for row in own]
        ratios = np.array(times[0]) / times
        if kind == "strong":
            assert [row["speedup"] for row in own] == pytest.approx(ratios)
            ratios /= counts
        assert [row["efficiency"] for row in own] == pytest.approx(ratios)
    from mpi_lowrank.comm import facts

    cores = len(facts.local_facts()["cores"])
    crowded = {row["ranks"]: row.get("oversubscribed") for row in rows}
    expected = {p: f"{p} on {cores} cores" if p > cores else None for p in counts}
    assert crowded == expected


@pytest.mark.mpi
def test_what_fails_on_some_ranks_wakes_the_others(comm, tmp_path, monkeypatch, capfd):
    from mpi_lowrank.comm.world import AgreedError

    with pytest.raises(AgreedError):
        run(comm, tmp_path, monkeypatch, [1], 'method = "gradient descend"')
    assert (comm.rank > 0) == (capfd.readouterr().err == "")
    with pytest.raises(AgreedError):
        run(comm, tmp_path, monkeypatch, [comm.size + 1])


@pytest.mark.mpi
def test_a_run_leaves_no_communicator_behind(comm, tmp_path):
    """MPICH has 2048 of them, and a bench runs hundreds of cases."""
    from mpi4py import MPI

    from mpi_lowrank.benchmarks.runs import run_case
    from mpi_lowrank.benchmarks.scaling import CASES, CONFIG

    made, freed = [], []
    key = MPI.Comm.Create_keyval(
        copy_fn=lambda comm, key, value: made.append(value) or value,
        delete_fn=lambda comm, key, value: freed.append(value),
    )
    comm.Set_attr(key, "a copy")
    run_case(comm, CONFIG.format(workers=4, rounds=1, case=CASES["GD"]), tmp_path)
    assert len(made) == len(freed) >= 3
    comm.Delete_attr(key)


ROOT = {
    **{"bench": "scaling", "ranks": 4, "cores": 2, "mpi_library": "MPICH 5", "kernels": "numpy"},
    **{"most_seconds": 2.0, "most_repeats": 9, "timing_valid": True, "timing_reasons": []},
}


@pytest.fixture
def path(tmp_path):
    """One rank in 8 ms, two in 5, four on two cores in 8."""
    rows = []
    for ranks, seconds in ((1, 8e-3), (2, 5e-3), (4, 8e-3)):
        told = {"label": "GD", "table": "strong", "ranks": ranks, "p50_seconds": seconds}
        told |= {"speedup": 8e-3 / seconds, "efficiency": 8e-3 / seconds / ranks}
        told |= {"oversubscribed": "4 on 2 cores" if ranks > 2 else None, "until": "interval"}
        rows.append((told, {"round": np.array([seconds])}))
    path = tmp_path / "scaling.h5"
    BenchWriter(path, overwrite=False).write(ROOT, rows)
    return path


def test_oversubscription_is_said_in_the_table(path, capsys):
    assert cli.main(["show", str(path)]) == 0
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 100
    rows = [line.split() for line in told.splitlines() if line.startswith("GD")]
    assert rows[1][:5] == ["GD", "2", "5.00", "1.60", "80"] and rows[1][-1] == "-"
    assert rows[2][:5] == ["GD", "4", "8.00~", "1.00~", "25~"]
    assert rows[2][-4:] == ["4", "on", "2", "cores"]
    assert "strong: at 2 ranks, each with a core of its own, best is GD with 80 %." in told
    assert "~ seconds not valid: more ranks than cores, 4 on 2 cores (1 of 3 rows)" in told


def test_oversubscription_is_said_on_the_figure(path):
    from mpi_lowrank.benchmarks.sheets.figure import draw
    from mpi_lowrank.benchmarks.sheets.report import rows_of

    strong, weak = draw(rows_of(BenchRecord(path))).axes
    line = next(line for line in strong.lines if line.get_label() == "GD")
    np.testing.assert_allclose(line.get_xydata(), [(1, 1), (2, 1.6), (4, 1)])
    assert [text.get_text() for text in strong.texts] == ["more ranks\nthan cores"]
    assert 2 < strong.patches[0].get_x() < 4 and not weak.texts
    assert (strong.get_xlabel(), strong.get_ylabel()) == ("ranks", "speed-up")


def test_it_is_drawn_by_plot_and_other_benches_are_not(path, tmp_path, capsys):
    assert cli.main(["plot", str(path), "-o", str(tmp_path / "some.png")]) == 0
    assert (tmp_path / "some.png").read_bytes().startswith(b"\x89PNG")
    other = tmp_path / "other.h5"
    BenchWriter(other, overwrite=False).write(ROOT | {"bench": "kernels"}, [])
    assert cli.main(["plot", str(other)]) == 2
    assert "the bench kernels has no figure; mpi-lowrank show" in capsys.readouterr().err
    with pytest.raises(UserError, match="has no rows"):
        cli.commands.show_bench(other, as_json=False)


def test_numbers_that_no_axis_can_bear_are_left_out(tmp_path):
    told = {"label": "GD", "table": "strong", "ranks": 1, "until": "interval"}
    rows = [({**told, "speedup": wrong}, {}) for wrong in (1.0, float("inf"), float("nan"))]
    rows += [({**told, "speedup": 1.0, "ranks": 0}, {}), (told, {})]
    path = tmp_path / "strange.h5"
    BenchWriter(path, overwrite=False).write(ROOT, rows)
    assert cli.main(["plot", str(path), "-o", str(tmp_path / "some.png")]) == 0
