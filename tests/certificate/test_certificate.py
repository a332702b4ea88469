import json
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest

from mpi_lowrank import cli
from mpi_lowrank.certificate import certify, default_specs, maker
from mpi_lowrank.certificate.inputs import D, gradient_differences, inputs
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.coordinates.sparse import RandK, TopK
from mpi_lowrank.config.options import read_spec


def findings(spec, promise):
    return [f for f in certify(spec, maker(read_spec(spec), spec)) if f.promise == promise]


def wrong(kind, **options):
    made = certify("wrong", lambda block, workers: kind(block, np.dtype(float), **options))
    return {f.promise.split(" at ")[0] for f in made if not f.passed}


def test_every_registered_compressor_is_certified_and_forty_specifications_or_more():
    specs = default_specs()
    assert {spec.split(":")[0].split("+")[0] for spec in specs} == set(compressors.names())
    assert len(specs) == len(set(specs)) >= 40


def test_what_is_measured_is_what_theory_says():
    (finding,) = findings("topk:k=8", "1 - alpha")
    assert finding.promised == finding.measured == 1 - 8 / D and finding.bound == 0
    (finding,) = findings("natural", "attained")
    assert finding.promised == 1 / 8 and abs(finding.measured - 1 / 8) <= finding.bound
    (finding,) = findings("qsgd:levels=4", "attained")
    assert finding.promised == pytest.approx(sqrt(D) / 4 - 1)
    assert abs(finding.measured - finding.promised) <= finding.bound
    (finding,) = findings("svd:rank=2,shape=7x16", "attained")
    assert finding.measured == pytest.approx(1 - 2 / 7, abs=1e-6)


def test_inputs_are_of_unit_rank_of_equal_singular_values_and_of_every_size():
    operator = maker(read_spec("topk:k=8"), "topk:k=8")((D,), 4)
    vectors = inputs(operator)
    assert {"its worst case", "flat", "one-hot", "power law", "ties"} <= set(vectors)
    for m, c in ((7, 16), (8, 14)):
        values = np.linalg.svd(vectors[f"rank one {m}x{c}"].reshape(m, c))[1]
        np.testing.assert_allclose(values[1:] / values[0], 0, atol=1e-15)
        values = np.linalg.svd(vectors[f"equal singular values {m}x{c}"].reshape(m, c))[1]
        np.testing.assert_allclose(values, 1, rtol=1e-12)
    assert np.abs(vectors["tiny"]).max() < 1e-27 and np.abs(vectors["huge"]).max() > 1e27


def test_gradient_differences_are_those_of_the_problem():
    from mpi_lowrank.datasets import load, shard_rows
    from mpi_lowrank.datasets.local import LocalShards, Rows
    from mpi_lowrank.problems import problems

    dataset = load("mushrooms")
    rows = shard_rows(dataset.labels, 20, "contiguous", 0)
    shards = [Rows(dataset.features[r], dataset.labels[r]) for r in rows]
    local = LocalShards(range(20), 20, 0, shards, longest=max(map(len, rows)))
    problem = problems["logistic"](local, np.dtype(float))
    x = np.random.default_rng(0).standard_normal(D)
    first, second = np.zeros((20, D)), np.zeros((20, D))
    problem.gradients(x, first)
    problem.gradients(x - first.mean(axis=0), second)
    np.testing.assert_allclose(gradient_differences(), second - first, atol=1e-13)


