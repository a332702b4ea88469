"""Rounds in which all, one or none of the workers speak, and what they are billed."""

import numpy as np
import pytest
from ml_dtypes import finfo

from mpi_lowrank.certificate import default_specs, drive, maker
from mpi_lowrank.compressors.wire.messages import message_lengths
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.record import Record

pytestmark = pytest.mark.mpi

D, LOCAL = 112, 2


def make_exchange(comm, **collective):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement
    from mpi_lowrank.exchange import Exchange

    placement = Placement(LOCAL * comm.size, comm.size, comm.rank)
    door = Door(MpiTransport(comm))
    return Exchange(door, placement, Clock(), np.float64, **collective)


def make(spec, workers):
    return maker(read_spec(spec), spec)((D,), workers)


def in_one_process(operator, x, active, round):
    """What every worker is decoded to, 0 where it is silent, and the bytes of the speakers."""
    messages = drive.pack(operator, x, round)
    lengths = message_lengths(messages) if operator.variable else np.full(len(x), operator.nbytes)
    decoded = drive.unpack(operator, messages, D)
    if active.any():  # what is said next may depend on what is heard
        operator.decode_sum(messages[active], np.ones(active.sum()), np.empty(D))
    return decoded * active[:, None], lengths[active].sum()


@pytest.mark.parametrize("topology", ["allgather", "server"])
def test_any_number_of_workers_may_speak_through_any_compressor(comm, topology):
    from mpi_lowrank.run.validity import check_bytes

    n = LOCAL * comm.size
    x = np.random.default_rng(3).standard_normal((n, D))
    for spec in default_specs():
        exchange, operator, sent = make_exchange(comm, topology=topology), make(spec, n), 0
        if operator.shared or (operator.overhears and topology == "server"):
            continue
        alone = make(spec, n)
        drive.prepare(alone, n)
        exchange.prepare(operator)
        mine = exchange.placement.workers
        for exchange.round, active in enumerate(({}, {n - 1}, set(range(n)))):
            speaks = np.isin(np.arange(n), list(active))
            own, mean = exchange(x[mine], operator, active=speaks)
            expected, nbytes = in_one_process(alone, x, speaks, exchange.round)
            sent += nbytes
            np.testing.assert_array_equal(own, expected[mine], err_msg=spec)
            np.testing.assert_allclose(mean, expected.mean(axis=0), atol=1e-12, err_msg=spec)
        if topology == "allgather" or comm.rank == 0:
            assert exchange.uplink_bytes == pytest.approx(sent / n), spec
        reasons = check_bytes(exchange.door, exchange)
        assert comm.rank > 0 or reasons == [], spec
        assert exchange.published_bits == pytest.approx(operator.published_bits * (n + 1) / n)


@pytest.mark.parametrize("reduction", ["mpi", "ordered"])
def test_any_number_of_workers_may_count_in_any_reduced_mean(comm, reduction):
    n = LOCAL * comm.size
    x = np.random.default_rng(3).standard_normal((n, D))
    for spec in (spec for spec in default_specs() if make(spec, n).shared):
        exchange, operator = make_exchange(comm, reduction=reduction), make(spec, n)
        exchange.prepare(operator)
        mine = exchange.placement.workers
        for exchange.round, active in enumerate(([], [n - 1], range(n))):
            speaks = np.isin(np.arange(n), active)
            own, mean = exchange(x[mine], operator, active=speaks)
            assert np.isfinite(own).all() and not own[~speaks[mine]].any(), spec
            total = np.zeros(D)
            comm.Allreduce(own.sum(axis=0), total)
            off = 8 * float(finfo(operator.precision).eps) * np.abs(total).max(initial=1e-30)
            np.testing.assert_allclose(mean, total / n, atol=off, err_msg=spec)
            assert mean.any() == speaks.any(), spec


SILENT = """
workers = 4
rounds = 40
evaluate_every = 10
[[cases]]
method = ["EF21", "EF21-PP"]
compressor = "svd:rank=1"
topology = ["allgather", "server"]
"""


def test_papers_bill_those_who_spoke_and_a_round_of_silence_is_a_round(comm, tmp_path_factory):
    from mpi_lowrank import config
    from mpi_lowrank.run import experiment

    folder = comm.bcast(str(tmp_path_factory.mktemp("silent")) if comm.rank == 0 else None)
    path = f"{folder}/silent.toml"
    if comm.rank == 0:
        with open(path, "w") as file:
            file.write(SILENT)
    comm.Barrier()
    experiment.run(config.load(path), comm, f"{folder}/silent.h5")
    comm.Barrier()
    for label, case in Record(f"{folder}/silent.h5").cases.items():
        assert case.attributes["valid"], label
        a_message, dense = case.attributes["message_bytes"], 4 * 112
        spoken = (case["uplink_bytes"][1:] - dense) / a_message  # after g_i^0, which papers omit
        np.testing.assert_allclose(case["published_bits"][1:], 32 * (8 + 14) * (1 + spoken))
        everybody = 32 * (8 + 14) * case["round"]
        assert (case["published_bits"] < everybody)[1:].all() == ("EF21-PP" in label)
