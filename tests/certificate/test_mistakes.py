"""Mistakes found in public codes, made on purpose: each one is caught, and for what it is."""

import re
from dataclasses import replace

import numpy as np
import pytest

from mpi_lowrank import config
from mpi_lowrank.certificate import certify
from mpi_lowrank.compressors.base import Promise
from mpi_lowrank.compressors.coordinates.sparse import TopK
from mpi_lowrank.compressors.factors.allreduced import Alternating, PowerSGD, Sketch
from mpi_lowrank.compressors.factors.lowrank import Factors
from mpi_lowrank.compressors.levels.dithering import Ternary
from mpi_lowrank.compressors.levels.exponential import NaturalDithering
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.methods.gradient_descent import GD
from mpi_lowrank.record import Record


def broken_promises(kind, **options):
    """The promises that the certificate refutes."""
    findings = certify("wrong", lambda block, workers: kind(block, np.dtype(float), **options))
    return {finding.promise.split(" at ")[0] for finding in findings if not finding.passed}


class SharedEstimate(EF21):
    """One averaged g in place of the workers' own g_i."""

    def _learn(self, t):
        np.subtract(self.target(t), self._estimate, out=self._difference)
        compressor = self.first if t == 0 else self.compressor
        _, mean = self.exchange(self._difference, compressor, own=False)
        self._estimate += mean
        self._estimates[:] = self._estimate


class NotOrthonormal(PowerSGD):
    """P P^T X with the columns of P scaled to length 1 and no more."""

    rank = 2
    basis = "fresh"

    def reduce(self, x, own, mean, generator, generators):
        matrices = self.fold(x)
        basis = yield from self._start(matrices, generator)
        left = (yield self._times(matrices, basis)).reshape(self.m, self.rank)
        left = left / np.maximum(np.linalg.norm(left, axis=0), 1e-300)
        right = (yield self._transposed_times(matrices, left)).reshape(self.c, self.rank)
        sent = self._sent_right.astype(self.dtype).transpose(0, 2, 1)
        self._write(left, sent, left, right, own, mean)


class OneNormForTheBatch(Factors):
    """A rank-1 power step that divides all workers' columns by the norm of all of them."""

    def chosen(self):
        return self.factors(1), Promise(0, 0)

    def factor(self, matrices, generators):
        left = matrices @ np.ones((self.c, 1))
        left = left / np.maximum(np.linalg.norm(left), 1e-300)
        return left, left.transpose(0, 2, 1) @ matrices


class DrawnAgain(Factors):
    """Spectral sampling that draws again until `rank` were drawn, and divides by p all the same."""

    orthonormal = False

    def chosen(self):
        return self.factors(4), Promise(0, 0, omega=self.q / 4 - 1, random=True)

    def factor(self, matrices, generators):
        u, s, vt = np.linalg.svd(matrices, full_matrices=False)
        left, right = np.zeros((len(u), self.m, 4)), np.zeros((len(u), 4, self.c))
        for w, generator in enumerate(generators):
            p = np.minimum(1, 4 * s[w] / max(s[w].sum(), 1e-300))
            available = min(4, np.count_nonzero(p))
            kept = np.zeros(len(p), bool)
            while np.count_nonzero(kept) != available:
                kept = generator.random(len(p)) < p
                available = min(available, np.count_nonzero(p > 1e-12))
            at = np.flatnonzero(kept)
            left[w, :, : len(at)] = u[w][:, at]
            right[w, : len(at)] = (s[w][at] / p[at])[:, np.newaxis] * vt[w][at]
        return left, right


class IdentityBilledAsDithered(NaturalDithering):
    """What went in comes out; the message is there to be billed."""

    def encode(self, x, messages, generators):
        super().encode(x, messages, generators)
        self._kept = x.copy()

    def decode(self, messages, out):
        super().decode(messages, out)
        if len(getattr(self, "_kept", ())) == len(out):
            out[...] = self._kept


class SenderKnowsBetter(Ternary):
    """The sender decodes with the norm it computed, receivers with the one on the wire."""

    def encode(self, x, messages, generators):
        super().encode(x, messages, generators)
        self._exact = np.abs(x).max(axis=1, keepdims=True)

    def decode(self, messages, out):
        super().decode(messages, out)
        if len(getattr(self, "_exact", ())) == len(out):
            out[...] = np.sign(out) * self._exact


class FreeIndices(TopK):
    """The values are sent and counted; which coordinates they belong to is just known."""

    def promised(self):
        promise = super().promised()
        return replace(promise, nbytes=promise.nbytes - self.side_nbytes)

    def encode(self, x, messages, generators):
        whole = np.zeros((len(x), self.side_nbytes + self.nbytes), np.uint8)
        super().encode(x, whole, generators)
        self._known, messages[...] = whole[:, : self.side_nbytes], whole[:, self.side_nbytes :]

    def decode(self, messages, out):
        known = getattr(self, "_known", None)
        if known is None or len(known) != len(messages):
            out[...] = 0
            return
        super().decode(np.concatenate([known, messages], axis=1), out)

    def decode_sum(self, messages, weights, out):
        rows = np.zeros((len(messages), out.size))
        self.decode(messages, rows)
        out[...] = weights @ rows


class UnsharedSeed(Sketch):
    """A seed that a process takes at its start."""

    def prepare(self, local, total):
        super().prepare(local, total)
        self._generator = np.random.default_rng()

    def reduce(self, x, own, mean, generator, generators):
        return super().reduce(x, own, mean, self._generator, generators)


class NoMean(Sketch):
    """The mean of all is no number, as if nobody had written it."""

    def reduce(self, x, own, mean, generator, generators):
        yield from super().reduce(x, own, mean, generator, generators)
        mean[...] = np.nan


