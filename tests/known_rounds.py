"""A case carried out in this process, up to the accuracies that a reference gives rounds for."""

from collections.abc import Iterator
from pathlib import Path

from mpi_lowrank import config
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.run.assembly import Assembly, assemble, ground


def carried_out(text: str, **given) -> Iterator[tuple[int, Assembly]]:
    """The case of that configuration before each of its rounds, and after the last one."""
    (case,) = config.parse(text.format(**given), Path("some.toml")).cases
    door = Door(Alone())
    made = assemble(case, ground(case, door), door)
    for t in range(case.rounds):
        yield t, made
        made.exchange.round = t
        made.method.round(t)
    yield case.rounds, made


def measured(made: Assembly, t: int):
    return made.evaluate(made.method.step.model, t)


def rounds_to(levels: list[float], text: str, **given) -> list[int]:
    """The first rounds after which the squared gradient norm is at most each of the levels."""
    reached: list[int] = []
    for t, made in carried_out(text, **given):
        norm = measured(made, t).grad_norm_sq
        while len(reached) < len(levels) and norm <= levels[len(reached)]:
            reached.append(t)
        if len(reached) == len(levels):
            break
    return reached
