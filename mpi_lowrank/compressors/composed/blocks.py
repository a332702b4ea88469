"""A model of several blocks: each one compressed by its own shape, all in one buffer."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from mpi_lowrank.compressors.base import Compressor, Operator, Promise, SharedCompressor, coarsest
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError, message_lengths
from mpi_lowrank.rounds.state import State

Make = Callable[[tuple[int, ...]], Operator]
"""Makes the compressor for a block of that shape."""


def compress_blocks(
    blocks: Sequence[tuple[str, tuple[int, ...]]], kind: type[Operator], make: Make, dense: Make
) -> tuple[Operator, list[str]]:
    """The compressor of a model of named blocks, and a line per block: how it is sent.

    A compressor that is not `per_block` takes the whole model as one vector. Otherwise matrices are
    compressed in their own shape, and so is a vector that is the model's only block. Other vectors,
    and blocks whose message would not be smaller than they are, are sent dense.
    """
    if not kind.per_block:
        model = (sum(int(np.prod(shape)) for _, shape in blocks),)
        return make(blocks[0][1] if len(blocks) == 1 else model), []
    alone = len(blocks) == 1
    chosen, told = [], []
    for name, shape in blocks:
        whole = dense(shape)
        small = make(shape) if len(shape) == 2 or alone else whole
        taken = small if small.variable or small.nbytes < whole.nbytes else whole
        chosen.append(taken)
        told.append(f"{name} {'x'.join(map(str, shape))}: {taken.name}, {taken.nbytes} bytes")
    if alone:
        return chosen[0], told
    if kind.shared:
        return SharedBlocks(cast(list[SharedCompressor], chosen)), told
    return MessageBlocks(cast(list[Compressor], chosen)), told


def _combined(parts: Sequence[Operator], header: int = 0) -> Promise:
    """The promise of the whole model: the worst constants of its parts, and the sum of bytes."""
    alphas = [part.alpha for part in parts if part.alpha is not None]
    omegas = [part.omega for part in parts if part.omega is not None]
    return Promise(
        nbytes=header + sum(part.nbytes for part in parts),
        published_bits=sum(part.published_bits for part in parts),
        alpha=min(alphas) if len(alphas) == len(parts) else None,
        omega=max(omegas) if len(omegas) == len(parts) else None,
        contraction="mean" if any(part.contraction == "mean" for part in parts) else "worker",
        random=any(part.random for part in parts),
        common=any(part.common for part in parts),
        homogeneous=all(part.homogeneous for part in parts),
        variable=any(part.variable for part in parts),
        precision=coarsest(parts),
    )


def _name(parts: Sequence[Operator]) -> str:
    return "+".join(dict.fromkeys(part.name for part in parts))


def _places(parts: Sequence[Operator]) -> list[slice]:
    """Where each block lies in the model's vector."""
    ends = np.cumsum([part.d for part in parts])
    return [slice(end - part.d, end) for end, part in zip(ends, parts, strict=True)]


def _remember(parts: Sequence[Operator], state: State) -> None:
    """Let each block ask for its state under its own number."""
    for number, part in enumerate(parts):
        part.remember(state.within(f"block {number}"))


class MessageBlocks(Compressor):
    """A message is the blocks' messages, one behind the other; their lengths may vary."""

    def __init__(self, parts: list[Compressor]):
        self.name, self.parts, self._places = _name(parts), parts, _places(parts)
        super().__init__((self._places[-1].stop,), parts[0].dtype, workers=parts[0].workers)

    def promised(self):
        self._header = LENGTH.itemsize if any(part.variable for part in self.parts) else 0
        return _combined(self.parts, self._header)

    def remember(self, state):
        _remember(self.parts, state)

    def prepare(self, local, total):
        self._messages = [np.empty((total, part.nbytes), np.uint8) for part in self.parts]
        # A block's columns of x are not contiguous.
        self._rows = [np.empty((total, part.d), self.dtype) for part in self.parts]
        for part in self.parts:
            part.prepare(local, total)

    def begin(self, generator, workers):
        for part in self.parts:
            part.begin(generator, workers)

    def encode(self, x, messages, generators):
        n, at = len(x), np.full(len(x), self._header)
        for part, row, place, own in zip(
            self.parts, self._rows, self._places, self._messages, strict=True
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
        rows, n = self._rows, len(messages)
        split = self._split(messages)
        for part, row, place, own in zip(self.parts, rows, self._places, split, strict=True):
            part.decode(own, row[:n])
            out[:, place] = row[:n]

    def decode_sum(self, messages, weights, out):
        split = self._split(messages)
        for part, place, own in zip(self.parts, self._places, split, strict=True):
            part.decode_sum(own, weights, out[place])


def _append(part, own, messages, at):
    """Copy each row's block message into its message at `at`; return where the next begins."""
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
    """The blocks' phases in lockstep: a phase's coefficients of all blocks are reduced as one.

    So there are only as many reductions as the block with most phases has. `complete` would carry
    out one compressor's phases after the other's.
    """

    def __init__(self, parts: list[SharedCompressor]):
        self.name, self.parts, self._places = _name(parts), parts, _places(parts)
        self.linear = all(part.linear for part in parts)
        super().__init__((self._places[-1].stop,), parts[0].dtype, workers=parts[0].workers)

    def promised(self):
        return _combined(self.parts)

    def remember(self, state):
        _remember(self.parts, state)

    def prepare(self, local, total):
        for part in self.parts:
            part.prepare(local, total)

    def reduce(self, x, own, mean, generator, generators):
        owns = [None if own is None else np.empty((len(x), part.d), x.dtype) for part in self.parts]
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
