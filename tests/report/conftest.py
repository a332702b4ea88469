import numpy as np
import pytest

from mpi_lowrank.record import LEDGER_DTYPE, PHASES, PHASES_DTYPE, Record, RecordWriter

WORKERS = 20

# label, bytes of a message, fall of the squared gradient a round, the level where it stalls, rounds
CASES = [
    ("GD 4x", 896, 0.915, 0.0, 300),
    ("EF21 topk(k=2) 256x", 18, 0.957, 0.0, 600),
    ("EF21 topk(k=1) 256x", 9, 0.972, 0.0, 900),
    ("EF14 topk(k=2) 64x", 18, 0.95, 1e-3, 900),
    ("DCGD topk(k=2) 1x", 18, 0.99, 0.16, 900),
    ("EF21 rsvd(rank=1) 64x", 184, 0.945, 0.0, 450),
    ("EF14 rsvd(rank=1) 64x", 184, 0.94, 3e-4, 900),
    ("EF21 randk(k=2, contractive) 64x", 10, 0.9845, 0.0, 1500),
]
TIMING = ["4 ranks on 2 cores"]


def rows(message, fall, stall, rounds, diverges=False, dense_start=True):
    rng = np.random.default_rng(message + rounds)
    noise = np.exp(0.15 * rng.standard_normal(rounds + 1))
    for number in range(rounds + 1):
        signal = 30 * (1.3**number if diverges else fall**number) + stall
        uplink = message * number + 896 * dense_start
        yield {
            "round": number,
            "seconds": number * (4e-4 + 2e-7 * message),
            "loss": 0.12 + 0.05 * signal**0.6,
            "grad_norm_sq": signal * noise[number],
            "train_accuracy": 1 - 0.45 * min(1.0, signal / 30) ** 0.3,
            "test_accuracy": np.nan,
            "uplink_bytes": uplink * (number > 0 or dense_start),
            "downlink_bytes": (WORKERS - 1) * uplink,
            "published_bits": 32.0 * message / 9 * number,
        }


def phases(rounds, message):
    result = np.zeros(2, PHASES_DTYPE)
    result["rank"] = [0, 1]
    scale = [1.5e-4, 8e-5, 9e-5 + 1e-7 * message, 4e-5, 3e-5, 1e-4]
    for name, seconds in zip(PHASES, scale, strict=True):
        result[name] = rounds * seconds * np.array([0.95, 1.05])
    return result


@pytest.fixture
def make_record(tmp_path):
    """Write a record of `cases`; `notes` maps labels to attributes that replace the usual ones."""

    def make(stem="mushrooms", cases=CASES, notes=(), root=(), change=lambda row: row, **options):
        given = {
            "name": stem,
            "config": 'name = "mushrooms"\nworkers = 20\n',
            "command": "mpi-lowrank run bench/mushrooms.toml",
            "versions": '{"numpy": "2.3", "mpi4py": "4.1"}',
            "hosts": ["alpha", "alpha"],
            "ranks": 2,
            "baseline": "GD 4x",
            "timing_valid": True,
            "timing_reasons": [],
        }
        writer = RecordWriter(tmp_path / f"{stem}.h5", given | dict(root))
        for label, message, fall, stall, rounds in cases:
            writer.start_case(label, {"method": label.split()[0], "workers": WORKERS})
            for row in rows(message, fall, stall, rounds, **options):
                writer.append(change(row))
            state = {"status": "finished", "valid": True, "reasons": []}
            writer.finish_case(
                state | dict(dict(notes).get(label, {})),
                np.zeros(0, LEDGER_DTYPE),
                phases(rounds, message),
            )
        writer.close()
        return Record(tmp_path / f"{stem}.h5")

    return make
