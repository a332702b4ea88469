"""One configuration on 1, 2 and 4 ranks: the same bits in every row."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from mpi_lowrank.certificate import default_specs
from mpi_lowrank.record import THEORY, Record

CONFIG = """
workers = 20
rounds = 12
evaluate_every = 6
seed = 3
data = { name = "mushrooms", order = "by_label", test_fraction = 0.15 }
dtype = ["float32", "float64"]
topology = ["allgather", "server"]

[[cases]]
method = "GD"

[[cases]]
method = ["DCGD", "EF14", { name = "EF21", g0 = "compressed" }]
compressor = [{ name = "topk", k = 2 }, { name = "svd", rank = 1 }]
multiple = 8

[[cases]]
method = { name = "EF21", g0 = "dense" }
compressor = [
    { name = "identity" },
    { name = "topk", k = 2 },
    { name = "topk", k = 20, wire = "float64" },
    { name = "randk", k = 5 },
    { name = "svd", rank = 1 },
    { name = "rsvd", rank = 2, oversampling = 2, power_iterations = 1, shape = [10, 12] },
]
multiple = 8

[[cases]]
method = ["EF14", "EF21"]
compressor = [
    { name = "dense" },
    { name = "powersgd", rank = 2 },
    { name = "alternating", rank = 2, shape = [10, 12] },
    { name = "sketch", kind = "rademacher" },
]
reduction = "ordered"
topology = "allgather"
stepsize = "0.5/L"

[[cases]]
method = { name = "EF21-PP", probability = 0.4 }
dtype = "float32"
compressor = { name = "topk", k = 2 }

[[cases]]
method = { name = "SGD", batch = 8 }
dtype = "float64"
stepsize = "0.5/L"

[[cases]]
method = [
    { name = "EF21-SGDM", batch = 8 },
    { name = "EF21-PAGE", batch = 8, probability = 0.5 },
]
dtype = "float64"
compressor = { name = "topk", k = 2 }
stepsize = "0.05/L"

[[cases]]
method = { name = "EF21-SGDM", batch = 4 }
compressor = { name = "sdd", rank = 2 }
step = { name = "muon", decay = 10 }
dtype = "float32"
data = { name = "digits", order = "by_label", test_fraction = 0.15 }
problem = { name = "mlp", hidden = [8, 8], biases = false }
stepsize = 0.05

[[cases]]
method = [
    { name = "SCAFCOM", local_steps = 2, batch = 4, probability = 0.5 },
    { name = "FedPAQ", local_steps = 2, batch = 4, probability = 0.5 },
]
dtype = "float32"
compressor = { name = "sdd", rank = 2 }
data = { name = "digits", order = "dirichlet", alpha = 0.1, test_fraction = 0.15 }
problem = "softmax"
stepsize = "0.5/L"

[[cases]]
method = { name = "Dion", batch = 8 }
dtype = "float32"
compressor = { name = "svd", rank = 2, shape = [10, 12] }
stepsize = "0.05/L"

[[cases]]
method = [
    { name = "FedNL", hessian = "symmetric_sdd", correction = "shift" },
    { name = "FedNL-LS", hessian = "eigen:rank=2", h0 = "exact" },
    { name = "FedNL-PP", hessian = "topk:k=112" },
    { name = "FedNL-BC", hessian = "eigen", downlink = "topk:k=20", probability = 0.5 },
]
problem = { name = "logistic", regularizer = "l2", lambda = 1e-3 }
topology = "server"

[[cases]]
method = { name = "EF21-BC", downlink = { name = "rsvd", rank = 1 } }
dtype = "float64"
compressor = { name = "topk", k = 2 }
topology = "server"

[[cases]]
method = { name = "EF21-BC", downlink = { compose = ["svd:rank=1,shape=7x16", "natural"] } }
compressor = "sparsify:k=4.0"
dtype = "float32"
topology = "server"
stepsize = "0.05/L"

