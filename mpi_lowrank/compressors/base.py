"""The contract of a compressor: per worker and gathered, or shared and Allreduced."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from ml_dtypes import finfo
from numpy.typing import DTypeLike

from mpi_lowrank.component import Component
from mpi_lowrank.compressors.difference import Difference
from mpi_lowrank.compressors.wire.messages import MessageError, finite, message_lengths, refuse
from mpi_lowrank.errors import UserError
from mpi_lowrank.rounds.state import State

TOGETHER = 2**15
"""Numbers that are decoded together for a sum, so that they stay in a core's cache."""


@dataclass(frozen=True)
class Promise:
    """What a compressor, once made, says of itself; `mpi-lowrank certify` measures all of it."""

    nbytes: int
    """Bytes per worker and round: all of them cross the wire, and nothing else does."""
    published_bits: float
    """Bits per round as papers count them: numbers and levels, but no indices and no headers."""
    alpha: float | None = None
    """Contraction: E|C(x) - x|^2 <= (1 - alpha)|x|^2 for all x, if it is contractive. Unless given
    it is 1 - omega, if omega < 1."""
    omega: float | None = None
    """Variance: E C(x) = x and E|C(x) - x|^2 <= omega |x|^2 for all x, if it is unbiased."""
    contraction: Literal["worker", "mean"] = "worker"
    """What alpha is promised for: each worker's vector, or only the mean over workers."""
    random: bool = False
    """Whether each worker draws random numbers of its own."""
    common: bool = False
    """Whether it draws random numbers that all workers share."""
    homogeneous: bool = True
    """Whether C(t x) = t C(x) for every t > 0 and the same draws."""
    variable: bool = False
    """Whether messages differ in length. Each one then begins with its length, a LENGTH; only that
    many bytes of a row cross the wire, and `nbytes` is the longest."""
    precision: np.dtype = field(default=np.dtype(np.float32))
    """The number type on the wire. The constants hold up to its round-off, and for numbers in its
    normal range."""

    def __post_init__(self) -> None:
        if self.alpha is None and self.omega is not None and self.omega < 1:
            object.__setattr__(self, "alpha", 1 - self.omega)


def coarsest(parts: Iterable[Operator]) -> np.dtype:
    """The number type of the largest round-off."""
    return max((part.precision for part in parts), key=lambda precision: finfo(precision).eps)


