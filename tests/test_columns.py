"""Every row of every recorded column but the seconds against a run in dense NumPy."""

import subprocess
import sys
from functools import cache
from itertools import islice

import numpy as np
import pytest
from dense_reference import Logistic, models

from mpi_lowrank.record import Record
from mpi_lowrank.record.schema import COLUMNS

ROUNDS, EVERY, SEED, K, MULTIPLE = 30, 4, 5, 5, 2
DENSE, KEPT = 8 * 112, 5 * 8 + 5  # bytes of a message in float64: five places of 7 bits fill five
SETTINGS = {
    "seven": {"workers": 7, "held_out": 0.15, "regularizer": "nonconvex"},
    "three": {"workers": 3, "held_out": 0.0, "regularizer": "l2"},
}
TOPOLOGY = {"seven": "allgather", "three": "server"}
TOPK = f'compressor = "topk:k={K},wire=float64"'
METHODS = {
    "GD": 'method = "GD"\ncompressor = "identity:wire=float64"',
    "DCGD": f'method = "DCGD"\n{TOPK}',
    "EF14": f'method = "EF14"\n{TOPK}',
    "EF21": f'method = "EF21"\n{TOPK}',
    "EF21 compressed": f'method = {{ name = "EF21", g0 = "compressed" }}\n{TOPK}',
}


def case(method, setting):
    given = SETTINGS[setting]
    return f"""
        [[cases]]
        label = "{method}, {setting}"
        {METHODS[method]}
        multiple = {MULTIPLE}
        workers = {given["workers"]}
        topology = "{TOPOLOGY[setting]}"
        data = {{ name = "mushrooms", test_fraction = {given["held_out"]} }}
        problem = {{ name = "logistic", regularizer = "{given["regularizer"]}", lambda = 0.2 }}
    """


@pytest.fixture(scope="module", params=[1, 2])
def cases(request, tmp_path_factory, mpirun):
    folder = tmp_path_factory.mktemp("columns")
    config, out = folder / "all.toml", folder / "all.h5"
    head = f"rounds = {ROUNDS}\nevaluate_every = {EVERY}\nseed = {SEED}\n"
    config.write_text(head + "".join(case(m, s) for m in METHODS for s in SETTINGS))
    command = [mpirun, "-n", str(request.param), sys.executable, "-m", "mpi_lowrank", "run"]
    subprocess.run([*command, str(config), "--out", str(out)], check=True, timeout=110)
    return Record(out).cases


@cache
def problem_of(setting):
    return Logistic(seed=SEED, strength=0.2, **SETTINGS[setting])


@cache
def smoothness_of(setting):
    return problem_of(setting).smoothness()


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("method", METHODS)
def test_all_that_is_recorded_is_what_dense_numpy_makes_of_it(cases, method, setting):
    case = cases[f"{method}, {setting}"]
    assert case.attributes["valid"], case.attributes["reasons"]
    step, expected = in_dense_numpy(method, setting)
    assert case.attributes["stepsize"] == pytest.approx(step, rel=1e-12)
    assert {*expected, "seconds"} == set(COLUMNS)
    for name, column in expected.items():
        np.testing.assert_allclose(case[name], column, rtol=1e-9, err_msg=name)
    assert case["seconds"][0] == 0 and (np.diff(case["seconds"]) > 0).all()


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_smoothness_is_that_of_the_dense_hessians(cases, setting):
    L, L_i = smoothness_of(setting)
    case = cases[f"GD, {setting}"]
    assert case.attributes["L"] == pytest.approx(L, rel=1e-12)
    assert case.attributes["L_tilde"] == pytest.approx(np.sqrt(np.mean(L_i**2)), rel=1e-12)
    np.testing.assert_allclose(case.arrays["L_i"], L_i, rtol=1e-12)


@cache
def in_dense_numpy(method, setting):
    """The stepsize, and every column."""
    problem, rounds = problem_of(setting), [*range(0, ROUNDS, EVERY), ROUNDS]
    step = MULTIPLE * theory(method, *smoothness_of(setting))
    x0 = np.random.default_rng(SEED).standard_normal(112)
    name, first = method.split()[0], 112 if method == "EF21" else K
    walk = models(name, problem.gradients, x0, step, 112 if method == "GD" else K, first)
    walk = list(islice(walk, ROUNDS + 1))
    return step, measured(problem, [walk[t] for t in rounds]) | sent(method, setting, rounds)


def theory(method, L, L_i):
    """1 / L, or EF21's 1 / (L + L_tilde xi)."""
    alpha = 1 if method == "GD" else K / 112
    return 1 / (L + np.sqrt(np.mean(L_i**2)) * ((1 + np.sqrt(1 - alpha)) / alpha - 1))


def measured(problem, walk):
    return {
        "loss": [problem.loss(x) for x in walk],
        "grad_norm_sq": [problem.grad_norm_sq(x) for x in walk],
        "train_accuracy": [problem.accuracy(problem.train, x) for x in walk],
        "test_accuracy": [problem.accuracy(problem.test, x) for x in walk],
    }


def sent(method, setting, rounds):
    """What a mean worker has sent and received: the others' messages, or the server's mean."""
    rounds, message = np.array(rounds), DENSE if method == "GD" else KEPT
    uplink = message * rounds + (DENSE - message) * (rounds > 0) * (method == "EF21")
    gathered = (SETTINGS[setting]["workers"] - 1) * uplink
    return {
        "round": rounds,
        "uplink_bytes": uplink,
        "downlink_bytes": gathered if TOPOLOGY[setting] == "allgather" else DENSE * rounds,
        "published_bits": 64 * (112 if method == "GD" else K) * rounds,
    }
