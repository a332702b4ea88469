import numpy as np
import pytest

pytestmark = pytest.mark.mpi

D, LOCAL = 60, 2
SHARED = [
    ("dense", {}),
    ("powersgd", {"rank": 2}),
    ("powersgd", {"rank": 1, "basis": "svd", "refresh": 2}),
    ("alternating", {"rank": 2}),
    ("sketch", {"rank": 1}),
]
GATHERED = [("topk", {"k": 7}), ("rsvd", {"rank": 1}), ("identity", {"wire": "bfloat16"})]


def make_exchange(comm, **options):
    from mpi_lowrank.comm.mpi import MpiTransport
    from mpi_lowrank.door import Door
    from mpi_lowrank.door.placement import Placement
    from mpi_lowrank.exchange import Exchange
    from mpi_lowrank.machine.clock import Clock

    placement = Placement(LOCAL * comm.size, comm.size, comm.rank)
    door = Door(MpiTransport(comm))
    return Exchange(door, placement, Clock(), np.dtype(float), **options)


def make_compressor(name, options):
    from mpi_lowrank.compressors import compressors

    return compressors[name]((D,), np.dtype(float), **options)


def everybody(comm):
    return np.random.default_rng(5).standard_normal((LOCAL * comm.size, D))


def lockstep(compressor, x, round):
    """All workers of a shared compressor in one process."""
    from mpi_lowrank.compressors.base import complete
    from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream

    own, mean = np.zeros(x.shape), np.zeros(D)
    phases = compressor.reduce(x, own, mean, Stream(0, Purpose.COMPRESS, SHARED).at(round), ())
    complete(phases, lambda rows: rows.astype(float).mean(axis=0), largest=None)
    return own, mean


@pytest.mark.parametrize("reduction", ["mpi", "ordered"])
@pytest.mark.parametrize(("name", "options"), SHARED)
def test_phases_over_mpi_meet_the_lockstep_of_one_process(comm, name, options, reduction):
    from mpi_lowrank.certificate.drive import prepare

    exchange, x = make_exchange(comm, reduction=reduction), everybody(comm)
    ours, theirs = make_compressor(name, options), make_compressor(name, options)
    exchange.prepare(ours)
    prepare(theirs, len(x))
    for exchange.round in range(4):
        own, mean = exchange(x[exchange.placement.workers], ours)
        expected_own, expected = lockstep(theirs, x, exchange.round)
        np.testing.assert_allclose(mean, expected, rtol=0, atol=2e-5)
        np.testing.assert_allclose(own, expected_own[exchange.placement.workers], rtol=0, atol=2e-5)


@pytest.mark.parametrize("topology", ["allgather", "server"])
@pytest.mark.parametrize(("name", "options"), GATHERED)
def test_weights_and_silent_workers_shape_the_mean(comm, name, options, topology):
    exchange, x = make_exchange(comm, topology=topology), everybody(comm)
    compressor = make_compressor(name, options)
    exchange.prepare(compressor)
    n = len(x)
    weights, active = np.arange(1.0, n + 1), np.arange(n) % 3 != 1
    mine = exchange.placement.workers
    whole = exchange(x[mine], compressor)[0].copy()
    exchange.round = 0  # once more: the same draws
    sent = exchange.uplink_bytes
    own, mean = exchange(x[mine], compressor, weights=weights, active=active)
    np.testing.assert_array_equal(own, whole * active[mine][:, None])
    total = np.zeros(D)
    comm.Allreduce((weights[mine][:, None] * own).sum(axis=0), total)
    np.testing.assert_allclose(mean, total, rtol=0, atol=1e-12)
    assert exchange.uplink_bytes - sent == pytest.approx(compressor.nbytes * active.mean())
    rows = exchange.door.ledger.rows()
    uplink = rows["bytes"][rows["purpose"] == b"uplink"]
    assert uplink[-1] == compressor.nbytes * active[mine].sum()


