"""Predictions against closed forms, of a record whose phases and calls are made up."""

import json
from math import inf

import numpy as np
import pytest

from mpi_lowrank.cli import main
from mpi_lowrank.door.network import Network
from mpi_lowrank.predict.model import measured, pays
from mpi_lowrank.predict.rows import Grid, predict, winners
from mpi_lowrank.record import LEDGER_DTYPE, PHASES_DTYPE, Record, RecordWriter

RANKS, WORKERS, ROUNDS, D = 2, 4, 10, 1000
LATENCY, BANDWIDTH = 1e-4, 1e6
WHOLE = "everything whole"


def case(op, bytes_per_call, calls, phases):
    """Ledger and phases of a case of ten rounds, per round and rank in `phases`."""
    ledger = np.zeros(RANKS * ROUNDS, LEDGER_DTYPE)
    ledger["rank"], ledger["round"] = np.divmod(np.arange(RANKS * ROUNDS), ROUNDS)
    ledger["op"], ledger["purpose"], ledger["calls"] = op, "uplink", calls
    ledger["bytes"] = bytes_per_call * calls
    other = ledger[:1].copy()
    other["purpose"], other["bytes"] = "evaluation", 10**9
    table = np.zeros(RANKS, PHASES_DTYPE)
    for name, seconds in phases.items():
        table[name] = ROUNDS * seconds
    return np.concatenate([ledger, other]), table


CASES = {
    "dense": (WHOLE, case("Allreduce", 4 * D, 1, {"gradient": 0.002, "exchange": 9.0})),
    # Two workers a rank: 120 bytes each a round, and half a rank's seconds.
    "topk": ("some coordinates", case("Allgatherv", 240, 1, {"gradient": 0.002, "compress": 0.004,
             "decode": 0.008, "update": 0.0005})),
    "low rank": ("factors, Allreduced", case("Allreduce", 80, 3, {"gradient": 0.002,
                 "decode": 0.001})),
}  # fmt: skip
FALLS = {"dense": 0.5, "topk": 0.6, "low rank": 0.7}


@pytest.fixture
def record(tmp_path):
    writer = RecordWriter(tmp_path / "some.h5", {"name": "some", "ranks": RANKS})
    for label, (family, tables) in CASES.items():
        about = {"workers": WORKERS, "family": family, "dtype": "float32", "method": label}
        writer.start_case(label, about)
        for number in range(ROUNDS + 1):
            bytes_sent = 10.0 * number
            row = {"round": number, "seconds": 0.1 * number, "loss": 1.0}
            row |= {"grad_norm_sq": FALLS[label] ** number, "uplink_bytes": bytes_sent}
            row |= {"train_accuracy": 0.5, "test_accuracy": 0.5}
            writer.append(row | {"downlink_bytes": 0.0, "published_bits": 0.0})
        writer.finish_case({"status": "finished", "valid": True, "reasons": []}, *tables)
    writer.close()
    return Record(tmp_path / "some.h5")


@pytest.mark.parametrize("ranks", [2, 8, 1024])
def test_the_time_of_a_round_is_its_closed_form(record, ranks):
    hops, network = np.log2(ranks), Network(BANDWIDTH, LATENCY)
    expected = {
        "dense": 0.001 + 2 * hops * LATENCY + 2 * (ranks - 1) / ranks * 4 * D / BANDWIDTH,
        "topk": (0.001 + 0.002 + 0.0005 + 0.002 * ranks)
        + (hops * LATENCY + (ranks - 1) * 120 / BANDWIDTH),
        "low rank": 0.001 + 0.001 + 6 * hops * LATENCY + 2 * (ranks - 1) / ranks * 240 / BANDWIDTH,
    }
    for label, seconds in expected.items():
        found = measured(record.cases[label]).seconds(network, ranks)
        assert found == pytest.approx(seconds, rel=1e-12), label


def test_at_the_break_even_bandwidth_both_take_the_same_time(record):
    dense, topk, low = (measured(record.cases[label]) for label in CASES)
    for one, rounds in ((topk, (1, 1)), (low, (1, 1)), (low, (3, 2))):
        low_end, even = pays(one, dense, rounds, LATENCY, 4)
        assert low_end == 0 and 0 < even < inf
        seconds = [
            times * model.seconds(Network(even, LATENCY), 4)
            for model, times in zip((one, dense), rounds, strict=True)
        ]
        assert seconds[0] == pytest.approx(seconds[1], rel=1e-12)
    assert pays(dense, low, (1, 1), LATENCY, 4) == pays(low, dense, (1, 1), LATENCY, 4)._replace(
        low=even_of(low, dense), high=inf
    )
    assert pays(low, low, (2, 1), LATENCY, 4) is None
    assert pays(low, low, (1, 2), LATENCY, 4) == (0, inf)
    assert pays(low, dense, (inf, 1), LATENCY, 4) is None


def even_of(one, other):
    return pays(one, other, (1, 1), LATENCY, 4).high


def test_the_winner_is_the_case_of_least_time_everywhere(record):
    grid = Grid.between((1e4, 1e11), LATENCY, (2, 64))
    best = winners(record, grid, ("grad_norm_sq", 0.1))
    rounds = [np.ceil(np.log(0.1) / np.log(fall)) for fall in FALLS.values()]
    models = [measured(record.cases[label]) for label in CASES]
    assert best.shape == (6, len(grid.bandwidths)) and len(np.unique(best)) == 3
    for at in np.ndindex(best.shape):
        network = Network(grid.bandwidths[at[1]], LATENCY)
        times = [
            n * model.seconds(network, grid.ranks[at[0]])
            for n, model in zip(rounds, models, strict=True)
        ]
        assert times[best[at]] == min(times)
    assert (winners(record, grid, ("grad_norm_sq", 1e-9)) == -1).all()


def test_the_command_prints_a_table_and_json_and_draws(record, tmp_path, capsys):
    command = ["predict", str(record.path), "--target", "grad_norm_sq=0.1"]
    figure = tmp_path / "map.png"
    assert main([*command, "--bandwidth", "1mbit..10gbit", "-o", str(figure)]) == 0
    text = capsys.readouterr().out
    assert figure.stat().st_size > 5000 and max(map(len, text.splitlines())) <= 100
    assert "on nothing beats dense float32 here" in text and "6 of over 200" in text
    assert main([*command, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    grid = Grid.between((1.25e6, 5e10), 50e-6, (2, 65536))
    assert rows == json.loads(json.dumps(predict(record, grid, 2, ("grad_norm_sq", 0.1))))
    assert rows[0]["pays"]["float32"] is None and rows[1]["pays"]["float32"][0] == 0
    for option, value in (("--ranks", "1"), ("--bandwidth", "1gb"), ("--ranks", "8..2")):
        assert main([*command, option, value]) == 2
        assert f"{option}" in capsys.readouterr().err
