"""The seam between methods and collectives: every worker's vector in, (own, mean) out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeGuard

import numpy as np

from mpi_lowrank.collectives import collectives
from mpi_lowrank.collectives.base import Reduction, Topology
from mpi_lowrank.compressors.base import Compressor, Operator, SharedCompressor
from mpi_lowrank.compressors.difference import Difference
from mpi_lowrank.door import Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange.broadcast import Broadcast
from mpi_lowrank.exchange.gathered import Gathered
from mpi_lowrank.exchange.reduced import Reduced
from mpi_lowrank.exchange.seam import Channel
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.rounds.state import State


class Exchange:
    """Sends each local worker's vector through a compressor to all; gives back (own, mean).

    Messages travel as the collective `topology` says and are added in worker order, so that the
    mean has the same bits in any topology, on every rank and on any number of ranks. Coefficients
    of a shared compressor are averaged by the collective `reduction`.
    """

    def __init__(
        self,
        door: Door,
        placement: Placement,
        clock: Clock,
        dtype: np.dtype,
        topology: str = "allgather",
        reduction: str = "mpi",
        seed: int = 0,
        state: State | None = None,
    ):
        self.door, self.placement, self.clock = door, placement, clock
        self.dtype, self.seed = np.dtype(dtype), seed
        self.topology: Topology = collectives[topology](door)
        self.reduction: type[Reduction] = collectives[reduction]
        self.state = state or State(placement.local, dtype)
        traffic = self.state.within("traffic")
        self._uplink, self._downlink = (traffic.array(way, (), float) for way in ("up", "down"))
        self._published = traffic.array("published", (), float)
        self._handed = traffic.counter("handed")
        self._unsendable = traffic.of_rank("unsendable", (), bool)
        ways = self._uplink, self._downlink, self._published
        self._traffic = *ways, self._handed, self._unsendable
        self.round = 0
        self.call = 0, 0
        self._last: Channel | None = None
        self._flags = np.zeros(placement.total, np.uint8)
        self._channels: dict[Operator, Channel] = {}
        self.published_as: dict[Operator, Operator] = {}
        self._broadcasts: dict[Compressor, Broadcast] = {}

    def prepare(self, compressor: Operator, name: str = "uplink") -> None:
        """Make the buffers that `compressor` needs, for vectors of its own length.

        What it remembers is kept in the state under that `name`.
        """
        compressor.remember(self.state.within(name))
        if isinstance(compressor, SharedCompressor):
            self._channels[compressor] = Reduced(self, compressor)
        elif isinstance(compressor, Compressor):
            self._channels[compressor] = Gathered(self, compressor)

    def prepare_broadcast(self, compressor: Compressor, name: str = "downlink") -> None:
        """As `prepare`, for `broadcast` through `compressor`."""
        compressor.remember(self.state.within(name))
        self._broadcasts[compressor] = Broadcast(self, compressor)

    @property
    def round(self) -> int:
        """The round; draws follow from it and from the number of calls made in it before."""
        return self._round

    @round.setter
    def round(self, round: int) -> None:
        self._round, self._calls, self._told = round, 0, 0

    def warm_up(self) -> None:
        """Pass an empty message through all that was prepared, so that MPI knows its ways."""
        for channel in self._channels.values():
            channel.warm_up()

    def __call__(
        self,
        x: np.ndarray | Difference,
        compressor: Operator,
        weights: np.ndarray | None = None,
        active: np.ndarray | None = None,
        own: bool = True,
        share: bool = True,
        add_to: np.ndarray | None = None,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Exchange x (local workers, d), d being the compressor's.

        Returns own (local workers, d): what the others believe each local worker sent; None where
        no `own` was asked for. And mean (d,): the sum of weights[i] own_i over all workers, with
        `weights` (workers,) of 1/n unless given. The compressor's next call overwrites both.
        `active` (workers,) bool: the others are silent, send nothing, and their own is 0. Without
        `share` a server keeps the mean: only rank 0 may read it. Every call of a round draws
        numbers of its own.

        With `add_to` (d,) the mean is added to it, and `add_to` returned in its place: then a
        Difference is not formed where the compressor is `fused` and no more is asked for.
        """
        self.clock.lap("update")
        self.call, self._calls = (self._round, self._calls), self._calls + 1
        bits = self.published_as.get(compressor, compressor).published_bits
        self._published[()] += bits * (1 if active is None else np.mean(active))
        self._last = channel = self._channels[compressor]
        return _carry(channel, x, (weights, active, own, share), add_to)

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """Calls in the block are neither billed nor timed; their purpose in ledgers is "control".

        For compressors that remember nothing, and before the first round.
        """
        kept, ledger = [array.copy() for array in self._traffic], self.door.ledger
        begun = ledger.added
        with self.clock.stopped():
            yield
        for array, before in zip(self._traffic, kept, strict=True):
            array[...] = before
        ledger.since(begun)["purpose"] = b"control"
        self.round, self._last = self.round, None

    def bill(self, uplink: float, handed: int, downlink: float) -> None:
        """Add bytes: sent per worker, handed over by all ranks for it, received per worker."""
        self._uplink[()] += uplink
        self._handed[()] += handed
        self._downlink[()] += downlink

    @property
    def uplink_bytes(self) -> float:
        """The bytes that workers have sent, per worker."""
        return self._uplink.item()

    @property
    def downlink_bytes(self) -> float:
        """The bytes that workers have had to receive back, per worker: see the collectives."""
        return self._downlink.item()

    @property
    def handed_bytes(self) -> int:
        """The bytes that all ranks together handed over as uplink: the ledger must agree."""
        return self._handed.item()

    @property
    def unsendable(self) -> bool:
        """Whether this rank had a vector that was not finite or did not fit the wire's type."""
        return self._unsendable.item()

    @unsendable.setter
    def unsendable(self, unsendable: bool) -> None:
        self._unsendable[()] = unsendable

    @property
    def published_bits(self) -> float:
        """The bits that workers have sent, per worker, as papers count them; silence has none."""
        return self._published.item()

    def heard(self, compressor: Operator | None = None) -> np.ndarray | None:
        """The local workers' last messages through `compressor`, decoded, (local workers, d).

        Unless given it is the compressor of the last call. None where it is a shared one, which has
        no messages, or nothing was sent.
        """
        channel = self._last if compressor is None else self._channels[compressor]
        return channel.heard() if channel else None

    def preview(self, x: np.ndarray, compressor: Compressor) -> np.ndarray:
        """What `own` of the next call with x would be, (local workers, d); nothing is sent.

        Overwritten by the compressor's next call.
        """
        self.call = self._round, self._calls
        return _gathered(self._channels[compressor]).preview(x)

    def everyone(self, compressor: Compressor, out: np.ndarray) -> None:
        """Decode the last message of every worker into `out`, (workers, d).

        Only on ranks that receive messages (with a server rank 0), and after all workers spoke.
        """
        _gathered(self._channels[compressor]).everyone(out)

    def flags(self, mine: np.ndarray) -> np.ndarray:
        """Every worker's flag, (workers,) bool, where `mine` holds those of the local workers.

        In any topology this is an Allgather of one byte per worker, counted as uplink. The next
        call overwrites the result.
        """
        self.clock.lap("update")
        total, counts = self.placement.total, self.placement.counts
        self.door.allgather(mine.view(np.uint8), self._flags, counts, "uplink")
        self.bill(1, self.door.counted_in_allgather(counts), total - 1)
        self.clock.lap("exchange")
        return self._flags.view(bool)

    def tell(self, x: np.ndarray) -> None:
        """Make a server's x (d,) everybody's; without a server all have it already."""
        if self.topology.server:
            self.clock.lap("update")
            self.topology.tell(x)
            self.bill(0, 0, x.nbytes)
            self.clock.lap("exchange")

    def broadcast(self, x: np.ndarray, compressor: Compressor) -> np.ndarray:
        """What rank 0's x (d,) is decoded to by everybody, rank 0 included, (d,)."""
        self.clock.lap("update")
        self.call, self._told = (self._round, self._told), self._told + 1
        return self._broadcasts[compressor].send(x)


def _carry(
    channel: Channel, x: np.ndarray | Difference, ways: tuple, add_to: np.ndarray | None
) -> tuple[np.ndarray | None, np.ndarray]:
    """(own, mean), or (own, `add_to`) with the mean added; ways: weights, active, own, share."""
    if add_to is None:
        return channel.exchange(np.asarray(x), *ways)
    weights, active, own, _ = ways
    if weights is None and active is None and not own and _fuses(channel, x):
        channel.add(x, add_to)
        return None, add_to
    heard, mean = channel.exchange(np.asarray(x), *ways)
    return heard, np.add(add_to, mean, out=add_to)


def _gathered(channel: Channel) -> Gathered:
    assert isinstance(channel, Gathered)  # what is Allreduced has no messages
    return channel


def _fuses(channel: Channel, x: np.ndarray | Difference) -> TypeGuard[Reduced]:
    """Whether the channel takes this x without forming it."""
    lazy = isinstance(x, Difference)
    return lazy and isinstance(channel, Reduced) and channel.compressor.fused
