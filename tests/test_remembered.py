"""Methods and compressors keep nothing between rounds but what they named in the state.

Every other number that a round changed is overwritten with garbage before the next one: the
trajectory must not notice. Then the named arrays alone, put into what was made anew, go on with it.
"""

from collections import deque
from types import FunctionType

import numpy as np
import pytest
from admitted import admits

from mpi_lowrank.certificate import default_specs
from mpi_lowrank.certificate.inputs import D
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.whole import Identity
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.door import Alone, Door
from mpi_lowrank.door.placement import Placement
from mpi_lowrank.exchange import Exchange
from mpi_lowrank.machine.clock import Clock
from mpi_lowrank.methods import methods
from mpi_lowrank.methods.base import Constants, Setting
from mpi_lowrank.methods.error_feedback import EF21
from mpi_lowrank.problems.base import Block
from mpi_lowrank.problems.batch import Batches
from mpi_lowrank.rounds.state import State
from mpi_lowrank.run.components import dense_beside, make_compressor
from mpi_lowrank.steps.plain import Plain

WORKERS, ROUNDS = 3, 6

SAMPLES = np.full(WORKERS, 4)

VECTOR = (Block("x", (D,)),)

LAYERS = (Block("W", (7, 12)), Block("b", (7,)), Block("V", (3, 7)))

EIGEN = {"hessian": read_spec("eigen:rank=2")}

OPTIONS = {
    **{name: EIGEN for name in ("FedNL", "FedNL-LS", "FedNL-PP")},
    "FedNL-BC": EIGEN | {"downlink": read_spec("topk:k=20"), "probability": 0.5},
    "EF21-BC": {"downlink": read_spec("rsvd:rank=1")},
    **{name: {"batch": 2} for name in ("SGD", "EF21-SGD", "EF21-SGDM", "EF21-PAGE", "Dion")},
    **{
        name: {"batch": 2, "local_steps": 3, "probability": 0.6}
        for name in ("FedAvg", "FedPAQ", "SCAFCOM", "SCALLION")
    },
}

OURS = ("mpi_lowrank.methods", "mpi_lowrank.compressors", __name__)

ADVICE = 'ask for what a later round reads by name, state.rows("g_i", d) or state.array("g", d)'

EXCHANGE = (*OURS, "mpi_lowrank.exchange", "mpi_lowrank.collectives")


