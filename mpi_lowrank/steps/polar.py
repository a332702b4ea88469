"""The orthogonal factor of a matrix."""

from __future__ import annotations

import numpy as np

LARGEST = 512
"""Up to so many rows or columns, whichever are fewer, singular values are computed exactly."""

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Of Jordan et al. 2024: moves singular values in (0, 1] into 0.68 to 1.13, small ones quickly."""


class Polar:
    """X = U S V^T, (m, c), to U V^T, without directions that are round-off: 0 stays 0.

    By the decomposition, or beyond `LARGEST` by `newton_schulz`; `shape` and `dtype` are X's.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        self.room = Room(shape, dtype) if min(shape) > LARGEST else None

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """The factor, (m, c); overwritten by the next call."""
        return exact(X) if self.room is None else newton_schulz(X, self.room)


def exact(X: np.ndarray) -> np.ndarray:
    """U V^T over the singular values above round-off; NaN where X is not finite."""
    if not np.isfinite(X).all():
        return np.full_like(X, np.nan)
    U, S, Vt = np.linalg.svd(X, full_matrices=False)
    U[:, max(X.shape) * np.finfo(X.dtype).eps * S[0] >= S] = 0
    return U @ Vt


class Room:
    """The arrays that `newton_schulz` works in, for matrices of one shape."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype):
        least = min(shape)
        self.wide, self.next = np.zeros((2, least, max(shape)), dtype)
        self.gram, self.square = np.zeros((2, least, least), dtype)


def newton_schulz(X: np.ndarray, room: Room, quintic: int = 8, cubic: int = 4) -> np.ndarray:
    """U V^T by products alone: `QUINTIC`, then 3/2 X - 1/2 X X^T X, which converges quadratically.

    Singular values that are 1e-4 of the Frobenius norm or more become 1 to about 1e-3; smaller ones
    stay between 0 and 1.
    """
    Y = room.wide
    norm = np.linalg.norm(X)
    np.divide(X if X.shape == Y.shape else X.T, norm if norm > 0 else 1, out=Y)
    for a, b, c in [QUINTIC] * quintic + [(1.5, -0.5, 0.0)] * cubic:
        _polynomial(Y, room, a, b, c)
    return Y if X.shape == Y.shape else Y.T


def _polynomial(Y: np.ndarray, room: Room, a: float, b: float, c: float) -> None:
    """Y := (a I + b G + c G^2) Y, G = Y Y^T."""
    gram = np.matmul(Y, Y.T, out=room.gram)
    factor = np.matmul(gram, gram, out=room.square)
    factor *= c
    gram *= b
    factor += gram
    factor.flat[:: len(factor) + 1] += a
    Y[:] = np.matmul(factor, Y, out=room.next)
