"""No array crosses a rank boundary but in the door's pieces: read off the source."""

import ast
import re
from pathlib import Path

import mpi_lowrank

PACKAGE = Path(mpi_lowrank.__file__).parent

CALL = re.compile(
    r"(I|Neighbor_|Ineighbor_)?(all(gather|reduce|to)\w*|reduce\w*|gather\w*|scatter\w*|scan|exscan|"
    r"bcast|barrier|s?r?b?send\w*|m?recv\w*|sendrecv\w*|put|get|accumulate)(_init|_c)?",
    re.IGNORECASE,
)

CALLS = ("Allgatherv", "Gatherv", "Bcast", "Send", "Recv", "Allreduce", "Barrier")

ALLOWED = {
    "comm/mpi.py": {name for call in CALLS for name in (call, f"I{call.lower()}")},
    "comm/world.py": {"Allreduce", "Ibarrier"},  # one number: who has an error; a wait asleep
    "comm/failures.py": {"Allreduce", "Ibarrier"},  # one number; and a wait that can be given up
}


def mpi_calls(text):
    """The names of the calls on a communicator; the door's own are called on a door."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = ast.unparse(node.func.value), node.func.attr
            on_comm = re.search(r"(comm|counted|world|MPI\.\w+|Dup\(\))$", owner, re.IGNORECASE)
            if CALL.fullmatch(name) and (on_comm or name[0].isupper()):
                yield name


def test_only_the_door_calls_mpi_to_move_arrays():
    found = {
        path.relative_to(PACKAGE).as_posix(): set(mpi_calls(path.read_text()))
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: calls for name, calls in found.items() if calls} == ALLOWED


def test_a_call_beside_the_door_is_found():
    text = "comm.Gatherv(a, b)\nself.comm.bcast(a)\ndoor.gather(a)\nqueue.get()\nx.Iallreduce(a)\n"
    assert sorted(mpi_calls(text)) == ["Gatherv", "Iallreduce", "bcast"]
