"""A case that is put away and taken out again goes on to the bit: in one process, without MPI."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from admitted import admits

from mpi_lowrank import config
from mpi_lowrank.certificate import default_specs
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.ledger import Ledger
from mpi_lowrank.methods import methods
from mpi_lowrank.record import LEDGER_DTYPE
from mpi_lowrank.record.checkpoint import Checkpoint, as_image, read
from mpi_lowrank.run.assembly import assemble, ground
from mpi_lowrank.run.checkpoint import check_fits, entries, pack, unpack
from mpi_lowrank.run.guarantees import Guarantees
from mpi_lowrank.run.loop import Observer, run_rounds, told
from mpi_lowrank.run.stopping import Divergence, Schedule, Targets
from mpi_lowrank.run.theorems import Theorem
from mpi_lowrank.run.watch import Consistency, Estimate, FirstRounds, Replicas

ROUNDS = 12

CASE = """
workers = 3
rounds = {rounds}
evaluate_every = 3
loss_every = 5
dtype = "{dtype}"
stepsize = 0.01
sync_every = {sync}
problem = {problem}
[[cases]]
method = {method}
compressor = "{spec}"
topology = "{topology}"
"""

BATCHED = ("SGD", "EF21-SGD", "EF21-SGDM", "EF21-PAGE")

OPTIONS = {
    "EF21-BC": '{ name = "EF21-BC", downlink = "rsvd:rank=1" }',
    **{name: f'{{ name = "{name}", batch = 2 }}' for name in BATCHED},
    **{
        name: f'{{ name = "{name}", hessian = "eigen:rank=1" }}'
        for name in ("FedNL", "FedNL-LS", "FedNL-PP")
    },
    "FedNL-BC": '{ name = "FedNL-BC", hessian = "eigen:rank=1", downlink = "topk:k=20" }',
}
CONVEX = '{ name = "logistic", regularizer = "l2" }'
MATRIX = '{ name = "matrix", shape = [8, 14] }'


def the_case(method="EF21", spec="topk:k=3", dtype="float64", sync=0):
    server = methods[method].needs_server
    told = OPTIONS.get(method, f'"{method}"')
    topology = "server" if server else "allgather"
    given = {"method": told, "spec": spec, "topology": topology, "dtype": dtype, "sync": sync}
    sampled = method in BATCHED or methods[method].needs_hessians
    given["problem"] = CONVEX if sampled else MATRIX
    text = CASE.format(rounds=ROUNDS, **given)
    (case,) = config.parse(text, Path("some.toml")).cases
    return case


class Rows(Observer):
    """What a record would have of a case."""

    def __init__(self, made):
        self.made, self.rows = made, {}

    def row_measured(self, row):
        exchange = self.made.exchange
        traffic = exchange.uplink_bytes, exchange.downlink_bytes, exchange.published_bits
        self.rows[row.done] = [*row.columns().values(), *traffic]


class PutAway(Observer):
    """Puts the case away after `done` rounds, and lets it go on for a while."""

    def __init__(self, made, observers, done):
        self.made, self.observers, self.done, self.taken = made, observers, done, None

    def round_done(self, done):
        if done == self.done:
            for put_away in told(self.observers, "put_away"):
                put_away()
            arrays, ledger = pack(self.made, Door(Alone())), self.made.door.ledger.rows().copy()
            self.taken = Checkpoint("a", done, ledger, arrays, ranks=1)

    def asks(self, done):
        return done == self.done + 1

    def ends(self, row):
        return "interrupted" if row.done == self.done + 1 else None


class Session:
    """The objects of one process that carries out the case for a while, with others that watch."""

    def __init__(self, case, *others):
        door = Door(Alone())
        self.made = assemble(case, ground(case, door), door)
        made, notes = self.made, self.made.notes
        replicas = Replicas(made.method, door, notes)
        self.rows = Rows(made)
        self.observers = [
            Consistency(made),
            FirstRounds(made.method, made.exchange, notes),
            Estimate(made.method, door, 3, notes, made.repair),
            replicas,
            Divergence(replicas, notes),
            Targets(case),
            Schedule(case),
            self.rows,
            *(other(made) for other in others),
        ]

    def run(self, start=0, until=None):
        """The verdict, and what was put away after `until` rounds."""
        away = [] if until is None else [PutAway(self.made, self.observers, until)]
        with np.errstate(all="ignore"):
            verdict = run_rounds(self.made, [*self.observers, *away], start)
        return verdict, away[0].taken if away else None


def assert_goes_on(case, *pauses, others=()):
    """Put away after each number of rounds in turn, it does as one that is left alone."""
    whole, last = Session(case, *others), None
    expected, _ = whole.run()
    rows, start, taken = {}, 0, None
    for until in (*pauses, None):
        session = last = Session(case, *others)
        if taken is not None:
            check_fits(session.made, taken)
            unpack(session.made, session.made.door, taken)
        verdict, taken = session.run(start, until)
        rows = {done: row for done, row in rows.items() if done < start} | session.rows.rows
        start = until
    assert list(rows) == list(whole.rows.rows)
    for done, row in rows.items():
        np.testing.assert_array_equal(row, whole.rows.rows[done], f"after {done} rounds")
    assert verdict == expected
    for (name, entry), (_, other) in zip(entries(last.made), entries(whole.made), strict=True):
        if name != "notes/seconds":
            np.testing.assert_array_equal(entry.array, other.array, name)
    ledgers = [session.made.door.ledger.rows().copy() for session in (last, whole)]
    for ledger in ledgers:
        ledger["seconds"] = 0
    assert ledgers[0].tobytes() == ledgers[1].tobytes()


@pytest.fixture(autouse=True)
def most_rounds_are_summed(monkeypatch):
    monkeypatch.setattr(Ledger, "ROUNDS", 2)


METHODS = [
    (name, spec)
    for name in methods.names()
    for spec in ("topk:k=5", "powersgd:rank=2", "randk:k=5,scale=unbiased", "permk", "identity")
    if (admits(name, spec) if methods[name].needs_compressor else spec == "identity")
]


@pytest.mark.parametrize(("method", "spec"), METHODS)
@pytest.mark.parametrize("pauses", [(4,), (3, 7)], ids=["once", "at a row, and again"])
def test_every_method_goes_on(method, spec, pauses):
    assert_goes_on(the_case(method, spec), *pauses)


@pytest.mark.parametrize("spec", [*default_specs(), "powersgd:rank=2,basis=svd,refresh=2"])
def test_every_compressor_goes_on(spec):
    for dtype in ("float64", "float32"):
        assert_goes_on(the_case("EF21", spec, dtype), 4, 8)


@pytest.mark.parametrize("method", ["EF21", "EF21-PP", "Scaffnew", "LoCoDL"])
def test_a_case_that_repairs_its_drift_goes_on(method):
    spec = {"Scaffnew": "identity", "LoCoDL": "natural"}.get(method, "randk:k=5")
    assert_goes_on(the_case(method, spec, "float32", sync=4), 4, 6)


@pytest.mark.parametrize("multiple", [1, 40])
@pytest.mark.parametrize("spec", ["topk:k=5", "powersgd:rank=2"])
@pytest.mark.parametrize("pauses", [(4,), (3, 7)], ids=["once", "at a row, and again"])
def test_what_theorems_promise_goes_on(spec, pauses, multiple, monkeypatch):
    monkeypatch.setattr(Theorem, "proved", True)  # a step of which nothing is proved breaks them
    case = replace(the_case("EF21", spec), theory=True, stepsize=None, multiple=multiple)
    assert_goes_on(case, *pauses, others=[lambda made: Guarantees(made.theory, made.notes)])


class Longest(Observer):
    """Says at the end which norm of x was the largest; keeps it to itself."""

    def __init__(self, made):
        self.made, self.norm = made, np.zeros(())

    def round_done(self, done):
        self.norm[()] = max(self.norm, np.linalg.norm(self.made.method.x))

    def case_ended(self, verdict):
        verdict.reasons.append(f"{self.norm}")


class NamedLongest(Longest):
    def __init__(self, made):
        self.made, self.norm = made, made.notes.array("longest")


def test_an_observer_that_keeps_something_to_itself_is_found():
    with pytest.raises(AssertionError):
        assert_goes_on(the_case(), 4, others=[Longest])
    assert_goes_on(the_case(), 4, others=[NamedLongest])


def test_a_checkpoint_comes_back_from_its_file_to_the_bit(tmp_path):
    session = Session(the_case("EF21", "powersgd:rank=2", "float32"))
    session.run(until=4)
    arrays = pack(session.made, session.made.door)
    ledger = session.made.door.ledger.rows()
    taken = Checkpoint("a", 4, ledger, dict(arrays), ranks=1)
    (tmp_path / "c").write_bytes(as_image(taken))
    assert not taken.arrays  # nothing is in memory twice for longer than it takes
    found = read(tmp_path / "c")
    assert (found.case, found.done, found.ranks) == ("a", 4, 1)
    assert len(ledger) and found.ledger.tobytes() == ledger.tobytes()
    assert {n: a.tobytes() for n, a in found.arrays.items()} == {
        n: a.tobytes() for n, a in arrays.items()
    }
    assert read(tmp_path / "none") is None


def test_another_case_s_checkpoint_does_not_fit():
    taken = pack(Session(the_case()).made, Door(Alone()))
    other = Session(the_case("EF14", "svd:rank=1")).made
    with pytest.raises(ValueError, match="the checkpoint has no"):
        check_fits(other, Checkpoint("a", 4, np.zeros(0, LEDGER_DTYPE), taken, ranks=1))
