"""Everything that crosses a rank boundary: the only folder that imports mpi4py.

The seam between methods and collectives is one call,

    own, mean = exchange(x, compressor)

x holds one row a local worker; `own` is what the others will believe each of them sent (the decoded
wire message), `mean` the mean of that over all workers, the same bits on every rank. How the
methods to come pass through it:

- partial participation (EF21-PP): `active` names the workers that speak. A silent one packs no
  message, its own is zero, the mean still divides by n. Who is silent is drawn from the shared
  counter-based stream, so every rank knows the lengths without being told.
- weights (EF21-W): the mean becomes sum w_i own_i; `decode_mean` scales each message it adds.
- an occasional dense round (MARINA, a warm start, EF21's dense g0): the method passes another
  compressor; each one has its own buffers, made before round 0.
- a compressed downlink (EF21-BC): `broadcast(x, compressor)`: the server encodes once, everybody,
  the server included, decodes; the same messages pass the same door with another purpose.
- Allreduced compressors (PowerSGD, sketches, shared-scale QSGD): `encode` becomes a generator that
  yields the array to be reduced over workers and is sent the reduction back, in as many phases as
  it likes; it stays free of MPI, and `exchange` still returns (own, mean).
"""
