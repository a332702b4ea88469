"""The uncertainty principle: the least error that so many bits allow.

A message of b bits stands for one of 2^b points, whatever the sender draws, and whatever both sides
draw in common. For x uniform in a ball of R^d and any 2^b points, the mean squared distance to the
nearest one is at least 4^(-b/d) times the mean |x|^2: cells of equal volume that are balls would
attain it. So no compressor, random or not, has E|C(x) - x|^2 <= (1 - alpha)|x|^2 with
(1 - alpha) 4^(b/d) < 1 (Safaryan, Shulgin, Richtarik 2020, for deterministic ones). For x of
independent normal numbers the mean relative error is at least 4^(-b/d) as well (Shannon 1959), with
b the mean length of the messages. A compressor below that has sent bits that nobody counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import TypeVar

import numpy as np

from mpi_lowrank.certificate import drive
from mpi_lowrank.certificate.findings import SIGMAS, Finding, Subject
from mpi_lowrank.certificate.inputs import D
from mpi_lowrank.compressors.base import Compressor, Operator, SharedCompressor
from mpi_lowrank.compressors.wire.messages import message_lengths

Number = TypeVar("Number", float, np.ndarray)

VECTORS = 256
"""Gaussian vectors; a quarter of them for compressors that are driven one vector at a time."""


def least_error(bits_per_number: Number) -> Number:
    """The least E|C(x) - x|^2 / |x|^2 with so many bits per number."""
    return 4.0**-bits_per_number


def information(subject: Subject) -> Iterator[Finding]:
    """Neither the declared constant nor the error on Gaussian vectors is below the least error."""
    operator = subject.operator
    if (error := declared_error(operator)) is not None:
        allowed = (sqrt(error) + subject.slack) ** 2
        ratio = allowed / least_error(8 * operator.nbytes / D)
        yield Finding(subject.spec, "(1 - alpha) 4^(bits/d)", "at least 1", ratio, ratio >= 1)
    errors, nbytes = _gaussian(operator)
    mean, bound = float(errors.mean()), SIGMAS * float(errors.std()) / sqrt(len(errors))
    least = least_error(8 * nbytes / D)
    passed = bool(mean + bound + np.finfo(np.float64).eps ** 2 >= least)
    told = f"at least {least:.3g}"
    yield Finding(subject.spec, "error of Gaussian vectors", told, mean, passed, bound)


def declared_error(operator: Operator) -> float | None:
    """The declared 1 - alpha; an unbiased compressor declares it of C / (1 + omega)."""
    found = [] if operator.alpha is None else [1 - operator.alpha]
    if operator.omega is not None:
        found.append(operator.omega / (1 + operator.omega))
    return min(found, default=None)


def _gaussian(operator: Operator) -> tuple[np.ndarray, float]:
    """|C(x) - x|^2 / d of Gaussian vectors, (vectors,), and the mean bytes of their messages."""
    x = np.random.default_rng(5).standard_normal((VECTORS, D))
    if isinstance(operator, SharedCompressor):
        return _one_by_one(operator, x[: VECTORS // 4], _reduced)
    assert isinstance(operator, Compressor)
    if operator.common:
        return _one_by_one(operator, x[: VECTORS // 4], _packed)
    drive.prepare(operator, VECTORS)
    return _packed(operator, x, 0)


def _one_by_one(operator, x, drive_round):
    """Each vector in a round of its own, because workers of one round share draws."""
    drive.prepare(operator, 1)
    rows = [drive_round(operator, x[t : t + 1], t) for t in range(len(x))]
    errors, nbytes = zip(*rows, strict=True)
    return np.concatenate(errors), float(np.mean(nbytes))


def _packed(operator, x, round):
    messages = drive.pack(operator, x, round)
    nbytes = float(np.mean(message_lengths(messages))) if operator.variable else operator.nbytes
    return _errors(drive.unpack(operator, messages, D), x), nbytes


def _reduced(operator, x, round):
    own, _, nbytes = drive.reduce(operator, x, round)
    return _errors(own, x), nbytes


def _errors(decoded, x):
    return ((decoded - x) ** 2).mean(axis=1)
