"""Which workers live on which rank: contiguous blocks, in order."""

from dataclasses import dataclass
from functools import cached_property

from mpi_lowrank.errors import UserError


@dataclass(frozen=True)
class Placement:
    """`total` workers on `ranks` ranks; the first ranks hold one more where it does not divide."""

    total: int
    ranks: int
    rank: int

    def __post_init__(self) -> None:
        if self.ranks > self.total:
            raise UserError(
                f"workers = {self.total} on {self.ranks} ranks: allowed is at most one rank per "
                f"worker; start at most {self.total}"
            )

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """The workers of each rank."""
        each, more = divmod(self.total, self.ranks)
        return tuple(each + (rank < more) for rank in range(self.ranks))

    @cached_property
    def local(self) -> int:
        """How many workers this rank has."""
        return self.counts[self.rank]

    @cached_property
    def workers(self) -> range:
        """The numbers of this rank's workers."""
        first = sum(self.counts[: self.rank])
        return range(first, first + self.local)