@pytest.mark.parametrize(("name", "options"), SHARED[:1] + SHARED[-1:])
def test_weights_and_silent_workers_shape_an_allreduced_mean(comm, name, options):
    exchange, x = make_exchange(comm), everybody(comm)
    compressor = make_compressor(name, options)
    exchange.prepare(compressor)
    n, mine = len(x), exchange.placement.workers
    weights, active = np.arange(1.0, n + 1), np.arange(n) % 3 != 1
    whole = exchange(x[mine], compressor)[0].copy()
    exchange.round = 0  # once more: the same draws
    own, mean = exchange(x[mine], compressor, weights=weights, active=active)
    np.testing.assert_allclose(own, whole * active[mine][:, None], atol=1e-6)
    total = np.zeros(D)
    comm.Allreduce((weights[mine][:, None] * own).sum(axis=0), total)
    np.testing.assert_allclose(mean, total, rtol=0, atol=1e-4)


def test_a_broadcast_is_decoded_alike_by_everybody_and_costs_its_message(comm):
    exchange = make_exchange(comm, topology="server")
    compressor = make_compressor("topk", {"k": 3})
    exchange.prepare_broadcast(compressor)
    x = np.arange(D, dtype=float) if comm.rank == 0 else np.full(D, np.nan)
    decoded = exchange.broadcast(x, compressor)
    assert np.flatnonzero(decoded).tolist() == [57, 58, 59]
    assert decoded[57:].tolist() == [57, 58, 59]
    assert exchange.downlink_bytes == compressor.nbytes == 3 * 5
    assert exchange.uplink_bytes == 0


def test_a_broadcast_may_draw_what_everybody_draws(comm):
    exchange = make_exchange(comm, topology="server")
    compressor = make_compressor("permk", {"wire": "float64"})
    exchange.prepare_broadcast(compressor)
    x = np.random.default_rng(3).standard_normal(D)
    for exchange.round in range(2):  # one sender's permuted numbers are all of them
        np.testing.assert_array_equal(exchange.broadcast(x, compressor), x)


def test_an_allreduced_payload_is_its_uplink_and_its_downlink(comm):
    exchange, x = make_exchange(comm), everybody(comm)
    compressor = make_compressor("powersgd", {"rank": 1})
    exchange.prepare(compressor)
    exchange(x[exchange.placement.workers], compressor)
    assert exchange.uplink_bytes == exchange.downlink_bytes == 4 * (6 + 10)
    rows = exchange.door.ledger.rows()
    uplink = rows[rows["purpose"] == b"uplink"]
    assert uplink["bytes"].tolist() == [4 * 6, 4 * 10] and set(uplink["op"]) == {b"Allreduce"}
    ring = 2 * (comm.size - 1) / comm.size
    np.testing.assert_allclose(uplink["modelled"], ring * uplink["bytes"])


def test_bfloat16_sums_are_rounded_like_bfloat16(comm):
    import ml_dtypes

    exchange = make_exchange(comm)
    compressor = make_compressor("dense", {"wire": "bfloat16"})
    exchange.prepare(compressor)
    x = np.full((LOCAL, D), 1 / 3)
    mean = exchange(x, compressor)[1]
    assert abs(mean[0] - 1 / 3) < 1 / 3 * 2.0**-6
    assert mean[0] * LOCAL * comm.size == float(ml_dtypes.bfloat16(mean[0] * LOCAL * comm.size))


VARYING = ["sparsify:k=9.0", "qsgd:levels=3,coding=elias", "bernoulli:p=0.5"]


def from_spec(comm, spec):
    from mpi_lowrank.config.options import read_spec
    from mpi_lowrank.run.components import make_operator

    return make_operator(read_spec(spec), (D,), "float64", LOCAL * comm.size)


def in_one_process(comm, spec, x, round):
    """All workers' messages and what they are decoded to."""
    from mpi_lowrank.certificate import drive

    compressor = from_spec(comm, spec)
    drive.prepare(compressor, len(x))
    messages = drive.pack(compressor, x, round)
    return messages, drive.unpack(compressor, messages, D)


