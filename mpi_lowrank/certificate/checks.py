"""A compressor's promises, each one measured."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from math import sqrt

import numpy as np

from mpi_lowrank.certificate import drive
from mpi_lowrank.certificate.findings import SIGMAS, Finding, Subject
from mpi_lowrank.certificate.information import information
from mpi_lowrank.certificate.inputs import D, inputs
from mpi_lowrank.compressors.base import Operator, SharedCompressor
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError
from mpi_lowrank.errors import OptionError
from mpi_lowrank.registry import Choice
from mpi_lowrank.run.components import make_operator

SAMPLES = 1024
"""Draws per input; a quarter of them for shared compressors, which are driven one by one."""

WORKERS = 4


MakeBlock = Callable[[tuple[int, ...], int], Operator]
"""Makes the compressor for a block of that shape and so many workers, or raises OptionError."""


def maker(choice: Choice, spec: str) -> MakeBlock:
    """What makes the chosen compressor; its errors name the specification."""

    def make(block: tuple[int, ...], workers: int) -> Operator:
        try:
            return make_operator(choice, block, "float64", workers)
        except OptionError as error:
            raise OptionError(f"{spec}: {error.option}", error.value, error.allowed) from error

    return make


Check = Callable[[Subject], Iterator[Finding]]


def certify(spec: str, make: MakeBlock) -> list[Finding]:
    """Measure all promises of the compressor that `make` makes; findings call it `spec`."""
    whole, row = (Subject(spec, partial(make, block, WORKERS)) for block in ((D,), (1, 24)))
    checks = _EVERY + (_SHARED if whole.operator.shared else _GATHERED)
    findings = [finding for check in checks for finding in check(whole)]
    try:
        row.make()
    except OptionError:  # this one cannot be asked of a matrix of one row
        return findings
    measured = list(_constants(row, _one_row()))
    return findings + [replace(f, promise=f"{f.promise} at 1 x 24") for f in measured]


def _one_row() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    return {"gaussian": rng.standard_normal(24), "flat": np.ones(24), "one-hot": np.eye(24)[5]}


def constants(subject: Subject) -> Iterator[Finding]:
    """alpha or omega on every input; the mean, if unbiased; that a tight constant is attained."""
    yield from _constants(subject, inputs(subject.operator))


def _constants(subject: Subject, vectors: dict[str, np.ndarray]) -> Iterator[Finding]:
    operator = subject.operator
    count = SAMPLES // 4 if operator.shared else SAMPLES
    drawn = {name: drive.samples(subject.make, x, count) for name, x in vectors.items()}
    errors = {name: _relative_errors(drawn[name], x) for name, x in vectors.items()}
    if operator.omega is not None:
        yield _bounded(subject, "omega", operator.omega, errors)
        yield _unbiased(subject, drawn, vectors)
    elif operator.alpha is not None:
        yield _bounded(subject, "1 - alpha", 1 - operator.alpha, errors)
    else:
        yield Finding(subject.spec, "alpha, omega", "none", _worst(errors)[1], True)
        return
    yield from _closed_form(subject, vectors, errors)
    if "its worst case" in errors:
        yield _tight(subject, errors["its worst case"])


def _relative_errors(drawn: np.ndarray, x: np.ndarray) -> np.ndarray:
    """|C(x) - x|^2 / |x|^2 of each draw; scaled first, so that squares stay in range."""
    scale = np.abs(x).max()
    return (((drawn - x) / scale) ** 2).sum(axis=1) / ((x / scale) ** 2).sum()


def _worst(errors: dict[str, np.ndarray]) -> tuple[str, float, float]:
    """The input of the largest mean error, that mean, and its confidence bound."""
    name = max(errors, key=lambda name: errors[name].mean())
    return name, float(errors[name].mean()), _bound(errors[name])


def _bound(values: np.ndarray) -> float:
    """Half the confidence interval of the mean of independent draws; 0 for a single one.

    Draws that are all alike may have missed a rare outcome. If its probability is above
    SIGMAS^2 / (2 draws), that is as unlikely as a normal mean that is off by SIGMAS.
    """
    spread, count = float(values.std()), len(values)
    if count > 1 and spread <= 1e-12 * float(values.mean()):
        return float(values.mean()) * SIGMAS**2 / (2 * count)
    return SIGMAS * spread / sqrt(count)


def _bounded(subject, promise, promised, errors):
    """On no input may the mean error, less its confidence bound, exceed what is promised."""
    allowed = (sqrt(max(promised, 0)) + subject.slack) ** 2
    excess = {n: float(e.mean()) - _bound(e) - allowed for n, e in errors.items()}
    name = max(excess, key=lambda name: excess[name])
    passed = all(np.isfinite(e).all() for e in errors.values()) and excess[name] <= 0
    shown = _worst(errors)[0] if passed else name
    mean, bound = float(errors[shown].mean()), _bound(errors[shown])
    return Finding(subject.spec, promise, promised, mean, passed, bound, shown)


def _unbiased(subject, drawn, vectors):
    """In fixed directions, x among them, the mean error is 0 within its confidence bound."""
    worst, most = Finding(subject.spec, "mean error in sigmas", "0", 0.0, True, SIGMAS), 0.0
    for name, x in vectors.items():
        for error in _projected(drawn[name], x):
            allowance = subject.slack * np.sqrt(len(x))
            bias = max(abs(error.mean()) - allowance, 0)
            spread = error.std() / sqrt(len(error))
            sigmas = float(bias / spread) if spread > 0 else (0.0 if bias == 0 else np.inf)
            if sigmas >= most:
                most = sigmas
                passed = sigmas <= SIGMAS + 0.5  # the largest of some two hundred of them
                worst = Finding(subject.spec, worst.promise, "0", sigmas, passed, worst.bound, name)
    return worst


def _projected(drawn, x):
    """(C(x) - x) v of each draw, relative to |x| |v|, for x itself and a few dense directions."""
    rng, scale = np.random.default_rng(11), np.abs(x).max()
    errors, norm = (drawn - x) / scale, np.linalg.norm(x / scale)
    signs = rng.choice([-1.0, 1.0], (6, len(x)))
    for v in (x / scale, np.sign(x), *signs, *(signs * np.abs(x / scale))):
        length = np.linalg.norm(v)
        if length > 0:
            yield errors @ v / (norm * length)


def _closed_form(subject, vectors, errors):
    """The measured errors are those of the formula, where the operator knows one."""
    operator, gaps = subject.operator, {}
    for name, x in vectors.items():
        scale = np.abs(x).max()
        unit = x / scale if operator.homogeneous else x  # squares of the huge ones overflow
        with np.errstate(all="ignore"):
            expected = operator.expected_error(unit[np.newaxis])
            if expected is None:
                return
            formula = float(expected[0] / (unit @ unit))
        if np.isfinite(formula):
            gap = abs(float(errors[name].mean()) - formula) - _bound(errors[name])
            gaps[name] = gap, formula
    name = max(gaps, key=lambda name: gaps[name][0])
    gap, formula = gaps[name]
    passed = gap <= subject.slack * (1 + formula)
    measured, bound = float(errors[name].mean()), _bound(errors[name])
    yield Finding(subject.spec, "closed form", formula, measured, passed, bound, name)


def _tight(subject, errors):
    """The declared constant is attained, so that no stepsize is wasted."""
    operator = subject.operator
    promised = operator.omega if operator.omega is not None else 1 - operator.alpha
    measured, bound = float(errors.mean()), _bound(errors)
    passed = measured + bound >= (1 - 1e-4) * promised - subject.slack
    return Finding(subject.spec, "attained", promised, measured, passed, bound, "its worst case")


def homogeneity(subject: Subject) -> Iterator[Finding]:
    """C(3 x) = 3 C(x) with the same draws, where it is claimed."""
    operator = subject.operator
    if not operator.homogeneous:
        return
    x = np.random.default_rng(2).standard_normal(D)
    once, thrice = (drive.samples(subject.make, t * x, 64) for t in (1.0, 3.0))
    gap = float(np.linalg.norm(thrice - 3 * once) / (np.linalg.norm(3 * once) or 1.0))
    passed = gap <= sqrt(subject.slack)
    yield Finding(subject.spec, "|C(3x) - 3C(x)|", 0.0, gap, passed)


def zero(subject: Subject) -> Iterator[Finding]:
    """C(0) = 0."""
    out = drive.samples(subject.make, np.zeros(D), 8)
    yield Finding(subject.spec, "C(0)", 0.0, float(np.abs(out).max()), not out.any())


def _prepared(subject, rows):
    operator = subject.operator
    drive.prepare(operator, rows)
    return operator


def _rows(count=WORKERS):
    rng = np.random.default_rng(4)
    return rng.standard_normal((count, D)) * 10.0 ** rng.uniform(-2, 2, (count, 1))


def message(subject: Subject) -> Iterator[Finding]:
    """The receiver's numbers follow from the counted bytes alone."""
    sender, x = _prepared(subject, WORKERS), _rows()
    messages = drive.pack(sender, x, round=3)
    own = drive.unpack(sender, messages, D)
    receiver = _prepared(subject, WORKERS)
    drive.begin(receiver, WORKERS, 3, 0, 0)
    wire, lengths = messages.copy(), [sender.nbytes] * WORKERS
    if sender.variable:
        lengths = messages[:, : LENGTH.itemsize].view(LENGTH)[:, 0].tolist()
        for row, length in zip(wire, lengths, strict=True):
            row[length:] = 255
    heard = drive.unpack(receiver, wire, D)
    yield _alike(subject, "a fresh receiver decodes", np.array_equal(own, heard))
    longest = "up to " if sender.variable else ""
    told = f"{longest}{max(lengths)}"
    passed = max(lengths) <= sender.nbytes and (sender.variable or heard.shape == x.shape)
    yield Finding(subject.spec, "bytes", f"{longest}{sender.nbytes}", told, passed)
    yield from _sums(subject, receiver, wire, heard)
    yield from _truncated(subject, receiver, wire)