class Operator(Component, ABC):
    """A compressor of a block of d numbers, d the product of its shape.

    A subclass is written in this order, and its methods are called in this order:

    1. its options, declared in its body: `k: int = option()`;
    2. `promised`: called once, by the constructor, when the options, `block`, `d`, `dtype` and
       `workers` are attributes. It raises OptionError for an impossible option, computes what the
       rounds need of sizes and constants, and returns the Promise, whose fields are the instance's
       read-only attributes from then on. It allocates nothing;
    3. `remember`, if a later round reads what an earlier one wrote;
    4. `prepare`: its buffers, before round 0;
    5. the rounds: see Compressor and SharedCompressor.
    """

    family: str = "a few bits of each"
    """What it sends of its block, in words; figures choose its colour by them. Built in are
    "everything whole", "some coordinates", "a few bits of each", "two factors", "several factors",
    "factors of signs and zeros" and "factors, Allreduced"."""
    examples: tuple[str, ...] = ("",)
    """The options, "k=8", with which `mpi-lowrank certify` measures it; compositions "k=8+natural"
    too. Needed where an option is required."""
    shared = False
    """Whether its coefficients are Allreduced (`SharedCompressor`) or its messages gathered."""
    linear = False
    """Whether the mean of the decoded vectors depends only on the mean of the vectors."""
    overhears = False
    """Whether what a message means depends on those of all workers in earlier calls, so that
    everybody has to hear them, in `decode_sum`."""
    per_block = False
    """Whether it compresses each block of the model by its own shape, or all as one vector."""
    summed_by_kernels = False
    """Whether its numbers are sums that kernels take: what they round depends on which are used."""

    def __init__(
        self, block: tuple[int, ...], dtype: DTypeLike, *, workers: int = 1, **options: Any
    ):
        """For a block of that shape, a state of that dtype and so many workers in all."""
        self.block, self.d = tuple(block), int(np.prod(block))
        self.dtype: np.dtype = np.dtype(dtype)
        self.workers = workers
        self.set_options(options)
        self.promise = self.promised()

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if taken := (vars(cls) | cls.options).keys() & Promise.__dataclass_fields__.keys():
            names = ", ".join(sorted(taken))
            raise UserError(f"{cls.__qualname__}: {names} is for the Promise to say")

    @abstractmethod
    def promised(self) -> Promise:
        """Check the options, compute what the rounds need, and say what is promised."""

    @property
    def nbytes(self) -> int:
        return self.promise.nbytes

    @property
    def published_bits(self) -> float:
        return self.promise.published_bits

    @property
    def alpha(self) -> float | None:
        return self.promise.alpha

    @property
    def omega(self) -> float | None:
        return self.promise.omega

    @property
    def contraction(self) -> Literal["worker", "mean"]:
        return self.promise.contraction

    @property
    def random(self) -> bool:
        return self.promise.random

    @property
    def common(self) -> bool:
        return self.promise.common

    @property
    def deterministic(self) -> bool:
        """Whether it draws no random numbers at all."""
        return not (self.random or self.common)

    @property
    def homogeneous(self) -> bool:
        return self.promise.homogeneous

    @property
    def variable(self) -> bool:
        return self.promise.variable

    @property
    def precision(self) -> np.dtype:
        return self.promise.precision

    def remember(self, state: State) -> None:
        """Ask `state` for what a later round reads, if there is any; called once, by the exchange.

        All other arrays are overwritten before they are read, or read-only. No attribute changes: a
        number that `begin` draws goes into an array that `prepare` has made.
        """

    def prepare(self, local: int, total: int) -> None:
        """Allocate for up to `local` workers' vectors, and for up to `total` workers' messages."""

    def expected_error(self, x: np.ndarray) -> np.ndarray | None:
        """E|C(x) - x|^2 for the rows of x, (workers,) float64, where a closed form is known."""
        return None

    def worst_case(self) -> np.ndarray | None:
        """An x (d,) at which alpha or omega is attained; None where it is only a bound."""
        return None


def equal_error(operator: Operator, x: np.ndarray) -> np.ndarray:
    """E|C(x) - x|^2 of the rows of x, (workers,), if it is the same share of |x|^2 for every x."""
    share = operator.omega
    if share is None:
        assert operator.alpha is not None
        share = 1 - operator.alpha
    error: np.ndarray = share * (x.astype(np.float64) ** 2).sum(axis=1)
    return error


