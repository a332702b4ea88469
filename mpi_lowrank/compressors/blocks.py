"""A model of several blocks: each one compressed by its own shape, all in one buffer."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from ml_dtypes import finfo

from mpi_lowrank.compressors.base import (
    LENGTH,
    Compressor,
    MessageError,
    Operator,
    SharedCompressor,
    message_lengths,
)
from mpi_lowrank.rounds.state import State

Make = Callable[[tuple[int, ...]], Operator]
"""Makes the compressor for a block of that shape."""


def compress_blocks(
    blocks: Sequence[tuple[str, tuple[int, ...]]], kind: type[Operator], make: Make, dense: Make
) -> tuple[Operator, list[str]]:
    """The compressor of a model of named blocks, and a line a block that says what it became.

    A compressor that is not `per_block` takes the whole model as one vector. Else matrices are
    compressed in their own shape, and so is the vector of a model that has no other block; other
    vectors, and blocks whose message would not be smaller than they are, go dense.
    """
    if not kind.per_block:
        model = (sum(int(np.prod(shape)) for _, shape in blocks),)
        return make(blocks[0][1] if len(blocks) == 1 else model), []
    alone = len(blocks) == 1
    chosen, told = [], []
    for name, shape in blocks:
        whole = dense(shape)
        small = make(shape) if len(shape) == 2 or alone else whole
        taken = small if varies(small) or small.nbytes < whole.nbytes else whole
        chosen.append(taken)
        told.append(f"{name} {'x'.join(map(str, shape))}: {taken.name}, {taken.nbytes} bytes")
    sizes = [int(np.prod(shape)) for _, shape in blocks]
    if alone:
        return chosen[0], told
    if kind.shared:
        return SharedBlocks(cast(list[SharedCompressor], chosen), sizes), told
    return MessageBlocks(cast(list[Compressor], chosen), sizes), told


def varies(operator: Operator) -> bool:
    """Whether its messages differ in length, so that `nbytes` is only the longest."""
    return isinstance(operator, Compressor) and operator.variable


def _combine(target: Operator, parts: Sequence[Operator]) -> None:
    """The constants of the whole: the worst of the parts."""
    target.name = "+".join(dict.fromkeys(part.name for part in parts))
    target.nbytes = sum(part.nbytes for part in parts)
    target.published_bits = sum(part.published_bits for part in parts)
    target.random = any(part.random for part in parts)
    target.common = any(part.common for part in parts)
    target.linear = all(part.linear for part in parts)
    target.homogeneous = all(part.homogeneous for part in parts)
    target.wire = max((part.wire for part in parts), key=lambda wire: finfo(wire).eps)
    alphas = [part.alpha for part in parts if part.alpha is not None]
    omegas = [part.omega for part in parts if part.omega is not None]
    target.alpha = min(alphas) if len(alphas) == len(parts) else None
    target.omega = max(omegas) if len(omegas) == len(parts) else None
    target.contraction = "mean" if any(p.contraction == "mean" for p in parts) else "worker"


def _remember(parts: Sequence[Operator], state: State) -> None:
    """Let each block keep what is its own, under its number."""
    for number, part in enumerate(parts):
        part.remember(state.within(f"block {number}"))


class MessageBlocks(Compressor):
    """A message is the blocks' messages, one behind the other; their lengths may vary."""

    def __init__(self, parts: list[Compressor], sizes: list[int]):
        _combine(self, parts)
        self.parts, self._sizes = parts, sizes
        self.variable = any(part.variable for part in parts)
        self._header = LENGTH.itemsize if self.variable else 0
        self.nbytes += self._header
        ends = np.cumsum(sizes)
        self._places = [slice(end - n, end) for end, n in zip(ends, sizes, strict=True)]

    def remember(self, state):
        _remember(self.parts, state)

    def prepare(self, local, total):
        self._messages = [np.empty((total, part.nbytes), np.uint8) for part in self.parts]
        self._rows: list[np.ndarray] | None = None
        self._total = total
        for part in self.parts:
            part.prepare(local, total)

    def begin(self, generator, workers):
        for part in self.parts:
            part.begin(generator, workers)

    def _scratch(self, dtype):
        """A contiguous array a block, because a block's columns of x are not."""
        if self._rows is None:
            self._rows = [np.empty((self._total, n), dtype) for n in self._sizes]
        return self._rows

    def encode(self, x, messages, generators):
        n, at = len(x), np.full(len(x), self._header)
        for part, row, place, own in zip(
            self.parts, self._scratch(x.dtype), self._places, self._messages, strict=True
        ):
            row[:n] = x[:, place]
            part.encode(row[:n], own[:n], generators)
            at = _append(part, own[:n], messages, at)
        if self.variable:
            messages[:, : self._header].view(LENGTH)[:, 0] = at

    def _split(self, messages):
        """The messages of each block, (workers, its nbytes)."""
        at = np.full(len(messages), self._header)
        for part, own in zip(self.parts, self._messages, strict=True):
            at = _take(part, messages, at, own[: len(messages)])
            yield own[: len(messages)]

    def decode(self, messages, out):
        rows, n = self._scratch(out.dtype), len(messages)
        split = self._split(messages)
        for part, row, place, own in zip(self.parts, rows, self._places, split, strict=True):
            part.decode(own, row[:n])
            out[:, place] = row[:n]

    def decode_sum(self, messages, weights, out):
        split = self._split(messages)
        for part, place, own in zip(self.parts, self._places, split, strict=True):
            part.decode_sum(own, weights, out[place])


