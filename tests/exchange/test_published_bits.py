"""What papers count of methods that send several messages, or other ones than the case's C."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "methods"))

from quadratics import heterogeneous, make, run

from mpi_lowrank.registry import Choice

ROUNDS, D = 12, 12
WHOLE = 64 * D
EIGEN = {"hessian": Choice("eigen", {"wire": "float64"}), "mu": 0.1}


def published(name, spec, rounds=ROUNDS, **options):
    method = make(name, spec, 0.01, *heterogeneous(d=D), **options)
    run(method, rounds)
    return method.exchange


TOP, RAND = ("topk", {"k": 3}), ("randk", {"k": 3, "scale": "unbiased"})
KEPT = 64 * 3


@pytest.mark.parametrize(
    ("name", "spec", "options", "bits"),
    [
        ("GD", ("identity", {}), {}, ROUNDS * WHOLE),
        ("EF21", TOP, {}, ROUNDS * KEPT),
        ("EF21", TOP, {"g0": "compressed"}, ROUNDS * KEPT),
        ("EF21+", TOP, {}, ROUNDS * KEPT),
        ("EF21-BC", TOP, {"downlink": Choice("topk", {"k": 5})}, ROUNDS * KEPT),
        ("EF21-PAGE", TOP, {"batch": 1, "probability": 0.3}, ROUNDS * KEPT),
        ("ADEF", TOP, {}, (2 * ROUNDS - 1) * KEPT),
        ("MARINA", RAND, {"p": 1.0}, ROUNDS * WHOLE),
        ("MARINA", RAND, {"p": 1e-9}, WHOLE + (ROUNDS - 1) * KEPT),
        ("FedNL", ("identity", {}), EIGEN, ROUNDS * (WHOLE + WHOLE)),
        ("FedNL", ("identity", {}), EIGEN | {"correction": "shift"}, ROUNDS * (2 * WHOLE + 64)),
    ],
)
def test_every_message_counts_as_what_it_was_sent_through(name, spec, options, bits):
    assert published(name, spec, **options).published_bits == pytest.approx(bits)


def test_marina_s_whole_rounds_are_told_by_the_bytes():
    exchange = published("MARINA", RAND, rounds=60, p=0.3)
    message = exchange.uplink_bytes - 60 * WHOLE / 8
    kept = message / (3 * 8 + 2 - WHOLE / 8)  # rounds of three numbers, with indices of 4 bits
    assert 20 < kept < 60
    assert exchange.published_bits == pytest.approx(kept * KEPT + (60 - kept) * WHOLE)
