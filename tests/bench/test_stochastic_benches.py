"""bench/floors.py and bench/muon.py: what they take from a record, and a figure."""

from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "bench"


class Given:
    """A case of a record, as far as the benches read it."""

    def __init__(self, seed, method="EF21-SGDM(batch=16)", step=0.1, **columns):
        self.columns = {name: np.array(values, float) for name, values in columns.items()}
        self.attributes = {
            "seed": seed,
            "method": method,
            "compressor": "sdd(rank=4)+natural",
            "step": "muon(decay=600)",
            "stepsize": step,
        }

    def __getitem__(self, name):
        return self.columns[name]


class GivenRecord:
    def __init__(self, **cases):
        self.cases = {label.replace("_", " "): case for label, case in cases.items()}
        self.path = Path("some.h5")


@pytest.fixture(autouse=True)
def bench(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)


def test_a_floor_is_the_mean_over_the_last_quarter_and_the_median_over_seeds():
    import floors

    def case(seed, level):
        squares = [9, 9, 9, level, 3 * level]
        return Given(
            seed, round=[0, 1, 2, 3, 4], grad_norm_sq=squares, uplink_bytes=[0, 7, 14, 21, 28]
        )

    cases = {f"a_seed={seed}": case(seed, level) for seed, level in enumerate([1, 2, np.nan])}
    record = GivenRecord(**cases)
    ((label, sent, values),) = floors.floors(record)
    assert label == "a" and sent == 7
    np.testing.assert_array_equal(values, [2, 4, np.inf])


def test_each_method_stands_at_its_cheapest_step_by_the_median_seed():
    import muon

    def case(seed, step, reached, method="EF21-SGDM(batch=16)"):
        loss = np.where(np.arange(6) >= reached, 0.1, 1.0)
        return Given(seed, method, step, round=range(6), loss=loss, uplink_bytes=np.arange(6) * 1e3)

    record = GivenRecord(
        **{f"a_1_seed={seed}": case(seed, 1.0, at) for seed, at in enumerate([1, 4, 9])},
        **{f"a_2_seed={seed}": case(seed, 2.0, at) for seed, at in enumerate([3, 2, 3])},
        **{f"b_seed={seed}": case(seed, 1.0, 9, "Dion(mu=0.9)") for seed in range(3)},
    )
    found = muon.curves(record, 0.2)
    assert [(c.name, c.step, c.kilobytes) for c in found] == [
        ("Muon sdd 4 + nat.", 2.0, 3.0),
        ("Orth-Dion sdd 4 + nat.", 1.0, np.inf),
    ]
    muon.print_table(found)
    (axes,) = muon.draw(found, 0.2).axes
    assert axes.get_legend_handles_labels()[1] == [
        "Muon sdd 4 + nat.: 3 KB",
        "Orth-Dion sdd 4 + nat.: never",
    ]