class Compressor(Operator):
    """A per-worker compressor: vectors into messages of `nbytes`, gathered by everybody.

    To add one: subclass, register, declare its options, write `promised`, `encode` and `decode`.

    Every array has a leading axis of workers, one at least: `x` is (workers, d) in the state's
    dtype, `messages` is (workers, nbytes) uint8, C-contiguous in the last axis. A row's result may
    depend on that row and its generator alone, never on the rows beside it, and `decode` of the
    same bytes gives the same numbers on every rank.
    """

    def begin(self, generator: np.random.Generator, workers: Sequence[int]) -> None:
        """Start a round, if `common`: draw what all workers share. `workers`: the rows' numbers."""

    @abstractmethod
    def encode(
        self, x: np.ndarray, messages: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> None:
        """Write each row's message; if `random`, `generators` has one generator per row."""

    @abstractmethod
    def decode(self, messages: np.ndarray, out: np.ndarray) -> None:
        """Write the vector that each message stands for into the rows of `out`, (workers, d).

        Raises MessageError for a message that `encode` cannot have written.
        """

    def decode_sum(self, messages: np.ndarray, weights: np.ndarray, out: np.ndarray) -> None:
        """Write sum_i weights[i] decode(messages[i]), added in row order, into `out`, (d,)."""
        step = max(1, min(TOGETHER // out.size, len(messages)))
        rows = np.empty((step, out.size), out.dtype)
        out[:] = 0
        for at in range(0, len(messages), step):
            some = messages[at : at + step]
            used = rows[: len(some)]
            self._decode_some(some, used, at)
            used *= weights[at : at + step, np.newaxis]
            _add_in_order(used, out)

    def _decode_some(self, messages: np.ndarray, out: np.ndarray, before: int) -> None:
        """As `decode`; an error names the first message at fault, which has `before` before it."""
        try:
            self.decode(messages, out)
        except MessageError as error:
            if len(messages) == 1:
                raise MessageError(f"message {before}, counted from 0: {error}") from error
            for row in range(len(messages)):
                self._decode_some(messages[row : row + 1], out[:1], before + row)
            raise

    def pack(
        self, x: np.ndarray, messages: np.ndarray, generators: Sequence[np.random.Generator]
    ) -> None:
        """As `encode`, but refuse what cannot be sent.

        Raises FloatingPointError where x is not finite or does not fit the wire's type.
        """
        if not finite(x):
            raise FloatingPointError(f"{self.name}: x is not finite")
        with np.errstate(over="raise"):
            self.encode(x, messages, generators)

    def unpack(self, messages: np.ndarray, out: np.ndarray) -> None:
        """As `decode`, but refuse messages that no encoder writes.

        Raises MessageError for a wrong length, and where the decoded vector is not finite: that of
        finite factors may not be.
        """
        if messages.ndim != 2 or messages.shape[1] != self.nbytes:
            raise MessageError(
                f"{self.name}: a message has {self.nbytes} bytes; got {messages.shape[-1]}"
            )
        if self.variable:
            message_lengths(messages)
        with np.errstate(over="ignore", invalid="ignore"):
            self.decode(messages, out)
        refuse(self.name, out)


def _add_in_order(rows: np.ndarray, out: np.ndarray) -> None:
    """Add the rows (workers, d) to `out` (d,), one after the other; they are overwritten."""
    if len(rows) == 1:
        out += rows[0]
        return
    rows[0] += out
    if len(out) > 1:
        np.add.reduce(rows, axis=0, out=out)
    else:  # NumPy adds the numbers of a single column in pairs
        out[:] = np.add.accumulate(rows, axis=0)[-1]


@dataclass(frozen=True)
class Largest:
    """Rows (workers, k) whose maximum over all workers is wanted, not their mean."""

    rows: np.ndarray


Phases = Generator[np.ndarray | Largest, np.ndarray, None]
"""Any number of times yields the local workers' coefficients, (workers, k) in the wire's dtype, and
is sent their mean over all workers, (k,) in the state's dtype. `Largest` asks for the maximum."""


def complete(
    phases: Phases,
    average: Callable[[np.ndarray], np.ndarray],
    largest: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Carry out all `phases`.

    `average` turns rows (workers, k) into their mean over all workers (k,), `largest` into their
    maximum.
    """
    reduced: Any = None
    while True:
        try:
            wish = phases.send(reduced)
        except StopIteration:
            return
        reduced = largest(wish.rows) if isinstance(wish, Largest) else average(wish)


class SharedCompressor(Operator):
    """A compressor whose coefficients are summed; as a rule linear, given its common basis.

    It never sees MPI: `reduce` yields what is to be averaged over workers, and is sent the average.
    """

    shared = linear = True
    fused = False
    """Whether `reduce` takes a Difference from one vector for all without forming it."""

    @abstractmethod
    def reduce(
        self,
        x: np.ndarray | Difference,
        own: np.ndarray | None,
        mean: np.ndarray,
        generator: np.random.Generator,
        generators: Sequence[np.random.Generator],
    ) -> Phases:
        """Compress the rows of x, (workers, d).

        Writes what each row becomes into `own`, (workers, d), unless that is None, and the mean of
        that over all workers into `mean`, (d,). `generator` is the same on every rank (if
        `common`), `generators` has one per row (if `random`). If `fused` x may be a Difference, and
        own is None: then the mean is added to `mean`, which may be x's subtrahend itself.
        """