@pytest.mark.parametrize("topology", ["allgather", "server"])
@pytest.mark.parametrize("spec", VARYING)
def test_messages_of_varying_length_cost_their_lengths_and_arrive_whole(comm, spec, topology):
    exchange, x = make_exchange(comm, topology=topology), everybody(comm)
    compressor = from_spec(comm, spec)
    exchange.prepare(compressor)
    n, mine, sent = len(x), exchange.placement.workers, 0
    active = np.arange(n) % 3 != 1
    for exchange.round in range(4):
        messages, decoded = in_one_process(comm, spec, x, exchange.round)
        speaking = active if exchange.round == 2 else np.ones(n, bool)
        silence = {"active": active} if exchange.round == 2 else {}
        own, mean = exchange(x[mine], compressor, **silence)
        np.testing.assert_array_equal(own, decoded[mine] * speaking[mine][:, None])
        expected = (decoded * speaking[:, None]).mean(axis=0)
        np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-12)
        sent += int(messages[speaking, :4].view("<u4").sum())
    rows = exchange.door.ledger.rows()
    handed = np.array([rows["bytes"][rows["purpose"] == b"uplink"].sum()])
    total = np.zeros(1, handed.dtype)
    comm.Allreduce(handed, total)
    assert total[0] == sent
    if topology == "allgather" or comm.rank == 0:
        assert exchange.uplink_bytes == pytest.approx(sent / n)


@pytest.mark.parametrize("topology", ["allgather", "server"])
def test_workers_who_share_a_permutation_may_be_silent(comm, topology):
    exchange, x = make_exchange(comm, topology=topology), everybody(comm)
    compressor = from_spec(comm, "permk")
    exchange.prepare(compressor)
    n, mine = len(x), exchange.placement.workers
    active = np.arange(n) % 3 != 1
    for exchange.round in range(3):
        _, decoded = in_one_process(comm, "permk", x, exchange.round)
        own, mean = exchange(x[mine], compressor, active=active)
        np.testing.assert_array_equal(own, decoded[mine] * active[mine][:, None])
        expected = (decoded * active[:, None]).mean(axis=0)
        np.testing.assert_allclose(mean, expected, rtol=0, atol=1e-12)
    if topology == "allgather" or comm.rank == 0:
        assert exchange.uplink_bytes == pytest.approx(3 * compressor.nbytes * active.mean())