class StaleBasis(PowerSGD):
    """A warm basis without a fresh column that claims to contract."""

    fresh_columns = 0

    def promised(self):
        return replace(super().promised(), alpha=1 / self.q)


class EveryColumnIsSure(PowerSGD):
    """A warm basis that claims what only its fresh columns do."""

    def promised(self):
        return replace(super().promised(), alpha=self.rank / self.q)


class EveryFactorIsSure(Alternating):
    """The same of the factors that take turns."""

    def promised(self):
        return replace(super().promised(), alpha=self.rank / max(self.m, self.c))


class HalfTheBytes(PowerSGD):
    """Counts P and forgets Q."""

    def promised(self):
        return replace(super().promised(), nbytes=self.number.itemsize * self.m)


class FirstRoundForFree(GD):
    """Sends its gradients past the count in round 0, as if that were setup."""

    def round(self, t):
        gradients = self.gradients(self.x)
        if t == 0:
            total = np.zeros(self.x.size)
            self.exchange.door.exact_sum(gradients, total, len(gradients), "setup")
        super().round(t)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        (NotOrthonormal, {}, {"1 - alpha"}),
        (OneNormForTheBatch, {}, {"a row alone"}),
        (DrawnAgain, {}, {"mean error in sigmas"}),
        (
            IdentityBilledAsDithered,
            {},
            {"a fresh receiver decodes", "closed form", "error of Gaussian vectors"},
        ),
        (SenderKnowsBetter, {"norm": "linf"}, {"a fresh receiver decodes"}),
        (FreeIndices, {"k": 8}, {"a fresh receiver decodes"}),
        (HalfTheBytes, {}, {"bytes"}),
        (UnsharedSeed, {}, {"same seed and round", "|C(3x) - 3C(x)|"}),
        (StaleBasis, {}, {"1 - alpha"}),
        (EveryColumnIsSure, {"rank": 2}, {"1 - alpha"}),
        (EveryColumnIsSure, {"rank": 3, "fresh_columns": 2, "shape": (16, 7)}, {"1 - alpha"}),
        (EveryFactorIsSure, {"rank": 3, "fresh_columns": 2, "shape": (16, 7)}, {"1 - alpha"}),
    ],
)
def test_the_certificate_refutes_it_for_what_it_is(kind, options, expected):
    assert broken_promises(kind, **options) == expected


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (PowerSGD, {"rank": 2, "basis": "fresh"}),
        (NaturalDithering, {}),
        (Ternary, {"norm": "linf"}),
        (TopK, {"k": 8}),
        (Sketch, {"rank": 1}),
        (PowerSGD, {"rank": 1}),
        (PowerSGD, {"rank": 3, "fresh_columns": 2, "shape": (16, 7)}),
        (Alternating, {"rank": 3, "fresh_columns": 2, "shape": (16, 7)}),
    ],
)
def test_what_it_was_made_from_passes(kind, options):
    assert broken_promises(kind, **options) == set()


def test_a_mean_that_is_no_number_is_none_of_the_decodes():
    assert "mean of decodes" in broken_promises(NoMean)


RUN = """
workers = 4
rounds = 12
data = {{ name = "mushrooms", order = "by_label" }}
[[cases]]
method = "{method}"
{compressor}
stepsize = "0.1/L"
"""


def reasons(comm, tmp_path_factory, name, kind, compressor=""):
    """Why a run of that method is not valid, as its record says."""
    from mpi_lowrank.run import experiment

    methods.names()  # the built-in ones come first
    methods._found[name] = kind
    folder = comm.bcast(str(tmp_path_factory.mktemp("wrong")) if comm.rank == 0 else None)
    path = f"{folder}/wrong.toml"
    if comm.rank == 0:
        with open(path, "w") as file:
            file.write(RUN.format(method=name, compressor=compressor))
    comm.Barrier()
    try:
        experiment.run(config.load(path), comm, f"{folder}/wrong.h5")
    finally:
        del methods._found[name]
    comm.Barrier()
    (case,) = Record(f"{folder}/wrong.h5").cases.values()
    return list(case.attributes["reasons"])


@pytest.mark.mpi
class TestMethods:
    def test_a_shared_estimate_in_place_of_the_workers_own(self, comm, tmp_path_factory):
        topk = 'compressor = { name = "topk", k = 4 }'
        told = reasons(comm, tmp_path_factory, "wrong", SharedEstimate, topk)
        assert len(told) == 1 and "g_i does not move by what worker i sends" in told[0]
        assert reasons(comm, tmp_path_factory, "wrong", EF21, topk) == []

    def test_a_first_round_that_nobody_counts(self, comm, tmp_path_factory):
        told = reasons(comm, tmp_path_factory, "wrong", FirstRoundForFree)
        if comm.size > 1:
            words = r"rounds moved [1-9]\d* bytes that are no uplink or downlink"
            assert len(told) == 1 and re.search(words, told[0])
        assert reasons(comm, tmp_path_factory, "wrong", GD) == []

    def test_a_mean_that_is_no_number(self, comm):
        from mpi_lowrank.certificate.ranks import certify_ranks

        def make(block, workers):
            return NoMean(block, np.dtype(float))

        broken = {f.promise for f in certify_ranks(comm, "wrong", make) if not f.passed}
        assert broken == {"mean of the decodes"}

    def test_a_seed_that_ranks_do_not_share(self, comm):
        from mpi_lowrank.certificate.ranks import certify_ranks

        def make(block, workers):
            return UnsharedSeed(block, np.dtype(float))

        broken = {f.promise for f in certify_ranks(comm, "wrong", make) if not f.passed}
        assert "own, as in one process" in broken
        assert ("every rank's mean" in broken) == (comm.size > 1)
