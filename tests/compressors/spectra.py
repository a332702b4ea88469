"""Matrices by their singular values, and the errors that compressors make on them."""

import numpy as np
from harness import compress, make

SHAPES = [(8, 14), (14, 8)]
D = 112


def with_spectrum(values, m, c, seed=0):
    """A matrix of these singular values, as a vector."""
    rng, q = np.random.default_rng(seed), min(m, c)
    u, v = (np.linalg.qr(rng.standard_normal((k, q))).Q for k in (m, c))
    return (u * np.asarray(values) @ v.T).reshape(-1)


def power_law(m, c):
    return with_spectrum(1 / np.arange(1.0, min(m, c) + 1), m, c)


def hostile(m, c):
    q = min(m, c)
    rng = np.random.default_rng(7)
    found = {
        "flat": with_spectrum(np.ones(q), m, c),
        "aligned flat": np.eye(m, c).reshape(-1),
        "rank one": with_spectrum(np.eye(1, q)[0], m, c),
        "power law": power_law(m, c),
        "gaussian": rng.standard_normal(m * c),
    }
    return found


def square(x):
    return (x**2).sum(axis=-1)


def relative_errors(spec, x, shape=None, count=1):
    rows = np.repeat(x[np.newaxis], count, axis=0)
    compressor = make(spec, shape or len(x), local=count)
    return square(compress(compressor, rows) - x) / square(x)
