"""Checks inside every run: a case that fails one is recorded as not valid, with the reason."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from mpi_lowrank.problems.base import Problem

if TYPE_CHECKING:
    from mpi_lowrank.door import Door
    from mpi_lowrank.exchange import Exchange


def gradient_errors(problem: Problem, x: np.ndarray, workers: int) -> np.ndarray:
    """How far gradients are from central differences along a random direction, (workers,).

    In units of what the state's precision allows: at most 1 if a worker's gradient is right.
    """
    eps = np.finfo(x.dtype).eps
    step = eps ** (1 / 3)
    direction = np.random.default_rng(1).standard_normal(x.size)
    direction = (direction / np.linalg.norm(direction)).astype(x.dtype)
    plus, minus, gradients = np.zeros(workers), np.zeros(workers), np.zeros((workers, x.size))
    gradients = gradients.astype(x.dtype)
    problem.losses(x + step * direction, plus)
    problem.losses(x - step * direction, minus)
    problem.gradients(x, gradients)
    slopes = (gradients @ direction).astype(np.float64)
    allowed = 20 * eps ** (2 / 3) * np.maximum(1, np.abs(plus) + np.abs(slopes))
    return np.abs((plus - minus) / (2 * step) - slopes) / allowed


def check_gradient(door: Door, problem: Problem, x: np.ndarray, workers: int) -> list[str]:
    """Collective: a reason if the gradient of any worker is wrong."""
    worst = np.zeros(1)
    mine = np.array([gradient_errors(problem, x, workers).max()])
    door.maximum(mine, worst, "control")
    if worst[0] <= 1:
        return []
    if np.isinf(worst[0]):
        return ["a loss or gradient at x^0 is not finite"]
    return [f"gradient differs from finite differences by {worst[0]:.1e} times the allowed error"]


def astray(x: np.ndarray) -> bool:
    """Whether x (d,) has numbers that are not finite, or whose squares are not."""
    return not np.isfinite(x @ x)


def check_replicas(door: Door, x: np.ndarray) -> list[str]:
    """Collective: a reason if x is not the same bits on every rank."""
    mine = np.frombuffer(hashlib.blake2b(x.tobytes(), digest_size=8).digest(), np.int64)
    hashes = np.zeros(door.size, np.int64)
    door.allgather(mine, hashes, [1] * door.size, "control")
    different = int(np.count_nonzero(hashes != hashes[0]))
    return [f"replicas of x differ: {different} ranks from rank 0"] if different else []


def check_bytes(door: Door, exchange: Exchange) -> list[str]:
    """Collective: a reason if the ledger's uplink bytes are not the sum of what workers sent."""
    mine = np.array([door.ledger.nbytes("uplink")], np.int64)
    counted = np.zeros(1, np.int64)
    door.allreduce(mine, counted, "control")
    sent = np.array([exchange.handed_bytes], np.int64)
    door.broadcast(sent, "control")  # a server alone knows how long all messages were
    if counted[0] == sent[0]:
        return []
    return [f"the ledger counts {counted[0]} uplink bytes, the messages make {sent[0]}"]
