"""A case that is put away on some ranks goes on to the bit on others, in another number."""

from pathlib import Path

import numpy as np
import pytest

from mpi_lowrank.record import LEDGER_DTYPE

pytestmark = pytest.mark.mpi

CASE = """
workers = 5
rounds = 12
dtype = "{dtype}"
stepsize = 0.01
reduction = "ordered"
problem = {problem}
[[cases]]
method = {method}
compressor = "{spec}"
topology = "{topology}"
"""

OPTIONS = {
    "EF21-BC": '{ name = "EF21-BC", downlink = "rsvd:rank=1" }',
    "EF21-PAGE": '{ name = "EF21-PAGE", batch = 2 }',
    **{
        name: f'{{ name = "{name}", hessian = "eigen:rank=1" }}'
        for name in ("FedNL", "FedNL-LS", "FedNL-PP")
    },
    "FedNL-BC": '{ name = "FedNL-BC", hessian = "eigen:rank=1", downlink = "topk:k=20" }',
    **{name: f'{{ name = "{name}", batch = 2 }}' for name in ("SGD", "EF21-SGD", "EF21-SGDM")},
}
MATRIX = '{ name = "matrix", shape = [8, 14] }'
CONVEX = '{ name = "logistic", regularizer = "l2" }'
ROUNDS = 6


def cases(text):
    from mpi_lowrank import config

    return config.parse(text, Path("some.toml")).cases


def all_cases(ranks):
    """Of every method, and of every compressor's specifications; on 4 ranks of one of each."""
    from admitted import admits

    from mpi_lowrank.certificate import default_specs
    from mpi_lowrank.methods import methods

    given = {"dtype": "float64", "topology": "allgather", "problem": MATRIX}
    for name in methods.names():
        specs = ("topk:k=3", "randk:k=5,scale=unbiased", "permk:copies=2")
        spec = next(spec for spec in specs if admits(name, spec))
        told = {"method": OPTIONS.get(name, f'"{name}"')}
        told |= {"spec": spec if methods[name].needs_compressor else "identity"}
        told |= {"topology": "server"} if methods[name].needs_server else {}
        told |= {"problem": CONVEX} if {"batch", "hessian"} & set(told["method"].split()) else {}
        yield CASE.format(**given | told)
    specs = {spec.partition(":")[0] if ranks > 2 else spec: spec for spec in default_specs()}
    for spec in specs.values():
        yield CASE.format(**given | {"method": '"EF21"', "spec": spec, "dtype": "float32"})


def made_on(comm, text):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.door import Door
    from mpi_lowrank.run.assembly import assemble, ground

    (case,), door = cases(text), Door(MpiTransport(comm))
    return assemble(case, ground(case, door), door)


def rounds(made, begin, end):
    for t in range(begin, end):
        made.exchange.round = made.door.round = t
        made.clock.resume()
        made.method.round(t)
        made.clock.pause()
    exchange = made.exchange
    return [*made.method.x, exchange.uplink_bytes, exchange.downlink_bytes, exchange.published_bits]


def move(comm, fewer, text):
    """Three rounds on the ranks of `fewer`, then three on those of `comm`: both cases there."""
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.door import Door
    from mpi_lowrank.record.checkpoint import Checkpoint
    from mpi_lowrank.run.checkpoint import check_fits, pack, unpack

    checkpoint = None
    if fewer is not None:
        before = made_on(fewer, text)
        rounds(before, 0, ROUNDS // 2)
        arrays = pack(before, Door(MpiTransport(fewer)))
        if fewer.rank == 0:
            checkpoint = Checkpoint("a", ROUNDS // 2, before.door.ledger.rows(), arrays, fewer.size)
    whole, after = made_on(comm, text), made_on(comm, text)
    check_fits(after, checkpoint)
    unpack(after, Door(MpiTransport(comm)), checkpoint)
    return whole, after


def test_every_method_and_compressor_goes_on_on_more_ranks(comm):
    from mpi4py import MPI

    few = max(1, comm.size - 1)
    fewer = comm.Split(0 if comm.rank < few else MPI.UNDEFINED, comm.rank)
    fewer = None if fewer == MPI.COMM_NULL else fewer
    with np.errstate(all="ignore"):
        for text in all_cases(comm.size):
            whole, after = move(comm, fewer, text)
            expected, found = rounds(whole, 0, ROUNDS), rounds(after, ROUNDS // 2, ROUNDS)
            np.testing.assert_array_equal(found, expected, text)
            for entry, other in zip(after.state, whole.state, strict=True):
                # Some arrays are read on rank 0 alone, and a maximum is handed over per rank.
                read = comm.rank == 0 and entry.name != "traffic/handed"
                if entry.per_worker or read:
                    np.testing.assert_array_equal(entry.array, other.array)


def test_seconds_go_on_from_those_of_the_slowest_rank_on_another_number_of_them(comm):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.door import Door
    from mpi_lowrank.record.checkpoint import Checkpoint
    from mpi_lowrank.run.checkpoint import pack, unpack

    text = next(all_cases(comm.size))
    made, door = made_on(comm, text), Door(MpiTransport(comm))
    made.clock.charge("gradient", 10.0 + comm.rank)
    arrays = pack(made, door)
    same, ranks = made_on(comm, text), made_on(comm, text)
    unpack(
        same,
        door,
        Checkpoint("a", 1, np.zeros(0, LEDGER_DTYPE), arrays, comm.size)
        if comm.rank == 0
        else None,
    )
    assert same.clock.seconds["gradient"] == 10.0 + comm.rank
    more, checkpoint = comm.size + 2, None
    if comm.rank == 0:  # as so many ranks would have left it
        seconds = np.zeros((more, 6))
        seconds[:, 0] = range(more)
        told = {"notes/seconds": seconds.view(np.uint8).reshape(-1)}
        told["state/traffic/unsendable"] = np.arange(more, dtype=np.uint8) // (more - 1)
        checkpoint = Checkpoint("a", 1, np.zeros(0, LEDGER_DTYPE), arrays | told, more)
    unpack(ranks, door, checkpoint)
    assert ranks.clock.seconds["gradient"] == more - 1 and ranks.exchange.unsendable
