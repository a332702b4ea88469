"""The uncertainty principle finds bits that nobody counted, and accuses nobody else."""

from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import pytest

from mpi_lowrank.certificate import certify, default_specs, maker
from mpi_lowrank.certificate.findings import Subject
from mpi_lowrank.certificate.information import declared_error, information, least_error
from mpi_lowrank.certificate.inputs import D
from mpi_lowrank.compressors.base import Compressor, Promise
from mpi_lowrank.compressors.coordinates.sparse import TopK
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.config.options import read_spec

DECLARED, MEASURED = "(1 - alpha) 4^(bits/d)", "error of Gaussian vectors"


class Whispers(Compressor):
    """Sends eight bytes, and whispers the numbers that go with them."""

    told: ClassVar[dict[bytes, np.ndarray]] = {}

    def promised(self):
        return Promise(nbytes=8, published_bits=64, omega=0.0, precision=np.dtype(np.float64))

    def encode(self, x, messages, generators):
        for message, row in zip(messages, x, strict=True):
            message[:] = np.frombuffer(hash(row.tobytes()).to_bytes(8, "little", signed=True), "u1")
            self.told[message.tobytes()] = row.copy()

    def decode(self, messages, out):
        for message, row in zip(messages, out, strict=True):
            try:
                row[:] = self.told[message.tobytes()]
            except KeyError as error:
                raise MessageError("a message that nobody sent") from error


class Boasts(TopK):
    """Top-8 with an alpha that 39 bytes cannot have."""

    def promised(self):
        return replace(super().promised(), alpha=0.99)


def broken(kind, **options):
    make = partial(kind, dtype=np.dtype(float), **options)
    findings = certify("wrong", lambda block, workers: make(block, workers=workers))
    return {finding.promise.split(" at ")[0] for finding in findings if not finding.passed}


def test_numbers_that_are_handed_over_beside_the_message_are_found_by_nothing_else():
    assert broken(Whispers) == {DECLARED, MEASURED}


def test_a_constant_that_so_many_bits_cannot_have_is_refused_without_a_measurement():
    assert {"1 - alpha", DECLARED} == broken(Boasts, k=8) - {"attained"}


@pytest.mark.parametrize("spec", default_specs())
def test_nobody_is_below_the_least_error(spec):
    for finding in information(Subject(spec, partial(maker(read_spec(spec), spec), (D,), 4))):
        assert finding.passed, finding


@pytest.mark.parametrize(
    ("spec", "ratio"),
    [
        ("kronecker", 1.335),
        ("sdd", 1.69),
        ("scaled_sign", 5.89),
        ("ternary", 11.99),
        ("natural", 2.9e4),
    ],
)
def test_how_far_the_declared_constants_are_from_it(spec, ratio):
    declared, _ = information(Subject(spec, partial(maker(read_spec(spec), spec), (D,), 4)))
    assert declared.promise == DECLARED and declared.measured == pytest.approx(ratio, rel=0.01)


def test_the_least_error_is_that_of_the_best_set_of_points():
    """One bit of one number: points at +-1/2, of a uniform number in [-1, 1], err by 1/4 of it."""
    x = np.linspace(-1, 1, 100001)
    assert ((abs(x) - 1 / 2) ** 2).mean() / (x**2).mean() == pytest.approx(least_error(1), rel=1e-3)


def test_an_unbiased_compressor_is_judged_by_its_best_multiple():
    unbiased = maker(read_spec("randk:k=28,scale=unbiased"), "")((D,), 1)
    assert declared_error(unbiased) == pytest.approx(3 / 4)
    assert declared_error(maker(read_spec("natural"), "")((D,), 1)) == pytest.approx(1 / 9)
