"""Commands on all ranks: MPI is started, errors end on every rank, rank 0 shows how far it is."""

from collections.abc import Callable
from typing import TypeVar

from mpi_lowrank.cli.status import FAILED, INTERRUPTED
from mpi_lowrank.errors import UserError
from mpi_lowrank.run.interruption import end_at_once

Item = TypeVar("Item")


def on_all_ranks(name: str, command: Callable) -> int:
    """Start MPI and carry out the command on its world; any error ends it on every rank."""
    end_at_once()
    try:
        from mpi_lowrank.comm import world
    except (ImportError, RuntimeError) as error:
        from mpi_lowrank.machine.launch import told_rank

        if told_rank() > 0:
            return FAILED
        cause = " ".join(str(error).split())
        raise UserError(f"no MPI: {cause}; install one, such as pip install mpich") from error
    try:
        comm = world.start()
    except world.AgreedError:
        return FAILED
    from mpi_lowrank.comm.alike import check_alike

    try:
        check_alike(comm, name)
        return command(comm)
    except world.AgreedError:
        return FAILED
    except KeyboardInterrupt:
        world.leave(comm, INTERRUPTED)
    except BaseException as error:
        world.abort(comm, error)


def progress(items: list[tuple[str, Item]], unit: str, silent: bool = False):
    """The items, pairs of a name and anything, and on a terminal a bar; `silent`: without it."""
    from tqdm import tqdm

    from mpi_lowrank.machine.terminal import terminal

    screen = None if silent else terminal()
    bar = tqdm(items, unit=unit, leave=False, file=screen, disable=screen is None)
    for name, item in bar:
        bar.set_description(name)
        yield name, item
