"""An MPI benchmark suite for compressed distributed optimisation, low-rank compressors first."""

__version__ = "0.2.0.dev0"
