"""MPI: its transport, its start, and what ranks tell each other beside the counted calls.

Only this folder imports mpi4py. `comm.mpi` alone hands a run's arrays to MPI, below the door of
`mpi_lowrank.door` that counts them.
"""
