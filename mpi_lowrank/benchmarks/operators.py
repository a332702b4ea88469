"""Compressors driven for a bench: one worker's vector, encode and decode timed apart."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import numpy as np

from mpi_lowrank.benchmarks.families import tensor_shape
from mpi_lowrank.certificate import drive
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, SharedCompressor, complete
from mpi_lowrank.compressors.factors.lowrank import matrix_shape
from mpi_lowrank.compressors.wire.messages import LENGTH
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.components import make_operator

RANK, SHARE = 4, 100

Once = Callable[[int], tuple[float, float, int]]
"""Of a round's number: seconds of encode and of decode, and the bytes of the message."""


def scaled(choice: Choice, d: int, share: int = SHARE) -> Choice:
    """An example that was made for a hundred numbers, with budgets for d of them.

    A hundredth of the coordinates, a quarter of these behind another compressor; rank 4.
    """
    known = compressors[choice.name].options
    options = {o: v for o, v in choice.options.items() if o != "shape"}
    options |= {o: RANK for o in ("rank", "columns", "budget") if o in known}
    if "k" in options:
        options["k"] = type(options["k"])(max(1, d // share))
    if choice.name == "bernoulli":
        options["p"] = 1.0  # else most messages are empty
    if "shape" in known and known["shape"].required:
        options["shape"] = tensor_shape(*matrix_shape((d,), "auto"))
    then = scaled(choice.then, d, 4 * share) if choice.then else None
    return Choice(choice.name, options, then)


def timed(choice: Choice, x: np.ndarray) -> Once:
    """The compressor of x (1, d), made; OptionError where it cannot be. Nothing is sent."""
    d = x.shape[1]
    block = matrix_shape((d,), "auto") if compressors[choice.name].per_block else (d,)
    operator = make_operator(choice, block, x.dtype.name, workers=1)
    drive.prepare(operator, 1)
    if isinstance(operator, SharedCompressor):
        return _reduced(operator, x)
    assert isinstance(operator, Compressor)
    return _gathered(operator, x)


def _gathered(operator: Compressor, x: np.ndarray) -> Once:
    """Encode checks for numbers that are not finite, as it does in a run."""
    messages, out = np.zeros((1, operator.nbytes), np.uint8), np.empty_like(x)

    def once(round: int) -> tuple[float, float, int]:
        drive.begin(operator, 1, round, 0, 0)
        draws = drive.own_draws(operator, 1, round, 0, 0)
        began = perf_counter()
        operator.pack(x, messages, draws)
        encoded = perf_counter()
        operator.unpack(messages, out)
        decoded = perf_counter()
        nbytes = operator.nbytes
        if operator.variable:
            nbytes = int(messages[0, : LENGTH.itemsize].view(LENGTH)[0])
        return encoded - began, decoded - encoded, nbytes

    return once


def _reduced(operator: SharedCompressor, x: np.ndarray) -> Once:
    """The last step is taken for the decoding, those before for the encoding."""
    own, mean = np.empty_like(x), np.empty_like(x[0])

    def once(round: int) -> tuple[float, float, int]:
        shared = drive.Stream(0, drive.Purpose.COMPRESS, drive.SHARED).at(round)
        draws = drive.own_draws(operator, 1, round, 0, 0)
        laps = [perf_counter()]

        def answer(rows: np.ndarray) -> np.ndarray:
            laps.append(perf_counter())
            received = rows[0].astype(x.dtype)
            laps.append(perf_counter())
            return received

        complete(operator.reduce(x, own, mean, shared, draws), answer, answer)
        laps.append(perf_counter())
        taken = [end - began for began, end in zip(laps[::2], laps[1::2], strict=True)]
        return sum(taken[:-1]), taken[-1], operator.nbytes

    return once
