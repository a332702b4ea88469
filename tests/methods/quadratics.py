"""Methods on quadratics f_i, all workers in one process, over the real exchange."""

import numpy as np

from mpi_lowrank.compressors import compressors
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, Setting
from mpi_lowrank.problems.batch import Batches
from mpi_lowrank.rounds.state import State
from mpi_lowrank.steps.plain import Plain


def one_process(workers, d, seed=0, topology="allgather"):
    """The exchange of a run, with all workers in this process."""
    placement = Placement(workers, 1, 0)
    return Exchange(Door(Alone()), placement, Clock(), np.float64, topology, seed=seed)


def make_compressor(spec, d, workers=1):
    name, options = spec
    if "wire" in compressors[name].options:
        options = {"wire": "float64"} | options
    return compressors[name]((d,), np.dtype(float), workers=workers, **options)


def make(
    name,
    spec,
    stepsize,
    hessians,
    shifts=None,
    x0=None,
    seed=0,
    constants=None,
    noise=None,
    **options,
):
    """With `noise` (workers, samples, d) a worker's gradient has the mean of its samples' too."""
    n, d, _ = hessians.shape
    noise = np.zeros((n, 1, d)) if noise is None else noise
    samples = np.full(n, noise.shape[1])
    shifts = np.zeros((n, d)) if shifts is None else shifts
    topology = "server" if methods[name].needs_server else "allgather"
    exchange = one_process(n, d, seed, topology)

    compressor = make_compressor(spec, d, n)
    dense = make_compressor(("dense" if compressor.shared else "identity", {}), d)
    exchange.prepare(compressor)
    exchange.prepare(dense, "dense")

    def make_uplink(name, choice=None, shape=(d,)):
        own = spec if choice is None else (choice.name, choice.options)
        again = make_compressor(own, int(np.prod(shape)), n)
        exchange.prepare(again, name)
        return again

    def make_downlink(name, choice):
        compressor = make_compressor((choice.name, choice.options), d)
        exchange.prepare_broadcast(compressor, name)
        return compressor

    def gradients(x, batch=None):
        of_samples = noise.mean(axis=1)
        if batch is not None:
            chosen = np.take_along_axis(noise, batch.rows[..., np.newaxis], axis=1)
            of_samples = np.einsum("wsd,ws->wd", chosen, batch.weights)
        return np.einsum("wij,wj->wi", hessians, x - shifts) + of_samples

    state = State(n, float)
    setting = Setting(
        gradients=gradients,
        losses=lambda x: np.einsum("wi,wij,wj->w", x - shifts, hessians, x - shifts) / 2,
        hessians=lambda x: hessians,
        exchange=exchange,
        compressor=compressor,
        dense=dense,
        uplink=make_uplink,
        downlink=make_downlink,
        state=state,
        x0=np.ones(d) if x0 is None else x0,
        stepsize=stepsize,
        step=lambda x: Plain(x, stepsize, state, [x.shape]),
        constants=constants or constants_of(hessians),
        batches=lambda size: Batches(seed, range(n), samples, size),
        numbers=range(n),
        total=n,
        samples=samples,
        rounds=100,
        seed=seed,
    )
    return methods[name](setting, **options)


def theory_stepsize(name, constants, compressor, **options):
    return methods[name].theory_stepsize(constants, compressor, methods[name].filled(options))


def run(method, rounds):
    """As many rounds more; a round has draws of its own."""
    exchange = method.exchange
    for _ in range(rounds):
        method.round(exchange.round)
        exchange.round += 1
    return method.x


def heterogeneous(n=5, d=12, seed=4):
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n, d, d))
    return factors @ factors.transpose(0, 2, 1) / d + 0.1 * np.eye(d), rng.standard_normal((n, d))


def minimiser(hessians, shifts):
    return np.linalg.solve(
        hessians.mean(axis=0), np.einsum("wij,wj->i", hessians, shifts) / len(shifts)
    )


def constants_of(hessians):
    """The exact ones of quadratics with these Hessians, (n, d, d)."""
    own, whole = np.linalg.eigvalsh(hessians), np.linalg.eigvalsh(hessians.mean(axis=0))
    return Constants(float(whole[-1]), own[:, -1], float(own[:, 0].min()))