def _sums(subject, receiver, wire, heard):
    weights, total = np.array([0.25, 0.5, 0.0, 2.0]), np.full(D, np.nan)
    receiver.decode_sum(wire, weights, total)
    expected = weights @ heard
    scale = np.linalg.norm(np.abs(weights) @ np.abs(heard)) or 1.0
    gap = float(np.linalg.norm(total - expected) / scale)
    yield Finding(subject.spec, "sum of decodes", 0.0, gap, gap <= 1e-12)


def _truncated(subject, receiver, wire):
    try:
        drive.unpack(receiver, wire[:, :-1], D)
        told = "nothing"
    except MessageError:
        told = "MessageError"
    passed = told == "MessageError"
    yield Finding(subject.spec, "a truncated message raises", "MessageError", told, passed)


def draws(subject: Subject) -> Iterator[Finding]:
    """Messages follow from (seed, round, worker) and the row, whatever else went on."""
    x, operator = _rows(), subject.operator
    fresh = drive.pack(_prepared(subject, WORKERS), x, round=5, seed=9)
    used = _prepared(subject, WORKERS)
    for round in range(3):
        drive.unpack(used, drive.pack(used, x[::-1].copy(), round=round), D)
    again = drive.pack(used, x, round=5, seed=9)
    same = _equal(operator, fresh, again)
    yield _alike(subject, "same seed, round, worker", same, "after other rounds")
    alone = _prepared(subject, 1)
    one = [drive.pack(alone, x[w : w + 1], round=5, seed=9, first=w)[0] for w in range(WORKERS)]
    yield _alike(subject, "a row alone", _equal(operator, fresh, np.array(one)), "no neighbours")
    yield from _differing(subject, x)