class Running:
    """A case of three workers in one process, with quadratic functions of their own."""

    def __init__(self, method, spec, blocks=VECTOR, dtype="float64", **options):
        self.choice, self.blocks, self.dtype = read_spec(spec), blocks, dtype
        d = sum(int(np.prod(shape)) for _, shape in blocks)
        rng = np.random.default_rng(1)
        curvatures, centres = rng.uniform(0.5, 2, (WORKERS, d)), rng.standard_normal((WORKERS, d))
        self.state, placement = State(WORKERS, dtype), Placement(WORKERS, 1, 0)
        kind = methods[method] if isinstance(method, str) else method
        topology = "server" if kind.needs_server else "allgather"
        self.exchange = Exchange(
            Door(Alone()), placement, Clock(), dtype, topology, seed=5, state=self.state
        )

        def gradients(x, batch=None):
            slopes = curvatures * (x - centres)
            if batch is not None:
                slopes += np.einsum("ws,ws->w", batch.rows, batch.weights)[:, np.newaxis]
            return slopes.astype(dtype)

        setting = Setting(
            gradients=gradients,
            losses=lambda x: (curvatures * (x - centres) ** 2).sum(axis=1) / 2,
            hessians=lambda x: (curvatures[:, np.newaxis] * np.eye(d)).astype(dtype),
            exchange=self.exchange,
            compressor=self._uplink(self.choice, "uplink"),
            dense=self._uplink(dense_beside(self.choice), "whole"),
            state=self.state,
            x0=rng.standard_normal(d).astype(dtype),
            uplink=self._another,
            downlink=self._downlink,
            stepsize=0.05,
            step=lambda x: Plain(x, 0.05, self.state.within("step"), [x.shape]),
            batches=lambda size: Batches(5, placement.workers, SAMPLES, size),
            constants=Constants(2.0, np.full(WORKERS, 2.0), mu=0.5),
            numbers=placement.workers,
            total=WORKERS,
            samples=SAMPLES,
            rounds=ROUNDS,
            seed=5,
        )
        self.method = kind(setting, **(OPTIONS.get(method, {}) | options))

    def _uplink(self, choice, name, blocks=None):
        compressor, _ = make_compressor(choice, self.dtype, blocks or self.blocks, WORKERS)
        self.exchange.prepare(compressor, name)
        return compressor

    def _another(self, name, choice=None, shape=None):
        blocks = (Block(name, shape),) if shape else self.blocks
        return self._uplink(choice or self.choice, name, blocks)

    def _downlink(self, name, choice):
        compressor, _ = make_compressor(choice, self.dtype, self.blocks, 1)
        self.exchange.prepare_broadcast(compressor, name)
        return compressor

    def round(self, t):
        self.exchange.round = t
        self.method.round(t)
        exchange = self.exchange
        traffic = exchange.uplink_bytes, exchange.downlink_bytes, exchange.handed_bytes
        return np.append(self.method.x, [*traffic, exchange.published_bits])

    def unnamed(self):
        """The arrays that method, compressors and exchange hold and the state does not."""
        named = [entry.array for entry in self.state]
        roots = [self.method, self.exchange._channels, self.exchange._broadcasts]
        return {
            path: value
            for path, value in _reachable(roots, EXCHANGE, self.exchange)
            if isinstance(value, np.ndarray)
            and not any(np.may_share_memory(value, array) for array in named)
        }

    def scalars(self):
        """What method and compressors count or flag in their attributes."""
        roots = [self.method, [*self.exchange._channels], [*self.exchange._broadcasts]]
        found = _reachable(roots, OURS, self.exchange)
        return {path: value for path, value in found if not isinstance(value, np.ndarray)}


def _reachable(roots, modules, outside):
    """(path, number or array) of all attributes of objects whose class is of the `modules`."""
    seen = {id(outside)}

    def walk(value, path):
        if isinstance(value, bool | int | float | complex | str | bytes | np.generic | np.ndarray):
            yield path, value
        elif id(value) not in seen:
            seen.add(id(value))
            for name, part in _parts(value, modules):
                yield from walk(part, f"{path}/{name}")

    return walk(roots, "")


def _parts(value, modules):
    if isinstance(value, dict):
        return enumerate(value.items())
    if isinstance(value, list | tuple | set | deque):
        return enumerate(value)
    if isinstance(value, FunctionType):
        return [(k, cell.cell_contents) for k, cell in enumerate(value.__closure__ or ())]
    if type(value).__module__.startswith(modules) and hasattr(value, "__dict__"):
        return vars(value).items()
    return []


def _bytes(array):
    return np.ascontiguousarray(array).reshape(array.shape or (1,)).view(np.uint8)


def _differs(array, other):
    return (_bytes(array) != _bytes(other)).reshape(*array.shape, array.itemsize).any(axis=-1)


def changed(running):
    """Which numbers of which unnamed arrays some round changed, and the models of all rounds.

    The others are constants: such as the zeros behind a vector that fills no matrix.
    """
    first = {path: array.copy() for path, array in running.unnamed().items()}
    models, found = [], {}
    for t in range(ROUNDS):
        models.append(running.round(t))
        for path, array in running.unnamed().items():
            new = path not in first or first[path].shape != array.shape
            here = np.ones(array.shape, bool) if new else _differs(array, first[path])
            found[path] = here | found.get(path, False)
    return found, models


def spoil(running, found):
    """Overwrite what rounds change and the state does not hold: NaN, -1, the largest integer."""
    for path, array in running.unnamed().items():
        if found[path].any() and array.flags.writeable:
            array[found[path]] = np.frombuffer(b"\xff" * array.itemsize, array.dtype)[0]


def assert_names_all(*case, **options):
    """A run that forgets all but its named state does as one that is left alone."""
    found, models = changed(Running(*case, **options))
    running = Running(*case, **options)
    before = running.scalars()
    for t, expected in enumerate(models):
        np.testing.assert_array_equal(running.round(t), expected, f"after round {t}: {ADVICE}")
        spoil(running, found)
        now = running.scalars()
        kept = {path for path in before | now if before.get(path) != now.get(path)}
        assert before == now, f"{kept}: {ADVICE}"


