"""The bench `kernels`: every compressor's encode and decode, beside memcpy of the same vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from time import perf_counter
from typing import Any

import numpy as np

from mpi_lowrank.benchmarks.bench import Bench, Plan, Row, Session
from mpi_lowrank.benchmarks.families import FAMILIES, family, one_line
from mpi_lowrank.benchmarks.operators import Once, scaled, timed
from mpi_lowrank.benchmarks.repeats import Samples, repeat
from mpi_lowrank.benchmarks.sheets.sheet import Told
from mpi_lowrank.certificate import default_specs
from mpi_lowrank.comm import failures
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import OptionError, UserError
from mpi_lowrank.registry import Choice

SIZES = (10**5, 10**6)
"""Numbers in the vector: one that fits into a core's cache, one that does not."""

TOO_SLOW = 5.0
"""Seconds of encode and decode from which the next size is not tried."""

PARTS = ("encode", "decode", "memcpy")


def plan(session: Session, options: Mapping[str, Any]) -> Plan:
    """A measurement for each compressor and size. UserError for what is no compressor or size.

    Of all compressors the examples are taken with budgets for so many numbers, those that were
    named as they are.
    """
    sizes = options["sizes"] or SIZES
    for size in sizes:
        if not 1 <= size <= 1 << 30:
            raise UserError(f"--sizes {size}: allowed are 1 to {1 << 30} numbers")
    named = [read_spec(spec) for spec in options["only"] or ()]
    steps: Plan = []
    for choice in named or _examples(max(sizes)):
        slowest = {"seconds": 0.0}
        for size in sorted(sizes):
            own = choice if named else scaled(choice, size)
            step = _step(session, own, size, np.dtype(options["dtype"]), slowest)
            steps.append((f"{one_line(own)}, {size} numbers", step))
    return steps


def _examples(size: int) -> list[Choice]:
    """All of them, by family; those that differ in what is scaled alone are one."""
    chosen = [read_spec(spec) for spec in default_specs()]
    chosen = list({scaled(choice, size): choice for choice in chosen}.values())
    return sorted(chosen, key=lambda choice: (FAMILIES.index(family(choice)), choice.name))


def _step(
    session: Session, choice: Choice, size: int, dtype: np.dtype, slowest: dict[str, float]
) -> Callable[[], list[Row]]:
    """`slowest` is shared by the sizes of a compressor: what the smaller ones took."""

    def step() -> list[Row]:
        told = {"label": one_line(choice), "table": family(choice), "numbers": size}
        if slowest["seconds"] > TOO_SLOW:
            slow = f"encode and decode took {slowest['seconds']:.0f} s at the size before"
            return [Row(told | {"status": f"skipped: {slow}"})]
        try:
            found, nbytes = _measured(session, choice, size, dtype)
        except OptionError as error:
            reason = f"{error.option} = {error.value}: allowed is {error.allowed}"
            return [Row(told | {"status": f"skipped: {reason}"})]
        except (MemoryError, failures.FailedElsewhere):
            return [Row(told | {"status": "skipped: there is not enough memory"})]
        slowest["seconds"] = found.median("encode") + found.median("decode")
        return [Row(told | _figures(found, size, dtype, nbytes), found.seconds)]

    return step


def _measured(
    session: Session, choice: Choice, size: int, dtype: np.dtype
) -> tuple[Samples, float]:
    """The samples, the slowest rank's, all ranks at once; and the median message's bytes."""
    x = np.random.default_rng(0).standard_normal((1, size), dtype=dtype.type)
    once: Once = failures.together(session.comm, lambda: timed(choice, x))
    beside, rounds = np.empty_like(x), count()
    lengths: list[int] = []
    sorts = choice.name == "topk" and choice.then is None

    def all_parts() -> tuple[float, ...]:
        copied = _seconds(lambda: np.copyto(beside, x))
        encoded, decoded, nbytes = once(next(rounds))
        lengths.append(nbytes)
        chosen = (_partitioned(x[0], int(choice.options["k"])),) if sorts else ()
        return encoded, decoded, copied, *chosen

    failures.together(session.comm, all_parts)  # what is compiled, or drawn once, is now
    parts = (*PARTS, "argpartition") if sorts else PARTS
    found = repeat(
        session.control,
        parts,
        lambda: failures.together(session.comm, all_parts),
        session.limits,
        deciding=len(PARTS),
    )
    return found, float(np.median(lengths))


def _partitioned(x: np.ndarray, k: int) -> float:
    """Seconds of NumPy's own choice of the largest k."""
    sizes = np.abs(x)
    return _seconds(lambda: np.argpartition(sizes, len(x) - k))


def _seconds(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def _figures(found: Samples, size: int, dtype: np.dtype, nbytes: float) -> Told:
    told: Told = {"message_bytes": nbytes, "of_float32": nbytes / (4 * size)}
    told |= found.ending(*PARTS)
    for part in found.seconds:
        told |= found.told(part, part)
        told[f"{part}_bytes_per_second"] = dtype.itemsize * size / found.median(part)
    for part in PARTS[:2]:
        told[f"{part}_copies"] = found.median(part) / found.median("memcpy")
        told[f"{part}_ns_per_number"] = found.median(part) / size * 1e9
    return told


KERNELS = Bench(plan)