class TestPromisesThatDoNotHold:
    def test_an_alpha_that_is_too_large(self):
        class Boasting(TopK):
            k = 8

            def promised(self):
                return replace(super().promised(), alpha=9 / 112)

        assert "1 - alpha" in wrong(Boasting)

    def test_an_alpha_that_wastes_stepsizes(self):
        class Timid(TopK):
            k = 8

            def promised(self):
                return replace(super().promised(), alpha=7 / 112)

        assert wrong(Timid) == {"attained"}

    def test_a_mean_that_is_off_by_two_percent(self):
        class Biased(RandK):
            k, scale = 56, "unbiased"

            def chosen(self):
                groups, promise = super().chosen()
                self.factor *= 1.02
                return groups, promise

        assert "mean error in sigmas" in wrong(Biased)

    def test_homogeneity_that_is_not(self):
        class Fixed(TopK):
            def choose(self, x, side, numbers, generators):
                super().choose(x, side, numbers, generators)
                np.clip(numbers, -1.0, 1.0, out=numbers)

        assert "|C(3x) - 3C(x)|" in wrong(Fixed, k=8)

    def test_zero_that_becomes_something(self):
        class Noisy(TopK):
            def restore(self, side, numbers, out):
                super().restore(side, numbers, out)
                out += 1e-9

        assert "C(0)" in wrong(Noisy, k=8)

    def test_a_sum_that_is_not_that_of_the_decodes(self):
        class Summing(TopK):
            def restore_sum(self, side, numbers, weights, out):
                super().restore_sum(side, numbers, np.ones_like(weights), out)

        assert wrong(Summing, k=8) == {"sum of decodes"}

    def test_draws_that_are_the_same_in_every_round(self):
        class Frozen(RandK):
            def select(self, x, generators):
                draws = [np.random.default_rng(w) for w in range(len(x))]
                return super().select(x, draws)

        assert {"another round", "another seed"} <= wrong(Frozen, k=8)

    def test_messages_that_depend_on_the_past(self):
        class Remembering(RandK):
            def select(self, x, generators):
                for generator in generators:
                    generator.random(getattr(self, "_calls", 0))
                self._calls = getattr(self, "_calls", 0) + 1
                return super().select(x, generators)

        assert {"same seed, round, worker"} <= wrong(Remembering, k=8)


class TestCommand:
    def run(self, capsys, *arguments):
        status = cli.main(["certify", *arguments])
        return status, capsys.readouterr().out

    def test_prints_promised_and_measured_and_succeeds(self, capsys):
        status, text = self.run(capsys, "topk:k=8", "svd:rank=1,shape=7x16+natural")
        assert status == 0 and "0.9286" in text and text.endswith("all hold\n")
        assert max(map(len, text.splitlines())) <= 100

    def test_json_has_every_promise(self, capsys):
        status, text = self.run(capsys, "topk:k=8", "--json")
        rows = json.loads(text)
        assert status == 0 and all(row["passed"] for row in rows)
        assert {"spec", "promise", "promised", "measured", "bound", "where"} <= rows[0].keys()

    def test_a_broken_promise_is_a_non_zero_exit_that_names_the_input(self, capsys, monkeypatch):
        compressors.names()

        class Boasting(TopK):
            examples = ("k=1",)

            def promised(self):
                return replace(super().promised(), alpha=0.5)

        monkeypatch.setitem(compressors._found, "boasting", Boasting)
        status, text = self.run(capsys, "topk:k=1", "boasting:k=1")
        assert status == 1 and "FAIL" in text and " on " in text and "1 failed" not in text
        assert max(map(len, text.splitlines())) <= 100

    @pytest.mark.parametrize(
        ("spec", "told"),
        [
            ("topk", "k"),
            ("topk:k=0", "k = 0"),
            ("nonsense", "nonsense"),
            ("svd:shape=3x3", "shape"),
            ("natural+topk:k=2", "compose"),
            ("randk:k=3,scale=unbiased+topk:k=1", "unbiased"),
            ("topk:k=3+sketch", "Allreduce"),
            ("topk:k=3+qsgd:coding=elias", "one length"),
        ],
    )
    def test_an_impossible_specification_is_one_line(self, capsys, spec, told):
        assert cli.main(["certify", spec]) == 2
        error = capsys.readouterr().err
        assert error.startswith("mpi-lowrank: error: ") and error.count("\n") == 1
        assert told in error


@pytest.mark.mpi
def test_every_compressor_reads_the_same_on_all_ranks_as_in_one_process(comm):
    from mpi_lowrank.certificate.ranks import certify_ranks

    for spec in default_specs():
        made = certify_ranks(comm, spec, maker(read_spec(spec), spec))
        assert [finding for finding in made if not finding.passed] == []
