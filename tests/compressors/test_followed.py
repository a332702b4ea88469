"""Kronecker atoms at a scale that all follow, beside plain loops over workers."""

from pathlib import Path

import numpy as np
import pytest
from harness import decode, encode, make
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi_lowrank.compressors.factors.discrete import kronecker_atoms
from mpi_lowrank.config import parse
from mpi_lowrank.errors import UserError

SPEC = "followed_kronecker:shape=2x4"
D, WORKERS = 7, 5
ATOMS = kronecker_atoms(2)


def by_hand(v, scale):
    """The vector that v (7,) is sent as at 2^scale, and what is said of its beta."""
    z = np.append(v, 0).reshape(2, 4)
    sums = [np.abs(z @ y).sum() ** 2 / (y @ y) for y in ATOMS]
    y = ATOMS[int(np.argmax(sums))]
    signs = np.where(z @ y < 0, -1, 1)
    beta = np.abs(z @ y).sum() / (2 * (y @ y))
    options = 2.0 ** np.array([scale - 1, scale, scale + 1])
    if options[0] >= 2 * beta:
        return np.zeros(D), -2
    # The nearest power of two, or the end that is nearest to it.
    nearest = 2.0 ** (np.floor(np.log2(beta)) + (beta / 2 ** np.floor(np.log2(beta)) >= 1.5))
    said = int(np.clip(np.log2(nearest) - scale, -1, 1))
    return 2.0 ** (scale + said) * np.outer(signs, y).reshape(-1)[:D], said


def rounds(seed, count=12):
    """Rows that shrink from a scale far from 1, some of them much smaller than the others."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-3, 3) * 10.0 ** rng.uniform(-2, 0, (WORKERS, 1))
    return [0.8**t * sizes * rng.standard_normal((WORKERS, D)) for t in range(count)]


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(0, 2**WORKERS - 1))
def test_the_scale_moves_by_the_median_of_what_those_who_speak_say(seed, silent):
    sender, receiver = make(SPEC, D, local=WORKERS), make(SPEC, D, local=WORKERS)
    weights, mean, scale = np.full(WORKERS, 0.25), np.empty(D), 0
    for t, x in enumerate(rounds(seed)):
        speaks = np.array([not silent >> w & 1 or t % 3 == 0 for w in range(WORKERS)])
        messages, _ = encode(sender, x), encode(receiver, np.zeros_like(x))
        np.testing.assert_array_equal(encode(sender, x), messages)  # as after a preview
        assert messages.shape == (WORKERS, 1)
        expected, said = zip(*(by_hand(v, scale) for v in x), strict=True)
        for _ in range(2):  # read again within a call they mean the same
            np.testing.assert_array_equal(decode(sender, messages, D), expected)
            if speaks.any():
                for each in (sender, receiver):
                    each.decode_sum(messages[speaks], weights[speaks], mean)
                    total = 0.25 * np.sum(np.array(expected)[speaks], axis=0)
                    np.testing.assert_allclose(mean, total, rtol=1e-15, atol=0)
        if speaks.any():
            scale += int(np.floor(np.median(np.array(said)[speaks])))
        assert np.all(np.linalg.norm(np.array(expected) - x, axis=1) <= np.linalg.norm(x, axis=1))


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e30])
def test_a_scale_that_nobody_knows_is_found(size):
    compressor, mean = make(SPEC, D, local=WORKERS), np.empty(D)
    x = size * np.random.default_rng(3).standard_normal((WORKERS, D))
    for _ in range(104):
        messages = encode(compressor, x)
        compressor.decode_sum(messages, np.ones(WORKERS), mean)
    out = decode(compressor, encode(compressor, x), D)
    assert np.all(np.linalg.norm(out - x, axis=1) < 0.9 * np.linalg.norm(x, axis=1))


def test_the_scale_stays_within_what_float32_has():
    compressor, mean = make(SPEC, D, local=1), np.empty(D)
    for x, lowest in ((np.zeros((1, D)), True), (np.full((1, D), 1e37), False)):
        for _ in range(300):
            compressor.decode_sum(encode(compressor, x), np.ones(1), mean)
        encode(compressor, x)
        assert int(compressor._scale) == -125 if lowest else 120 < int(compressor._scale) <= 126
        assert np.isfinite(mean).all()


def test_where_not_everybody_hears_all_it_is_refused():
    case = '[[cases]]\nmethod = "EF21"\ncompressor = "followed_kronecker"'
    text = f'rounds = 3\ntopology = "server"\n{case}'
    with pytest.raises(UserError, match=r"topology = server: .*needs every message on every rank"):
        parse(text, Path("some.toml"))
    with pytest.raises(UserError, match="compose"):
        make("topk:k=2+followed_kronecker", D)
