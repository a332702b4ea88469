"""What a configuration may leave out of a problem: the values on which figures and papers rest."""

import pytest

from mpi_lowrank.problems import problems

DEFAULTS = {
    "logistic": {"regularizer": "nonconvex", "lambda_": 0.1},
    "least_squares": {"lambda_": 0.0},
    "softmax": {"lambda_": 1e-3},
    "mlp": {"hidden": 32, "biases": True, "lambda_": 1e-3},
    "autoencoder": {"code": 16},
    "matrix": {
        "shape": (256, 256),
        "spectrum": "geometric",
        "condition": 100.0,
        "bases": "common",
        "target_rank": None,
        "target_spectrum": "flat",
        "heterogeneity": 0.0,
        "heterogeneity_rank": 4,
    },
    "quadratic": {"dimension": 1000, "noise": 0.0, "lambda_": 1e-6},
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_defaults_of_every_problem(name):
    assert set(problems.names()) == set(DEFAULTS)
    assert vars(problems[name].filled({})) == DEFAULTS[name]
