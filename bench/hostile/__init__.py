"""Inputs that nobody wants, and what is done with each of them.

A target makes an input, bytes, out of a `random.Random`, and uses one: it is accepted, or refused
by an error that is declared. Whatever else is raised is a finding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hostile import configurations, messages, records, texts
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.errors import LONGEST, UserError


class FindingError(AssertionError):
    """An input was not refused as it should have been, or what was made of it is wrong."""


@dataclass(frozen=True)
class Target:
    """What inputs are tried on."""

    name: str
    share: float
    """Of all cases: what takes longer gets fewer."""
    make: Callable[[Random], bytes]
    use: Callable[[bytes, Path], None]
    """Uses the input, in a folder that it may write to."""

    def accepts(self, data: bytes, folder: Path) -> bool:
        """Whether the input is used; False where it is refused with an error that is declared."""
        try:
            self.use(data, folder)
        except UserError as error:
            if not str(error).isprintable() or len(str(error)) > LONGEST:
                raise FindingError(f"the error is no line: {str(error)[:2000]!r}") from error
            return False
        except MessageError:
            return False
        return True


TARGETS = {
    target.name: target
    for target in (
        Target("decoder", 0.739, messages.make, messages.use),
        Target("LIBSVM", 0.14, texts.make, texts.use),
        Target("configuration", 0.11, configurations.make, configurations.use),
        Target("record", 0.01, records.make, records.use),
        Target("run", 0.001, configurations.make_small, configurations.run),
    )
}
