"""Compressors that round numbers, relative to a norm, to a few levels: QSGD, dithering, ternary."""

from abc import abstractmethod
from dataclasses import replace
from math import inf, sqrt
from typing import Any, Literal

import numpy as np

from mpi_lowrank.component import option
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import Compressor, Promise
from mpi_lowrank.compressors.levels.dither import BYTE, Dither
from mpi_lowrank.compressors.levels.norms import BucketNorms
from mpi_lowrank.compressors.levels.rounding import Rounding
from mpi_lowrank.compressors.wire.bits import BitFields, bits_for
from mpi_lowrank.compressors.wire.elias import LevelStreams
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError, message_lengths
from mpi_lowrank.compressors.wire.numbers import Wired
from mpi_lowrank.compressors.wire.trits import Trits
from mpi_lowrank.errors import OptionError
from mpi_lowrank.kernels import family

Norm = Literal["l2", "linf"]
"""What the numbers of a bucket are divided by."""


class Dithering(Wired, Compressor):
    """x_i to |x| sign(x_i) a_j, with levels 0 = a_0 < ... < a_s = 1 around |x_i| / |x|.

    `norm`: |x|, of each bucket of `bucket` numbers by itself (0: of all), sent in the type `wire`
    and rounded up to it. `rounding`: see Rounding.

    Wire: the norms, then 1 + ceil(log2(s + 1)) bits per number. Subclasses know omega and alpha.
    """

    norm: Norm = option("l2")
    bucket: int = option(0)
    rounding: Rounding = option("unbiased")

    def promised(self):
        if self.bucket < 0:
            allowed = "an integer from 1, or 0 for one of all d numbers"
            raise OptionError("bucket", self.bucket, allowed)
        self.grid = self.level_values()
        self.s = len(self.grid) - 1
        self.size = min(self.bucket or self.d, self.d)
        self.buckets = -(-self.d // self.size)
        self._header = self.buckets * self.number.itemsize
        self._codes = self._coding()
        nbytes = self._header + self._codes.nbytes
        bits = 8 * self._header + self.d * (1 + bits_for(self.s + 1))
        return Promise(nbytes, bits, precision=self.number, **self._constants())

    def _constants(self) -> dict[str, Any]:
        self._shrink = 1.0
        if self.rounding == "nearest":
            alpha = self._nearest_alpha(self.size)
            return {"alpha": alpha if alpha > 0 else None}
        omega = self._omega(self.size)
        if self.rounding == "unbiased":
            return {"omega": omega, "random": True}
        self._shrink = 1 / (1 + omega)
        return {"alpha": self._shrink, "random": True}

    @abstractmethod
    def level_values(self) -> np.ndarray:
        """Check the subclass's own options; a_0, ..., a_s."""

    def _coding(self):
        """What packs a sign and a level per number."""
        return BitFields(self.d, 1 + bits_for(self.s + 1))

    @abstractmethod
    def _omega(self, d: int) -> float:
        """The variance constant of a bucket of d numbers."""

    @abstractmethod
    def _nearest_alpha(self, d: int) -> float:
        """The contraction of rounding to the nearest level; none if not above 0."""

    def prepare(self, local, total):
        padded, shape = self.buckets * self.size, (local, self.d)
        self._magnitude = np.zeros((local, self.buckets, self.size), self.dtype)
        self._wire_norms = BucketNorms(self.d, self.size, self.norm == "l2", self.number)
        self._wire_norms.prepare(local, self.dtype)
        self._norms = np.zeros((local, self.buckets), self.dtype)
        self._part, self._up = np.empty(shape, self.dtype), np.empty(shape, bool)
        self._point, fixed = self._fixed_point()
        self._fixed = np.empty(shape, fixed)
        self._dither = Dither(self.d, self.random)
        self._dither.prepare(local, fixed)
        self._flat, self._signs = (np.empty(shape, self._codes.dtype) for _ in range(2))
        self._read = np.empty((total, padded), self._codes.dtype)
        self._values = np.zeros((total, padded), self.dtype)
        self._scales = np.empty((total, self.buckets), self.number)
        self._codes.prepare(total)
        self._place = bits_for(self.s + 1)
        self._kernels = family("levels", local * self.d)
        self._at_once = self._kernels.AT_ONCE and self._codes.dtype == np.uint8
        self._table = np.append(self.grid, inf).astype(self.dtype)
        self._decoded = self._decoding_table()

    def _fixed_point(self) -> tuple[int, np.dtype]:
        """How many bits levels in fixed point have behind the point, and their type."""
        return BYTE, np.dtype(np.int32)

    def _decoding_table(self):
        """What each code stands for, NaN if nothing."""
        half = 1 << bits_for(self.s + 1)
        table = np.full((2, half), np.nan, self.dtype)
        table[0, : self.s + 1] = self.grid * self._shrink
        table[1] = -table[0]
        table[1, 0] = 0
        return table.reshape(-1)

    def expected_error(self, x):
        if self.rounding == "nearest":
            return None
        padded = np.zeros((len(x), self.buckets * self.size))
        padded[:, : self.d] = np.abs(x)
        magnitude = padded.reshape(len(x), self.buckets, self.size)
        norms = self._norm_of(magnitude)
        y = magnitude / np.where(norms > 0, norms, 1)
        at = np.clip(np.searchsorted(self.grid, y, side="right") - 1, 0, self.s - 1)
        spread = (y - self.grid[at]) * (self.grid[at + 1] - y) * norms**2
        return (self._shrink**2 * spread + (1 - self._shrink) ** 2 * magnitude**2).sum(axis=(1, 2))

    def _norm_of(self, magnitude):
        """The norm of each bucket, (rows, buckets, 1)."""
        largest = magnitude.max(axis=2, keepdims=True)
        if self.norm == "linf":
            return largest
        # Squares of numbers up to 1: they overflow and vanish for no x.
        scaled = magnitude / np.where(largest > 0, largest, 1)
        return largest * np.sqrt(np.einsum("wbi,wbi->wb", scaled, scaled))[:, :, np.newaxis]

    def encode(self, x, messages, generators):
        norms = self._wire_norms(x)
        divisor = self._norms[: len(x)]
        divisor[...] = norms
        divisor[divisor == 0] = 1
        code = self._code_at_once if self._at_once else self._code
        code(x, divisor, self._flat[: len(x)], generators)
        self._write(self._flat[: len(x)], norms, messages)

    def _code(self, x, norms, codes, generators):
        """Fill `codes` with each number's level, and its sign at the bit `_place`."""
        n = len(x)
        magnitude, fixed, signs = self._magnitude[:n], self._fixed[:n], self._signs[:n]
        flat = magnitude.reshape(n, -1)[:, : self.d]
        np.abs(x, out=flat)
        np.divide(magnitude, norms[:, :, np.newaxis], out=magnitude)
        part = np.minimum(flat, 1, out=self._part[:n])
        self._locate(part, fixed)
        self._dither.add(fixed, self._point, lambda at: self._behind(x, norms, at), generators)
        np.right_shift(fixed, self._point, out=codes, casting="unsafe")
        negative = np.less(x, 0, out=self._up[:n])
        np.left_shift(negative, self._place, out=signs, dtype=signs.dtype)
        codes |= signs

    def _code_at_once(self, x, norms, codes, generators):
        """The same codes as `_code`."""
        dithers, tied = self._dither.draw(len(x), generators)
        self._round(np.ascontiguousarray(x), norms, dithers, codes, tied)
        carried = self._dither.carried(tied, lambda at: self._behind(x, norms, at), generators)
        codes.reshape(-1)[carried] += 1

    def _round(self, x, norms, dithers, codes, tied):
        """Call the kernel that rounds to these levels, where there is one."""
        raise NotImplementedError

    def _scaled_at(self, x, norms, places):
        """The numbers at these places of x, over the norms of their buckets."""
        row, column = np.divmod(places, self.d)
        norm = norms[row, column // self.size]
        return np.minimum(np.abs(x[row, column]), norm) / norm

    @abstractmethod
    def _locate(self, part, fixed):
        """Fill `fixed` with the levels that are `part` in [0, 1], cut off behind `_point` bits."""

    @abstractmethod
    def _behind(self, x, norms, places):
        """What is cut off at these places of x, see `Dither.add`."""

    def _write(self, codes, norms, messages):
        messages[:, : self._header].view(self.number)[...] = norms
        self._codes.pack(codes, messages[:, self._header :])

    def decode(self, messages, out):
        n = len(messages)
        read = self._read[:n, : self.d]
        scales = self._read_norms(messages[:, : self._header])
        self._codes.unpack(messages[:, self._header :], read)
        self._scaled(read, scales, out)

    def _read_norms(self, header):
        scales = self._scales[: len(header)]
        scales[...] = header.view(self.number)
        if not (np.isfinite(scales).all() and (scales >= 0).all()):
            raise MessageError(f"{self.name}: a norm is finite and not negative; got {scales}")
        return scales

    def _scaled(self, codes, scales, out):
        """The codes' numbers (workers, d) times their buckets' norms."""
        n, values = len(out), self._values[: len(out)]
        np.take(self._decoded, codes, out=out, mode="clip")
        if np.isnan(np.add.reduce(out, axis=None)):
            raise MessageError(f"{self.name}: a level above s = {self.s}")
        if self.buckets == 1:
            out *= scales
            return
        values[:, : self.d] = out
        values.reshape(n, self.buckets, -1)[...] *= scales[:, :, np.newaxis]
        out[...] = values[:, : self.d]


class _Uniform(Dithering):
    """The levels 0, 1/s, 2/s, ..., 1."""

    def _locate(self, part, fixed):
        part *= self.s << BYTE
        np.copyto(fixed, part, casting="unsafe")

    def _behind(self, x, norms, places):
        return self._scaled_at(x, norms, places) * self.dtype.type(self.s << BYTE) % 1

    def _round(self, x, norms, dithers, codes, tied):
        steps = self.dtype.type(self.s << BYTE)
        self._kernels.uniform(x, norms, self.size, steps, dithers, self._place, codes, tied)

    def _omega(self, d):
        if self.norm == "linf":
            return (sqrt(1 + (d - 1) / self.s**2) - 1) / 2
        return sqrt(d) / self.s - 1 if self.s <= sqrt(d) / 2 else d / (4 * self.s**2)

    def _nearest_alpha(self, d):
        if self.norm == "linf":
            return 4 * self.s**2 / (4 * self.s**2 + d - 1)
        return 1 - d / (4 * self.s**2)

    def worst_case(self):
        if self.rounding == "nearest" and self.norm == "l2":
            return None
        x = np.ones(self.size)
        if self.norm == "linf":
            rest = self.s + sqrt(self.s**2 + self.size - 1)
            x[1:] = 0.5 / self.s * (1 - 1e-9) if self.rounding == "nearest" else 1 / rest
        elif self.s > sqrt(self.size) / 2:
            return None
        whole = np.zeros(self.d)
        whole[: self.size] = x
        return whole


@compressors.register("qsgd")
class QSGD(_Uniform):
    """Levels j/s, j = 0 ... s = `levels` (Alistarh et al. 2017).

    l2: omega = sqrt(d)/s - 1 up to s = sqrt(d)/2, where flat vectors attain it, else d/(4 s^2).
    linf: omega = (sqrt(1 + (d - 1)/s^2) - 1)/2, attained at (1, t, ..., t), t = 1/(s + sqrt(s^2 +
    d - 1)). Nearest: alpha = 4 s^2/(4 s^2 + d - 1) (linf), 1 - d/(4 s^2) (l2). d is the bucket's.

    `coding`: "fixed" takes 1 + ceil(log2(s + 1)) bits per number. "elias" sends 4 bytes for the
    message's length, the norms, and of the numbers whose level is not 0: how many there are (4
    bytes), the Elias omega codes of the gaps between them, their signs, and the codes of their
    levels.
    """

    examples = (
        "levels=4",
        "levels=2,bucket=16",
        "levels=8,norm=linf",
        "levels=10,coding=elias",
        "levels=2,rounding=contractive",
        "levels=4,norm=linf,rounding=nearest",
    )

    levels: int = option(4)
    coding: Literal["fixed", "elias"] = option("fixed")

    def level_values(self):
        if not 1 <= self.levels <= 2**15:
            raise OptionError("levels", self.levels, "an integer from 1 to 32768")
        return np.arange(self.levels + 1) / self.levels

    def promised(self):
        promise, s = super().promised(), self.levels
        if self.coding == "fixed":
            return promise
        support = s * (s + sqrt(self.d))
        per = 3 + 1.5 * np.log2(2 * (s**2 + self.d) / support)
        return replace(
            promise,
            nbytes=LENGTH.itemsize + promise.nbytes,
            published_bits=float(per * support + 32),  # theorem 3.2
            variable=True,
        )

    def _coding(self):
        if self.coding == "fixed":
            return super()._coding()
        return LevelStreams(self.d, self.s, bits_for(self.s + 1))

    def _write(self, codes, norms, messages):
        if not self.variable:
            super()._write(codes, norms, messages)
            return
        start, begin = LENGTH.itemsize, LENGTH.itemsize + self._header
        messages[:, start:begin].view(self.number)[...] = norms
        sizes = self._codes.pack(codes, messages[:, begin:])
        messages[:, :start].view(LENGTH)[:, 0] = begin + sizes

    def decode(self, messages, out):
        if not self.variable:
            super().decode(messages, out)
            return
        start, begin = LENGTH.itemsize, LENGTH.itemsize + self._header
        scales = self._read_norms(messages[:, start:begin])
        codes = self._read[: len(messages), : self.d]
        sizes = message_lengths(messages).astype(np.int64) - begin
        self._codes.unpack(messages[:, begin:], sizes, codes)
        self._scaled(codes, scales, out)


@compressors.register("ternary")
class Ternary(_Uniform):
    """sign(x_i) |x| with probability |x_i| / |x|, else 0: five of them to a byte.

    l2: omega = sqrt(d) - 1, at flat vectors (QSGD with one level). linf: omega = (sqrt(d) - 1)/2,
    at (1, t, ..., t), t = 1/(1 + sqrt(d)) (TernGrad, Wen et al. 2017). Wire: the norms and
    ceil(d/5) bytes.
    """

    examples = ("", "norm=l2", "rounding=contractive", "rounding=nearest")

    norm: Norm = option("linf")

    def level_values(self):
        return np.array([0.0, 1.0])

    def _coding(self):
        return Trits(self.d)

    def _decoding_table(self):
        return np.array([0, self._shrink, -self._shrink], self.dtype)

    def _write(self, codes, norms, messages):
        negative = np.right_shift(codes, self._place, out=self._signs[: len(codes)])
        codes &= 1
        codes <<= negative
        super()._write(codes, norms, messages)
