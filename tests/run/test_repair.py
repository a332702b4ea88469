"""A drift repair: g is mean g_i again, x that of rank 0; counted to the byte, it hides nothing."""

import numpy as np
import pytest
from cases import assembled

from mpi_lowrank.errors import UserError
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.run.loop import Observer, run_rounds
from mpi_lowrank.run.stopping import Schedule
from mpi_lowrank.run.watch import Consistency, Estimate, FirstRounds, Replicas, Whole

WORKERS, D = 10, 8 * 4

CASE = """
workers = 10
rounds = {rounds}
evaluate_every = {rounds}
dtype = "{dtype}"
sync_every = {sync}
stepsize = "0.05/L"
topology = "{topology}"
problem = {problem}
[[cases]]
method = {method}
compressor = "{spec}"
"""
MATRIX = '{ name = "matrix", shape = [8, 4], heterogeneity = 0.5 }'
SMALL = '{ name = "matrix", shape = [3, 2] }'
CONVEX = '{ name = "logistic", regularizer = "l2" }'

EF21_TOPK = '"EF21"', "topk:k=4"


def ended(method, spec, sync, rounds=12, dtype="float32", topology="allgather", problem=MATRIX):
    """A case after its rounds, and the verdict on it."""
    given = {"method": method, "spec": spec, "sync": sync, "rounds": rounds, "dtype": dtype}
    made = assembled(CASE.format(topology=topology, problem=problem, **given))
    door, method = made.door, made.method
    observers: list[Observer] = [Consistency(made), Whole(made), Schedule(made.case)]
    observers += [FirstRounds(method, made.exchange), Replicas(method, door)]
    observers += [Estimate(method, door, WORKERS, repair=made.repair)]
    with np.errstate(all="ignore"):
        return made, run_rounds(made, observers)


def drift(made):
    """|g - mean g_i|"""
    each, estimate = made.method.estimate_error()
    return np.linalg.norm(each.mean(axis=0, dtype=np.float64) - estimate)


def sent(made):
    return np.array([made.exchange.uplink_bytes, made.exchange.downlink_bytes])


def traffic(made):
    """Bytes by purpose and round, as the ledger has them."""
    rows = made.door.ledger.rows()
    return {
        purpose: np.bincount(some["round"], some["bytes"], made.case.rounds)
        for purpose in ("uplink", "downlink")
        for some in [rows[(rows["purpose"] == purpose.encode()) & (rows["round"] >= 0)]]
    }


def test_in_a_long_run_of_single_precision_g_stays_near_the_mean():
    (off, told), (on, told_too) = (ended(*EF21_TOPK, sync, rounds=1250) for sync in (0, 100))
    assert told.reasons == told_too.reasons == []
    assert drift(on) < drift(off) / 3
    assert on.repair.mended > 0 and off.repair is None


@pytest.mark.parametrize(("topology", "back"), [("allgather", WORKERS - 1), ("server", 1)])
def test_what_it_takes_is_counted_to_the_byte(topology, back):
    off, on = (ended(*EF21_TOPK, sync, topology=topology)[0] for sync in (0, 5))
    times, whole = 2, 4 * D  # before rounds 5 and 10
    assert (sent(on) - sent(off)).tolist() == [times * whole, times * (back + 1) * whole]
    more = {way: traffic(on)[way] - traffic(off)[way] for way in ("uplink", "downlink")}
    assert np.flatnonzero(more["uplink"]).tolist() == [5, 10]
    assert more["uplink"].sum() == times * whole * WORKERS
    told = 2 if topology == "server" else 1  # x, and what a server knows alone
    assert more["downlink"][[5, 10]].tolist() == [told * whole] * 2
    assert more["downlink"].sum() == times * told * whole


def test_draws_stay_what_they_are_and_a_repair_that_is_never_due_changes_no_bit():
    spec = "randk:k=4"
    off, never, on = (ended('"EF21"', spec, s, dtype="float64")[0] for s in (0, 12, 5))
    np.testing.assert_array_equal(off.method.x, never.method.x)
    assert sent(off).tolist() == sent(never).tolist()
    np.testing.assert_allclose(on.method.x, off.method.x, rtol=1e-12)


KEEP = [
    ('"EF21"', "topk:k=4", MATRIX),
    ('"EF21-W"', "topk:k=4", MATRIX),
    ('"EF21-PP"', "topk:k=4", MATRIX),
    ('{ name = "EF21-SGDM", batch = 2 }', "topk:k=9", CONVEX),
    ('{ name = "Scaffnew", p = 0.3 }', "identity", MATRIX),
    ('{ name = "CompressedScaffnew", p = 0.3 }', "permk:copies=3", CONVEX),
    ('"LoCoDL"', "natural", CONVEX),
    ('{ name = "FedNL", hessian = "eigen:rank=1", mu = 0.1 }', "identity", SMALL),
    ('{ name = "FedNL-PP", hessian = "eigen:rank=1", mu = 0.1 }', "identity", SMALL),
]


@pytest.mark.parametrize(("method", "spec", "problem"), KEEP)
def test_every_method_that_says_what_its_mean_is_has_it_mended(method, spec, problem):
    made, verdict = ended(method, spec, 5, problem=problem)
    assert verdict.reasons == []
    each, estimate = made.method.estimate_error()
    made.method.repair(each.mean(axis=0) + 1)  # off by as much as it was told to be
    assert drift(made) == pytest.approx(np.sqrt(estimate.size), rel=1e-3)


def test_what_keeps_no_mean_has_x_alone_told():
    off, on = (ended('"EF14"', "topk:k=4", sync)[0] for sync in (0, 5))
    assert (sent(on) - sent(off)).tolist() == [0, 2 * 4 * D]
    np.testing.assert_array_equal(off.method.x, on.method.x)


class OnceOffByAThousandth(EF21):
    """In round 3 g moves by a thousandth more than the mean of the messages."""

    def _learn(self, t):
        before = self._estimate.copy()
        super()._learn(t)
        if t == 3:
            self._estimate += (self._estimate - before) / 1000


def test_a_mistake_that_a_repair_has_mended_is_told(monkeypatch):
    methods.names()
    monkeypatch.setitem(methods._found, "EF21", OnceOffByAThousandth)
    (reason,) = ended(*EF21_TOPK, 5)[1].reasons
    assert reason.startswith("g is not mean g_i")


def test_less_than_none_is_refused():
    with pytest.raises(UserError, match="sync_every = -1: allowed is a number of rounds, or 0"):
        ended(*EF21_TOPK, -1)
