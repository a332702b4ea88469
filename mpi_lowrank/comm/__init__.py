"""Everything that crosses a rank boundary: the only folder that imports mpi4py.

The seam between methods and collectives is one call,

    own, mean = exchange(x, compressor, weights=None, active=None)

x holds one row a local worker; `own` is what the others believe each of them sent (the decoded wire
message), `mean` the weighted mean of that over all workers, the same bits on every rank.

- A per-worker compressor's messages are gathered, decoded and added in worker order. Those of
  varying length begin with it: the lengths are gathered first, then the rest without gaps.
- A shared compressor is a generator that yields what is to be summed over workers and is sent the
  mean back, in as many phases as it likes: it never sees MPI. It may ask for a maximum instead.
- A vector that cannot be sent (not finite, or too large for the wire) goes as zeros, and its rank
  remembers: all learn of it at the next evaluation, where the case ends as diverged.
- Silent workers (EF21-PP) pack no message and their own is zero; the mean still counts them. Who is
  silent is drawn from a stream that all ranks share, so nobody has to be told any lengths.
- An occasional dense round passes another compressor: each one has buffers of its own, made before
  round 0.
- A compressed downlink (EF21-BC) is `broadcast(x, compressor)`: the server encodes once, everybody,
  the server included, decodes.
"""