[[cases]]
method = "DCGD"
compressor = { name = "randk", k = 9, scale = "unbiased" }
dtype = "float64"
stepsize = 0.01

[[cases]]
method = ["DIANA", "MARINA", "EF-BV"]
compressor = ["natural", "permk"]
dtype = "float32"

[[cases]]
method = ["EF21-W", "EControl", "EF21+", "CLAG", "ADEF"]
sync_every = 5
compressor = "topk:k=9"
dtype = "float32"
stepsize = "0.02/L"

[[cases]]
method = ["EF21+", "CLAG"]
compressor = "qsgd:levels=4,coding=elias"
dtype = "float32"
stepsize = "0.02/L"

[[cases]]
method = ["LAG", { name = "Scaffnew", p = 0.3 }]
sync_every = 5
stepsize = "0.5/L"

[[cases]]
method = ["ADIANA", "LoCoDL", "CompressedScaffnew"]
sync_every = 5
compressor = { name = "permk", copies = 3 }
problem = { name = "logistic", regularizer = "l2" }

[[cases]]
method = ["EF21", "EF21-PP"]
compressor = "shared_qsgd:levels=3"
topology = "allgather"
dtype = "float64"
stepsize = "0.02/L"

[[cases]]
method = { name = "EF21-SGDM", batch = 2 }
compressor = "topk:k=2"
problem = [{ name = "quadratic", dimension = 30, noise = 0.8 }, "least_squares"]
dtype = "float32"
stepsize = "0.05/L"

[[cases]]
method = { name = "EF21-SGDM", batch = 4 }
compressor = "svd:rank=1"
data = { name = "digits", order = "by_label" }
problem = { name = "autoencoder", code = 4 }
dtype = "float32"
stepsize = 1e-3

[[cases]]
method = "EF21"
compressor = ["topk:k=9", "powersgd:rank=2"]
topology = "allgather"
reduction = "ordered"
theory = true

[[cases]]
method = { name = "EF21-PP", probability = 0.3 }
compressor = "topk:k=9"
topology = "allgather"
theory = true

