"""What a compressor promises, and the measurement beside it.

`certify` measures one compressor on inputs made to break it (`inputs`), by driving it as the
exchange does (`drive`), and compares what it sees with what the operator declares (`checks`). Only
`ranks` imports MPI: it repeats what needs more than one rank.
"""

from mpi_lowrank.certificate.checks import certify, maker
from mpi_lowrank.certificate.findings import Finding
from mpi_lowrank.certificate.report import format_findings
from mpi_lowrank.certificate.specs import default_specs

__all__ = ["Finding", "certify", "default_specs", "format_findings", "maker"]
