"""A compressor is made once: its options, then its promise, and neither changes afterwards."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from mpi_lowrank.component import option
from mpi_lowrank.compressors.base import Compressor, Largest, Promise, complete
from mpi_lowrank.compressors.composed.blocks import compress_blocks
from mpi_lowrank.compressors.coordinates.sparse import RandK, TopK
from mpi_lowrank.compressors.levels.exponential import NaturalDithering
from mpi_lowrank.compressors.levels.rounding import Natural
from mpi_lowrank.compressors.whole import Identity
from mpi_lowrank.errors import UserError

FLOAT = np.dtype(float)


def test_an_operator_knows_its_block_the_workers_and_every_option():
    topk = TopK((7, 16), np.float32, k=8, workers=3)
    assert (topk.block, topk.d, topk.dtype, topk.workers) == ((7, 16), 112, np.float32, 3)
    assert (topk.k, topk.wire) == (8, "float32")
    dithered = NaturalDithering((112,), FLOAT)
    assert dithered.base == 2.0 and "base" not in NaturalDithering.options


def test_what_is_promised_cannot_be_changed():
    topk = TopK((112,), FLOAT, k=8)
    assert topk.alpha == topk.promise.alpha == 8 / 112
    with pytest.raises(AttributeError):
        topk.alpha = 0.5
    with pytest.raises(FrozenInstanceError):
        topk.promise.alpha = 0.5


def test_an_unbiased_promise_contracts_where_its_omega_is_below_one():
    assert Promise(1, 8, omega=0.25).alpha == 0.75
    assert Promise(1, 8, omega=1.0).alpha is None
    assert Promise(1, 8, omega=0.25, alpha=0.8).alpha == 0.8
    assert replace(Promise(1, 8, alpha=0.5), nbytes=2).omega is None


def test_the_promise_is_asked_for_once_and_before_anything_is_allocated():
    class Asked(TopK):
        asked = prepared = 0

        def promised(self):
            self.asked += 1
            return super().promised()

        def prepare(self, local, total):
            self.prepared += 1

    made = Asked((112,), FLOAT, k=8)
    assert (made.asked, made.prepared) == (1, 0) and made.nbytes == 7 + 8 * 4


def test_what_carries_the_numbers_is_known_to_the_constructor():
    def inner(length):
        return Natural((length,), FLOAT)

    carried = RandK((112,), FLOAT, k=8, scale="unbiased", inner=inner)
    assert carried.omega == 112 / 8 * 1.125 - 1 and carried.nbytes == 7 + 9
    assert [part.d for part in carried.inner] == [8]
    with pytest.raises(TypeError, match="Identity has no option inner"):
        Identity((112,), FLOAT, inner=inner)


@pytest.mark.parametrize("body", [{"random": True}, {"alpha": 0.5}])
def test_a_promise_in_the_class_body_is_refused(body):
    (name,) = body
    with pytest.raises(UserError, match=f"Bold: {name} is for the Promise to say"):
        type("Bold", (Compressor,), body)


def test_an_option_that_would_hide_a_promise_is_refused():
    with pytest.raises(UserError, match="Bold: omega is for the Promise to say"):

        class Bold(Compressor):
            omega: float = option()


def test_blocks_promise_the_worst_of_theirs():
    def make(shape):
        return TopK(shape, FLOAT, k=2)

    def dense(shape):
        return Identity(shape, FLOAT)

    blocks = [("W", (3, 4)), ("V", (2, 5))]
    kind = type("PerBlock", (TopK,), {"per_block": True})
    whole, _ = compress_blocks(blocks, kind, make, dense)
    assert whole.alpha == 2 / 12 and whole.omega is None and whole.d == 22
    assert whole.nbytes == make((3, 4)).nbytes + make((2, 5)).nbytes


def test_phases_are_taken_to_their_end_each_one_as_it_asks():
    told, rows = [], np.array([[1.0, 4.0], [3.0, 2.0]])

    def phases():
        told.append((yield rows))
        told.append((yield Largest(2 * rows)))

    complete(phases(), lambda rows: rows.mean(axis=0), lambda rows: rows.max(axis=0))
    np.testing.assert_array_equal(told, [[2.0, 3.0], [6.0, 8.0]])


def test_a_compressor_without_phases_asks_for_nothing():
    complete((rows for rows in ()), average=None, largest=None)