def _append(part, own, messages, at):
    """Copy each row's block message to its place in the row's message; where the next begins."""
    lengths = message_lengths(own) if part.variable else np.full(len(own), part.nbytes)
    for row, message, start, length in zip(own, messages, at, lengths, strict=True):
        message[start : start + length] = row[:length]
    return at + lengths


def _take(part, messages, at, own):
    """The reverse of `_append`."""
    for row, message, start in zip(own, messages, at, strict=True):
        rest = message[start : start + part.nbytes]
        row[: len(rest)] = rest
    lengths = message_lengths(own) if part.variable else np.full(len(own), part.nbytes)
    if len(at) and (at + lengths).max() > messages.shape[1]:
        raise MessageError(f"{part.name}: a block's message ends behind the whole one")
    return at + lengths


class SharedBlocks(SharedCompressor):
    """The blocks' phases in lockstep: a phase's coefficients of all blocks are reduced as one."""

    def __init__(self, parts: list[SharedCompressor], sizes: list[int]):
        _combine(self, parts)
        self.parts, self._sizes = parts, sizes
        ends = np.cumsum(sizes)
        self._places = [slice(end - n, end) for end, n in zip(ends, sizes, strict=True)]

    def remember(self, state):
        _remember(self.parts, state)

    def prepare(self, local):
        for part in self.parts:
            part.prepare(local)

    def reduce(self, x, own, mean, generator, generators):
        owns = [None if own is None else np.empty((len(x), n), x.dtype) for n in self._sizes]
        draws = generator, generators
        running = {
            k: part.reduce(np.ascontiguousarray(x[:, place]), owns[k], mean[place], *draws)
            for k, (part, place) in enumerate(zip(self.parts, self._places, strict=True))
        }
        sent: dict[int, Any] = {k: next(phases) for k, phases in running.items()}
        while sent:
            reduced = yield np.concatenate(list(sent.values()), axis=1)
            ends = np.cumsum([rows.shape[1] for rows in sent.values()])
            parts = np.split(reduced, ends[:-1])
            sent = dict(_advance(running, dict(zip(sent, parts, strict=True))))
        if own is not None:
            for place, block in zip(self._places, owns, strict=True):
                own[:, place] = block


def _advance(running, reduced):
    """Send each block its mean; yield what those that go on want reduced next."""
    for k, part in reduced.items():
        try:
            yield k, running[k].send(part)
        except StopIteration:
            continue
