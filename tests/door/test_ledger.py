"""Calls kept one by one, and summed in between: against a list of them all."""

from collections import defaultdict

import numpy as np
import pytest

from mpi_lowrank.door.ledger import SUMMED, Ledger
from mpi_lowrank.record import LEDGER_DTYPE

KINDS = [("Allgatherv", "uint8", "uplink"), ("Bcast", "float32", "downlink")]
KINDS.append(("Allreduce", "float64", "evaluation"))


def calls(rounds, seed=1):
    """A setup, and rounds of one to four calls whose bytes do not fit a float64's whole numbers."""
    rng = np.random.default_rng(seed)
    for round in range(-1, rounds):
        for number in rng.integers(3, size=40 if round < 0 else rng.integers(1, 5)):
            op, dtype, purpose = KINDS[number]
            nbytes = int(rng.integers(2**50))
            yield round, op, dtype, nbytes // 8, nbytes, nbytes / 3, rng.random(), purpose


def kept(rounds, capacity=4096, ranks=32, stop=()):
    """The ledger of those calls; at some of them it is looked at."""
    ledger = Ledger(0, ranks, capacity)
    for number, call in enumerate(calls(rounds)):
        ledger.add(*call)
        if number in stop:
            ledger.rows()
    return ledger


def oracle(rounds, ends):
    """(rank, first, last, kind, sums) of every row, in plain Python."""
    early, sums, late = [], {}, []
    for round, op, dtype, count, nbytes, modelled, seconds, purpose in calls(rounds):
        kind, numbers = (op, dtype, purpose), [1, count, nbytes, modelled, seconds]
        if round < ends:
            early.append((round, round, kind, numbers))
        elif round > rounds - 1 - ends:
            late.append((round, round, kind, numbers))
        else:
            first, _, _, told = sums.setdefault(
                (kind, len(str(round))), (round, round, kind, [0, 0, 0, 0.0, 0.0])
            )
            told = [a + b for a, b in zip(told, numbers, strict=True)]
            sums[kind, len(str(round))] = first, round, kind, told
    return early + list(sums.values()) + late


def as_told(rows):
    return [
        (
            int(row["round"]),
            int(row["last"]),
            tuple(row[name].decode() for name in ("op", "dtype", "purpose")),
            [row[name].item() for name in SUMMED],
        )
        for row in rows
    ]


@pytest.mark.parametrize("rounds", [0, 5, 15, 17, 120, 1203])
def test_the_first_and_last_rounds_are_there_call_by_call_and_sums_between(rounds):
    ledger = kept(rounds)
    assert as_told(ledger.rows()) == oracle(rounds, ends=8)  # seconds and model to the bit
    for purpose in ("uplink", "downlink", "evaluation"):
        assert ledger.nbytes(purpose) == sum(c[4] for c in calls(rounds) if c[7] == purpose)


def test_when_rows_are_summed_changes_no_bit():
    expected = kept(1203).rows().tobytes()
    for capacity, stop in ((1, ()), (97, range(0, 3000, 10)), (4096, range(0, 3000, 7))):
        assert kept(1203, capacity, stop=stop).rows().tobytes() == expected


def test_a_ledger_that_goes_on_from_its_rows_has_the_same_bits():
    whole, ledger = kept(1203), Ledger(0, 32, 50)
    for call in calls(1203):
        if call[0] in (-1, 3, 40, 777) and ledger.added % 2:
            ledger, earlier = Ledger(0, 32, 50), ledger
            ledger.add(*call)  # the second setup, which is left out
            ledger.restore(earlier.rows().copy())
        ledger.add(*call)
    assert ledger.rows().tobytes() == whole.rows().tobytes()


def test_rows_do_not_grow_with_rounds_but_for_a_sum_each_decade():
    """In 10001 rounds of 3 kinds, 1024 ranks: a round at either end, 5 decades."""
    ledger = kept(10_001, ranks=1024)
    rows = ledger.rows()
    assert len(rows) - (rows["round"] < 1).sum() <= 4 + 5 * len(KINDS)
    assert rows["calls"].sum() == ledger.added


def test_rows_since_a_call_stay_in_place_while_others_are_summed():
    ledger, seen = Ledger(0, 256, 8), defaultdict(list)
    for round in range(40):
        before = ledger.added
        for count in range(3):
            ledger.add(round, "Bcast", "uint8", count, count, 0.0, 0.0, "uplink")
        ledger.since(before)["purpose"][1:] = b"control"
        seen[round] = ledger.since(before)["count"].tolist()
    assert seen[39] == [0, 1, 2] and ledger.since(ledger.added).size == 0
    assert ledger.nbytes("control") == 40 * 3 and ledger.nbytes("uplink") == 0


def test_rows_of_several_ranks_are_summed_apart():
    ledger = Ledger(0, 256)
    rows = np.zeros(400, LEDGER_DTYPE)
    rows["rank"], rows["calls"] = np.arange(400) % 2, 1
    rows["round"] = rows["last"] = np.arange(400) // 2
    ledger.restore(rows)
    for rank in (0, 1):
        own = ledger.rows()[ledger.rows()["rank"] == rank]
        assert own["calls"].tolist() == [1, 9, 90, 99, 1]
        assert own["last"].tolist() == [0, 9, 99, 198, 199]