def _alike(subject, promise, same, where=""):
    told = "same bits" if same else "others"
    return Finding(subject.spec, promise, "same bits", told, same, where=where)


def _equal(operator, left, right):
    """Whether messages are equal as far as they cross the wire."""
    if not operator.variable:
        return np.array_equal(left, right)
    lengths = left[:, : LENGTH.itemsize].view(LENGTH)[:, 0]
    pairs = zip(left, right, lengths, strict=True)
    return all(np.array_equal(a[:length], b[:length]) for a, b, length in pairs)


def _differing(subject, x):
    """Another round or seed draws anew, and changes nothing where nothing is drawn."""
    operator = _prepared(subject, WORKERS)
    first = drive.pack(operator, x, round=5, seed=9)
    expected = "same bits" if operator.deterministic else "others"
    for where, keys in (
        ("another round", [{"round": 6 + r, "seed": 9} for r in range(30)]),
        ("another seed", [{"round": 5, "seed": 10 + s} for s in range(30)]),
    ):
        # A coin may fall alike twice, but of thirty draws one must differ.
        others = [drive.pack(operator, x, **key) for key in keys]
        same = all(_equal(operator, first, other) for other in others)
        told = "same bits" if same else "others"
        yield Finding(subject.spec, where, expected, told, told == expected)


