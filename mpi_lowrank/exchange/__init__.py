"""The seam to the other workers. No MPI here: arrays go through the `Door` of any transport.

Methods call

    own, mean = exchange(x, compressor, weights=None, active=None, own=True, share=True)

x holds a row per local worker. `own` holds what the others believe each of these workers sent: its
decoded message. It is None where no `own` was asked for. `mean` is the weighted mean of what all
workers sent.

- A per-worker compressor's messages travel as the case's topology says (`mpi_lowrank.collectives`)
  and are decoded and added in worker order, so that the mean has the same bits on any number of
  ranks. With a server rank 0 alone decodes; it tells the others the mean, or keeps it where `share`
  is false.
- A message of varying length begins with its length: all lengths are moved first, then what is
  behind them, without gaps.
- A shared compressor is a generator that yields what is to be reduced over workers, in as many
  phases as it likes, and is sent the mean back, or the maximum where it asks for one.
- A vector that cannot be sent (not finite, or too large for the wire's type) goes as zeros, and its
  rank remembers: all learn of it at the next evaluation, where the case ends as diverged.
- A silent worker (EF21-PP) sends no message and its `own` is zero; the mean still counts it. Every
  rank draws from the same stream who is silent, so nobody has to be told how many messages come.
- A method may use several compressors, such as a dense one for an occasional whole round: each one
  has buffers of its own, made before round 0.
- `exchange.broadcast(x, compressor)` is a compressed downlink (EF21-BC): rank 0 encodes once, and
  every rank, rank 0 included, decodes the message.
"""

from mpi_lowrank.exchange.exchange import Exchange
from mpi_lowrank.exchange.witnessed import Witness, Witnessed

__all__ = ["Exchange", "Witness", "Witnessed"]
