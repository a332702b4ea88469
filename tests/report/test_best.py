"""Each method at its best step, from a record whose costs are known beforehand."""

import json

import numpy as np
import pytest

from mpi_lowrank.cli import main
from mpi_lowrank.errors import UserError
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter
from mpi_lowrank.report.best import best_rows, best_tables, step_of
from mpi_lowrank.report.layout import as_text
from mpi_lowrank.report.parameters import parameters
from mpi_lowrank.report.style import WHOLE

TARGET = "grad_norm_sq", 0.5
NEVER = 99

# method, topology, bytes of a message, and for each step the rounds that three seeds take
GRIDS = [
    ("GD", "allgather", 100, {"1/L": (9, 9, 9), "2/L": (4, 6, 8), "4/L": (2, NEVER, NEVER)}),
    ("EF21", "allgather", 10, {"1/L": (7, 8, 9), "2/L": (3, 20, 30), "8/L": (6, 7, NEVER)}),
    ("EF21", "server", 10, {"1/L": (50, 40, 30), "2/L": (60, 60, 60)}),
    ("DCGD", "allgather", 10, {"1/L": (NEVER,) * 3, "2/L": (5, NEVER, NEVER)}),
]


def options(method, topology, step, seed, workers):
    """A case's key as `run` writes it, in part."""
    data = {"name": "mushrooms", "order": "contiguous"}
    told = {"method": {"name": method, "g0": "dense"}, "data": data, "topology": topology}
    return told | {
        "workers": workers,
        "stepsize": step,
        "seed": seed,
        "rounds": 60 + seed,
        "code": {"numpy": "2"},
    }


def tables(method, message, seed):
    """Ledger and phases on two ranks: 60 rounds of seconds that depend on the seed."""
    ledger = np.zeros(2, LEDGER_DTYPE)
    ledger["op"], ledger["purpose"] = "Allreduce" if method == "GD" else "Allgatherv", "uplink"
    ledger["rank"], ledger["calls"], ledger["bytes"] = [0, 1], 60, 60 * 1000 * message
    phases = np.zeros(2, PHASES_DTYPE)
    for number, phase in enumerate(("gradient", "compress", "decode", "update"), start=1):
        phases[phase] = 60 * 1e-4 * number * (1 + seed) / message
    return ledger, phases


def written(path, settings=(4,), seeds=range(3), keys=True):
    """The record of GRIDS on each number of workers, which only multiplies the downlink."""
    root = {"name": "some", "config": "", "baseline": "4 GD allgather 1/L seed=0"}
    writer = RecordWriter(path, root)
    for workers in settings:
        for method, topology, message, steps in GRIDS:
            for step, seed in [(step, seed) for step in steps for seed in seeds]:
                given = {"method": method, "compressor": "c", "seed": seed, "workers": workers}
                if keys:
                    key = options(method, topology, step, seed, workers)
                    given["key"] = json.dumps(key)
                if method == "GD":
                    given |= {"family": WHOLE, "dtype": "float32"}
                given |= {"L": 2.0 + seed, "stepsize": float(step[0]) / (2.0 + seed)}
                writer.start_case(f"{workers} {method} {topology} {step} seed={seed}", given)
                for t in range(61):
                    row = {"round": t, "uplink_bytes": message * t, "seconds": t / 10}
                    row |= {"downlink_bytes": (workers - 1) * message * t}
                    row["grad_norm_sq"] = 0.5 if t >= steps[step][seed] else 1 + seed - t / 1000
                    writer.append(row)
                verdict = {"status": "finished", "valid": True, "reasons": []}
                writer.finish_case(verdict, *tables(method, message, seed))
    writer.close()
    return Record(path)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    return written(tmp_path_factory.mktemp("best") / "some.h5")


def expected(steps):
    """The step of least median rounds, its median, least and most."""
    told = {step: [np.inf if n == NEVER else n for n in took] for step, took in steps.items()}
    best = min(told, key=lambda step: np.median(told[step]))
    return best, np.median(told[best]), min(told[best]), max(told[best])


