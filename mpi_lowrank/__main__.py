"""python -m mpi_lowrank."""

import sys

from mpi_lowrank.cli import main

sys.exit(main())