def test_a_broadcast_of_varying_length_costs_its_length(comm):
    spec = "sparsify:k=9.0"
    exchange, compressor = make_exchange(comm, topology="server"), from_spec(comm, spec)
    exchange.prepare_broadcast(compressor)
    x = np.arange(1.0, D + 1) if comm.rank == 0 else np.full(D, np.nan)
    decoded = exchange.broadcast(x, compressor)
    (kept,) = np.nonzero(decoded)
    np.testing.assert_allclose(decoded[kept], (kept + 1) * D / 9, rtol=1e-6)
    assert exchange.downlink_bytes == 4 + 4 * len(kept) + -(-6 * len(kept) // 8)


@pytest.mark.parametrize("reduction", ["mpi", "ordered"])
def test_a_maximum_and_integers_are_reduced_exactly(comm, reduction):
    from mpi_lowrank.certificate import drive

    exchange, x = make_exchange(comm, reduction=reduction), everybody(comm)
    compressor, alone = (from_spec(comm, "shared_qsgd:levels=5") for _ in range(2))
    exchange.prepare(compressor)
    drive.prepare(alone, len(x))
    mine = exchange.placement.workers
    for exchange.round in range(3):
        own, mean = exchange(x[mine], compressor)
        expected, its_mean, nbytes = drive.reduce(alone, x, exchange.round)
        np.testing.assert_array_equal(own, expected[mine])
        np.testing.assert_allclose(mean, its_mean, rtol=1e-14, atol=1e-15)
    assert exchange.uplink_bytes == 3 * nbytes == 3 * compressor.nbytes


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
@pytest.mark.parametrize(
    "spec",
    [
        "topk:k=3",
        "natural",
        "qsgd:coding=elias",
        "sparsify:k=60.0",
        "bernoulli:p=1.0",
        "sketch",
        "shared_qsgd:levels=4",
    ],
)
def test_what_cannot_be_sent_hangs_nobody_and_is_known_where_it_was(comm, spec, value):
    exchange, x = make_exchange(comm), everybody(comm)
    compressor = from_spec(comm, spec)
    exchange.prepare(compressor)
    last = comm.rank == comm.size - 1
    x[-1, 5] = value
    with np.errstate(over="ignore"):  # as in a run
        mean = exchange(x[exchange.placement.workers], compressor)[1]
    assert np.isfinite(mean).all()
    assert exchange.unsendable == (last or (compressor.shared and value == 1e300))


@pytest.mark.parametrize("reduction", ["mpi", "ordered"])
def test_warming_up_is_control_and_leaves_no_trace(comm, reduction):
    exchange = make_exchange(comm, reduction=reduction)
    for name, options in (("topk", {"k": 3}), ("powersgd", {"rank": 1})):
        exchange.prepare(make_compressor(name, options))
    exchange.warm_up()
    rows = exchange.door.ledger.rows()
    assert set(rows["purpose"]) == {b"control"} and len(rows) == 2
    assert exchange.uplink_bytes == exchange.downlink_bytes == exchange.handed_bytes == 0


@pytest.mark.parametrize("topology", ["allgather", "server"])
def test_a_gathered_round_is_its_messages_and_their_sum_in_worker_order(comm, topology):
    exchange, x = make_exchange(comm, topology=topology), everybody(comm)
    compressor, n = make_compressor("topk", {"k": 7}), LOCAL * comm.size
    exchange.prepare(compressor)
    kept = np.where(np.abs(x) >= np.sort(np.abs(x), axis=1)[:, [-7]], x, 0).astype(np.float32)
    mine, weight = exchange.placement.workers, 1 / n
    for round in (1, 2):
        own, mean = exchange(x[mine], compressor)
        np.testing.assert_array_equal(own, kept[mine])
        np.testing.assert_array_equal(exchange.heard(), kept[mine])
        expected = np.zeros(D)
        for row in kept.astype(float):
            expected += weight * row
        np.testing.assert_allclose(mean, expected, rtol=1e-15)
        assert exchange.uplink_bytes == round * compressor.nbytes == round * (7 * 4 + 6)
        assert exchange.handed_bytes == n * exchange.uplink_bytes
        received = (n - 1) * compressor.nbytes if topology == "allgather" else 8 * D
        assert exchange.downlink_bytes == pytest.approx(round * received)
    own, mean = exchange(x[mine], compressor, own=False, share=False)
    assert own is None and exchange.uplink_bytes == 3 * compressor.nbytes
    if comm.rank == 0:
        np.testing.assert_allclose(mean, expected, rtol=1e-15)
    if topology == "server":
        assert exchange.downlink_bytes == 2 * 8 * D
    assert not exchange.unsendable


@pytest.mark.parametrize("topology", ["allgather", "server"])
def test_a_round_of_messages_moves_what_its_cost_model_says(comm, topology):
    from mpi_lowrank.collectives import collectives

    exchange, x = make_exchange(comm, topology=topology), everybody(comm)
    compressor = make_compressor("topk", {"k": 7})
    exchange.prepare(compressor)
    exchange(x[exchange.placement.workers], compressor)
    cost = collectives[topology].cost(compressor.nbytes, 8 * D, len(x), comm.size)
    assert exchange.door.ledger.rows()["modelled"].sum() == pytest.approx(cost.wire)


@pytest.mark.parametrize("reduction", ["mpi", "ordered"])
def test_a_mean_of_coefficients_moves_what_its_cost_model_says(comm, reduction):
    from mpi_lowrank.collectives import collectives

    exchange, x = make_exchange(comm, reduction=reduction), everybody(comm)
    compressor = make_compressor("sketch", {"rank": 1})
    exchange.prepare(compressor)
    exchange(x[exchange.placement.workers], compressor)
    cost = collectives[reduction].cost(compressor.nbytes, len(x), comm.size)
    assert exchange.door.ledger.rows()["modelled"].sum() == pytest.approx(cost.wire)
