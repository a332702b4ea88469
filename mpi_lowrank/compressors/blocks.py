"""A model of several blocks: each one compressed by its own shape, all in one buffer."""

from collections.abc import Callable, Sequence

import numpy as np

from mpi_lowrank.compressors.base import Compressor, Operator, SharedCompressor

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
        whole = (sum(int(np.prod(shape)) for _, shape in blocks),)
        return make(blocks[0][1] if len(blocks) == 1 else whole), []
    alone = len(blocks) == 1
    chosen, told = [], []
    for name, shape in blocks:
        whole = dense(shape)
        small = make(shape) if len(shape) == 2 or alone else whole
        taken = small if small.nbytes < whole.nbytes else whole
        chosen.append(taken)
        told.append(f"{name} {'x'.join(map(str, shape))}: {taken.name}, {taken.nbytes} bytes")
    sizes = [int(np.prod(shape)) for _, shape in blocks]
    if alone:
        return chosen[0], told
    return (SharedBlocks if kind.shared else MessageBlocks)(chosen, sizes), told


def _combine(target: Operator, parts: list[Operator]) -> None:
    """The constants of the whole: the worst of the parts."""
    target.name = "+".join(dict.fromkeys(part.name for part in parts))
    target.nbytes = sum(part.nbytes for part in parts)
    target.published_floats = sum(part.published_floats for part in parts)
    target.random = any(part.random for part in parts)
    alphas, omegas = [part.alpha for part in parts], [part.omega for part in parts]
    target.alpha = None if None in alphas else min(alphas)
    target.omega = None if None in omegas else max(omegas)
    target.contraction = "mean" if any(p.contraction == "mean" for p in parts) else "worker"


class MessageBlocks(Compressor):
    """A message is the blocks' messages, one behind the other."""

    def __init__(self, parts: list[Compressor], sizes: list[int]):
        _combine(self, parts)
        self.parts = parts
        ends, at = np.cumsum(sizes), np.cumsum([part.nbytes for part in parts])
        self._places = [slice(end - n, end) for end, n in zip(ends, sizes, strict=True)]
        self._bytes = [slice(e - p.nbytes, e) for e, p in zip(at, parts, strict=True)]
        self._sizes = sizes

    def prepare(self, local, total):
        self._rows: list[np.ndarray] | None = None
        self._local = local
        for part in self.parts:
            part.prepare(local, total)

    def _scratch(self, dtype):
        """A contiguous array a block, because a block's columns of x are not."""
        if self._rows is None:
            self._rows = [np.empty((self._local, n), dtype) for n in self._sizes]
        return self._rows

    def encode(self, x, messages, generators):
        rows = self._scratch(x.dtype)
        for part, row, place, at in zip(self.parts, rows, self._places, self._bytes, strict=True):
            row[: len(x)] = x[:, place]
            part.encode(row[: len(x)], messages[:, at], generators)

    def decode(self, messages, out):
        rows, n = self._scratch(out.dtype), len(messages)
        for part, row, place, at in zip(self.parts, rows, self._places, self._bytes, strict=True):
            part.decode(messages[:, at], row[:n])
            out[:, place] = row[:n]

    def decode_sum(self, messages, weights, out):
        for part, place, at in zip(self.parts, self._places, self._bytes, strict=True):
            part.decode_sum(messages[:, at], weights, out[place])


class SharedBlocks(SharedCompressor):
    """The blocks' phases in lockstep: a phase's coefficients of all blocks are reduced as one."""

    def __init__(self, parts: list[SharedCompressor], sizes: list[int]):
        _combine(self, parts)
        self.parts, self._sizes = parts, sizes
        ends = np.cumsum(sizes)
        self._places = [slice(end - n, end) for end, n in zip(ends, sizes, strict=True)]

    def prepare(self, local):
        for part in self.parts:
            part.prepare(local)

    def reduce(self, x, own, mean, generator):
        owns = [None if own is None else np.empty((len(x), n), x.dtype) for n in self._sizes]
        running = {
            k: part.reduce(np.ascontiguousarray(x[:, place]), owns[k], mean[place], generator)
            for k, (part, place) in enumerate(zip(self.parts, self._places, strict=True))
        }
        sent = {k: next(phases) for k, phases in running.items()}
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
