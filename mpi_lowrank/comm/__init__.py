"""MPI: its transport, its start, and what ranks tell each other besides the counted calls.

Only this folder imports mpi4py. Only `comm.mpi` hands a run's arrays to MPI, under the `Door` of
`mpi_lowrank.door`, which counts them.
"""