def assert_goes_on(*case, **options):
    """The named arrays after three rounds are all that a fresh run needs."""
    through, fresh = Running(*case, **options), Running(*case, **options)
    for t in range(3):
        through.round(t)
    saved = {entry.name: entry.array.copy() for entry in through.state}
    assert [entry.name for entry in fresh.state] == list(saved)
    for entry in fresh.state:
        entry.array[...] = saved[entry.name]
    for t in range(3, ROUNDS):
        np.testing.assert_array_equal(
            fresh.round(t), through.round(t), f"after round {t}: {ADVICE}"
        )


UPLINKS = ("topk:k=5", "powersgd:rank=2", "randk:k=5,scale=unbiased", "permk:copies=2")

METHODS = [
    (name, spec)
    for name in methods.names()
    for spec in (UPLINKS if methods[name].needs_compressor else UPLINKS[:1])
    if admits(name, spec)
]

SPECS = [*default_specs(), "powersgd:rank=2,basis=svd,refresh=2", "alternating:fresh_columns=0"]

IN_BLOCKS = [
    spec for spec in ("svd:rank=1", "powersgd:rank=2", "alternating", "qsgd:levels=4,coding=elias")
]


@pytest.mark.parametrize("check", [assert_names_all, assert_goes_on])
class TestEverything:
    @pytest.mark.parametrize(("name", "spec"), METHODS)
    def test_of_every_method(self, name, spec, check):
        check(name, spec)

    @pytest.mark.parametrize("spec", SPECS)
    def test_of_every_compressor(self, spec, check):
        for dtype in ("float64", "float32"):
            check("EF21", spec, dtype=dtype)

    @pytest.mark.parametrize("spec", IN_BLOCKS)
    def test_of_a_model_of_several_blocks(self, spec, check):
        check("EF21", spec, blocks=LAYERS)


class Momentum(EF21):
    """Keeps its velocity to itself."""

    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._velocity = np.zeros_like(self.x)

    def move(self, direction):
        self._velocity *= 0.9
        self._velocity += direction
        super().move(self._velocity)


class NamedMomentum(Momentum):
    def __init__(self, setting, **options):
        super().__init__(setting, **options)
        self._velocity = setting.state.array("velocity", self.x.size)


class Warming(EF21):
    """Counts its rounds by itself."""

    _rounds = 0

    def move(self, direction):
        self._rounds += 1
        super().move(direction / self._rounds)


class Starting(EF21):
    """Knows its first move by what is not there yet."""

    _last = None

    def move(self, direction):
        super().move(direction if self._last is not None else 2 * direction)
        self._last = direction


@pytest.fixture
def forgetful(monkeypatch):
    """A compressor that sends differences from what it sent last, kept to itself."""

    class Differences(Identity):
        name = "differences"

        def encode(self, x, messages, generators):
            if not hasattr(self, "_sent_last"):
                self._sent_last = np.zeros_like(x)
            super().encode(x + self._sent_last, messages, generators)
            self._sent_last[:] = x / 2

    compressors.names()
    monkeypatch.setitem(compressors._found, "differences", Differences)


def test_a_method_that_keeps_an_array_elsewhere_is_found():
    for check in (assert_names_all, assert_goes_on):
        with pytest.raises(AssertionError, match="after round"):
            check(Momentum, "topk:k=5")
        check(NamedMomentum, "topk:k=5")


def test_a_method_that_counts_elsewhere_is_found():
    with pytest.raises(AssertionError, match="_rounds"):
        assert_names_all(Warming, "topk:k=5")
    with pytest.raises(AssertionError, match="after round"):
        assert_goes_on(Starting, "topk:k=5")


def test_a_compressor_that_keeps_an_array_elsewhere_is_found(forgetful):
    for check in (assert_names_all, assert_goes_on):
        with pytest.raises((AssertionError, MessageError), match=r"after round|not finite"):
            check("EF21", "differences")