def shared_sums(subject: Subject) -> Iterator[Finding]:
    """The mean of what the workers stand for is what the mean is decoded to."""
    operator, worst = subject.operator, 0.0
    assert isinstance(operator, SharedCompressor)
    drive.prepare(operator, WORKERS)
    sent = []
    for round in range(8):
        own, mean, nbytes = drive.reduce(operator, _rows(), round)
        sent.append(nbytes)
        scale = np.linalg.norm(mean) or 1.0
        worst = np.maximum(worst, np.linalg.norm(own.mean(axis=0) - mean) / scale)
    yield Finding(
        subject.spec, "mean of decodes", 0.0, float(worst), bool(worst <= 20 * subject.slack)
    )
    ordinary = float(np.mean(sent[2:]))  # a first round may send the basis whole
    passed = ordinary == operator.nbytes
    yield Finding(subject.spec, "bytes", str(operator.nbytes), f"{ordinary:g}", passed)


def shared_draws(subject: Subject) -> Iterator[Finding]:
    """What is drawn follows from (seed, round): two fresh instances, as after a restart, agree."""
    results = []
    for _ in range(2):
        operator = subject.operator
        assert isinstance(operator, SharedCompressor)
        drive.prepare(operator, WORKERS)
        results.append(drive.reduce(operator, _rows(), round=5, seed=9)[1])
    yield _alike(subject, "same seed and round", np.array_equal(results[0], results[1]))


def memory(subject: Subject) -> Iterator[Finding]:
    """It also contracts what is orthogonal to everything that its basis was learned from."""
    operator = subject.operator
    if operator.alpha is None or not (hasattr(operator, "m") and hasattr(operator, "c")):
        return
    seeds, errors = range(SAMPLES // 8), {}
    for name, past, present in _strangers(operator.m, operator.c):
        for rounds in (2, 3):  # so that where factors take turns either one comes last
            drawn = [_after_learning(operator, past, present, rounds, seed) for seed in seeds]
            errors[f"{name} of {rounds} rounds"] = np.array(drawn)
    yield _bounded(subject, "1 - alpha", 1 - operator.alpha, errors)


def _strangers(m, c):
    """(name, place of the past, matrix): the two share no row, or no column.

    A flat spectrum is the hardest: there only the fresh columns of a warm basis help.
    """
    half, flat = np.zeros((m, c)), np.eye(m, c)[::-1]  # nothing where zeros pad the last row
    half[m // 2 :, c // 2 :] = np.random.default_rng(0).standard_normal((m - m // 2, c - c // 2))
    yield "orthogonal to the past", _unused(half), half
    yield "flat, orthogonal to the past", _unused(flat), flat
    yield "flat, after zeros", np.zeros((m, c), bool), flat


def _unused(x):
    """Where zero rows of x cross zero columns; if it has only one of these, all of them."""
    rows, columns = ~x.any(axis=1, keepdims=True), ~x.any(axis=0, keepdims=True)
    return rows & columns if rows.any() and columns.any() else rows | columns


def _after_learning(operator, past, present, rounds, seed):
    """The relative error on `present` after rounds of matrices that are random where `past` is."""
    drive.prepare(operator, 1)
    learned = past * np.random.default_rng(seed).standard_normal(past.shape)
    for round in range(rounds):
        drive.reduce(operator, learned.reshape(1, -1)[:, :D], round, seed)
    x = present.reshape(1, -1)[:, :D]
    mean = drive.reduce(operator, x, 9, seed)[1]
    return float(((mean - x[0]) ** 2).sum() / (x**2).sum())


_EVERY: tuple[Check, ...] = (constants, homogeneity, zero, information)
_GATHERED: tuple[Check, ...] = (message, draws)
_SHARED: tuple[Check, ...] = (shared_sums, shared_draws, memory)