[[cases]]
method = "EF21"
compressor = SPECS
sync_every = 5
dtype = "float32"
topology = "allgather"
reduction = "ordered"
stepsize = "0.02/L"
"""
CONFIG = CONFIG.replace("SPECS", json.dumps(default_specs()))

pytestmark = pytest.mark.timeout(600)  # 267 cases, on more ranks than a small machine has cores

EXACT = [
    "loss",
    "grad_norm_sq",
    "train_accuracy",
    "test_accuracy",
    "uplink_bytes",
    "downlink_bytes",
]


@pytest.fixture(scope="session")
def records(tmp_path_factory, mpirun):
    folder = tmp_path_factory.mktemp("trajectory")
    config = folder / "all.toml"
    config.write_text(CONFIG)
    for ranks in (1, 2, 4):
        out = folder / f"{ranks}.h5"
        command = [mpirun, "-n", str(ranks), sys.executable, "-m", "mpi_lowrank", "run"]
        subprocess.run([*command, str(config), "--out", str(out)], check=True, timeout=250)
    return {ranks: Record(folder / f"{ranks}.h5") for ranks in (1, 2, 4)}


def test_the_trajectory_does_not_depend_on_the_number_of_ranks(records):
    swept = 2 * 2 * (1 + 3 * 2 + 6) + 2 * (2 * 4) + 2 * (1 + 1 + 2 + 1 + 2 + 1 + 1) + 2 * 4 + 2
    family = 2 * (3 * 2 + 5 + 2) + 2 * 2 * (2 + 3) + 2 * 4
    told = 2 * (2 + 1)
    assert len(records[1].cases) == swept + family + told + len(default_specs())
    for label, case in records[1].cases.items():
        assert len(case["loss"]) == 3
        for ranks in (2, 4):
            for column in {*EXACT, *THEORY} & case.columns().keys():
                np.testing.assert_array_equal(
                    records[ranks].cases[label][column], case[column], err_msg=f"{label} {column}"
                )


def test_both_topologies_walk_the_same_trajectory(records):
    cases = records[2].cases
    for label, case in cases.items():
        if "topology=server" in label and "-BC" not in label:
            other = cases[label.replace("topology=server", "topology=allgather")]
            for column in EXACT[:-1]:
                np.testing.assert_array_equal(case[column], other[column], err_msg=label)


def test_every_case_is_valid_and_says_so(records):
    for record in records.values():
        for label, case in record.cases.items():
            assert case.attributes["valid"], (label, case.attributes["reasons"])
            assert case.attributes["status"] == "finished"


def test_the_ledger_s_uplink_bytes_are_the_sum_of_the_messages(records):
    for record in records.values():
        with h5py.File(record.path) as file:  # once, for hundreds of ledgers
            ledgers = {label: file[case.group]["ledger"][:] for label, case in record.cases.items()}
        for label, case in record.cases.items():
            uplink = ledgers[label][ledgers[label]["purpose"] == b"uplink"]
            if "shared QSGD" in label:  # its maximum of all workers is one number a rank
                continue
            assert uplink["bytes"].sum() == round(20 * case["uplink_bytes"][-1]), label
            half = case["uplink_bytes"][1]
            assert uplink["bytes"][uplink["round"] < 6].sum() == round(20 * half)


def test_uplink_counts_messages_and_the_dense_start(records):
    cases = records[1].cases
    end = {label.split(" topology")[0]: case["uplink_bytes"][-1] for label, case in cases.items()}
    assert end["EF21(g0=dense) + Top-2 8x"] == 4 * 112 + 11 * 2 * (4 + 1)
    assert end["EF21(g0=compressed) + Top-2 8x"] == 12 * 2 * (4 + 1)
    assert end["EF21(g0=dense) + Top-20 (wire=float64) 8x"] == 8 * 112 + 11 * (20 * 8 + 18)
    assert end["EF14 + rank-1 SVD 8x"] == 12 * 4 * (8 + 14)
    assert end["GD 1x"] == 12 * 4 * 112


def test_downlink_is_the_other_messages_or_the_broadcast_mean(records):
    cases = records[1].cases
    one = {label: case["downlink_bytes"][1] / 6 for label, case in cases.items()}
    name = "EF14 + Top-2 8x topology={} dtype={}"
    assert one[name.format("allgather", "float64")] == 19 * 10
    assert one[name.format("server", "float64")] == 8 * 112
    assert one[name.format("server", "float32")] == 4 * 112


def test_published_bits_are_32_k_t(records):
    case = next(c for label, c in records[1].cases.items() if label.startswith("EF14 + Top-2"))
    np.testing.assert_array_equal(case["published_bits"], 32 * 2 * case["round"])


def test_ef21_with_a_shared_compressor_on_equal_shards_is_one_worker_with_all_the_data(
    tmp_path, mpirun
):
    config = tmp_path / "equal.toml"
    config.write_text("""
        rounds = 60
        workers = [1, 4]
        [[cases]]
        method = "EF21"
        compressor = [
            { name = "powersgd", rank = 2, wire = "float64" },
            { name = "sketch", rank = 2, wire = "float64" },
        ]
    """)
    out = tmp_path / "equal.h5"
    command = [sys.executable, "-m", "mpi_lowrank", "run", str(config), "--out", str(out)]
    subprocess.run(command, check=True, timeout=60)
    cases = Record(out).cases
    for label, case in cases.items():
        if label.endswith("workers=1"):
            other = cases[label.replace("workers=1", "workers=4")]
            np.testing.assert_allclose(case["loss"], other["loss"], rtol=1e-11)
            same = case.attributes["stepsize"] / other.attributes["stepsize"]
            assert abs(same - 1) < 1e-12