def test_the_step_of_least_median_stands_with_its_spread_and_its_ratio(record):
    rows = best_rows([record], TARGET, "uplink_bytes")
    names = ["GD + c", "EF21 + c topology=allgather", "EF21 + c topology=server", "DCGD + c"]
    assert [row["name"] for row in rows] == names
    _, gd, *_ = expected(GRIDS[0][3])
    for row, (_, _, message, steps) in zip(rows[:3], GRIDS, strict=False):
        step, middle, least, most = expected(steps)
        assert (row["stepsize"], row["rounds"]) == (step, middle)
        assert row["arrived"] == sum(rounds != NEVER for rounds in steps[step])
        assert (
            row["uplink_bytes"] == message * middle and row["total_bytes"] == 4 * message * middle
        )
        ends = row["uplink_bytes_least"], row["uplink_bytes_most"] or np.inf
        assert ends == (message * least, message * most)
        assert row["uplink_bytes_ratio"] == pytest.approx(message * middle / (100 * gd))
        assert row["seconds"] == pytest.approx(middle / 10)
    assert [row["baseline"] for row in rows] == [True, False, False, False]
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_what_never_arrives_stands_at_the_step_from_which_most_seeds_do(record):
    dcgd = best_rows([record], TARGET, "rounds")[-1]
    assert (dcgd["stepsize"], dcgd["arrived"], dcgd["rounds"]) == ("2/L", 1, None)
    assert dcgd["rounds_least"] == 5 and dcgd["rounds_most"] is None
    nearest = best_rows([record], ("grad_norm_sq", 0.4))
    assert [row["arrived"] for row in nearest] == [0] * 4
    assert nearest[1]["lowest"] == 0.5 and nearest[3]["lowest"] == pytest.approx(1.94)


def test_any_method_can_be_the_baseline(record):
    rows = best_rows([record], TARGET, "rounds", "EF21 + c topology=server")
    assert [row["rounds_ratio"] for row in rows] == [6 / 40, 7 / 40, 1.0, None]
    with pytest.raises(UserError, match=r"--baseline EF22: allowed is GD \+ c, EF21 \+ c"):
        best_rows([record], TARGET, "rounds", "EF22")


def test_seeds_and_steps_may_lie_in_several_records(record, tmp_path):
    parts = [written(tmp_path / f"{seed}.h5", seeds=[seed]) for seed in range(3)]
    assert best_rows(parts, TARGET) == best_rows([record], TARGET)


def test_numbers_of_workers_are_apart_each_with_its_own_baseline(tmp_path):
    record = written(tmp_path / "some.h5", settings=(4, 8))
    rows = best_rows([record], TARGET, "total_bytes")
    assert [row["setting"]["workers"] for row in rows] == [4] * 4 + [8] * 4
    assert [row["total_bytes_ratio"] for row in rows[:4]] == [
        r["total_bytes_ratio"] for r in rows[4:]
    ]
    assert rows[5]["total_bytes"] == 2 * rows[1]["total_bytes"]
    text = as_text(best_tables(rows))
    assert text.count("workers 8") == 1 and text.count("base is GD + c") == 2


def test_a_record_without_keys_goes_by_its_attributes(tmp_path):
    record = written(tmp_path / "some.h5", keys=False)
    rows = best_rows([record], TARGET, "uplink_bytes")
    assert [row["name"] for row in rows] == ["GD + c", "EF21 + c", "DCGD + c"]
    assert [row["stepsize"] for row in rows] == ["2/L", "8/L", "2/L"]
    case = next(iter(record.cases.values()))
    for damaged in ("[1]", "{", "[" * 100_000, None):
        case.attributes["key"] = damaged
        assert parameters(case) == {} and step_of(case) == "1/L"


def test_a_case_s_options_have_the_names_of_a_configuration(record):
    told = parameters(record.cases["4 EF21 server 2/L seed=1"])
    assert told["method"] == "EF21" and told["method.g0"] == "dense"
    assert told["data.order"] == "contiguous" and told["seed"] == 1
    assert not [name for name in told if name.startswith("code")]


def test_the_command_prints_cheapest_first_and_fits(record, capsys):
    command = ["best", str(record.path), "--target", "grad_norm_sq=0.5"]
    assert main([*command, "--by", "uplink_bytes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert [line.split()[0] for line in lines[-4:]] == ["EF21", "EF21", "GD", "DCGD"]
    cells = ["8/L", "7", "0.0700", "0.280", "0.0600", "-", "0.117", "0.117", "2/3", "-"]
    assert lines[-4].split()[-10:] == cells
    cells = ["2/L", "-", "-", "-", "0.0500", "-", "-", "-", "1/3", "1.9e+00"]
    assert lines[-1].split()[-10:] == cells
    assert main([*command, "--json"]) == 0
    assert [row["stepsize"] for row in json.loads(capsys.readouterr().out)][:2] == ["8/L", "1/L"]
    assert main([*command[:-1], "speed=1"]) == 2
    assert "target 'speed': allowed is" in capsys.readouterr().err
