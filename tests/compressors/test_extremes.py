"""What every compressor does with the inputs and the messages that nobody wants."""

from inspect import signature

import numpy as np
import pytest

from mpi_lowrank.certificate import default_specs, drive, maker
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.wire.messages import LENGTH, MessageError
from mpi_lowrank.config.options import read_spec

D, WORKERS = 112, 4


def make(spec):
    return maker(read_spec(spec), spec)((D,), WORKERS)


GATHERED = [spec for spec in default_specs() if not make(spec).shared]
SHARED = [spec for spec in default_specs() if make(spec).shared]


def compress(spec, x, round=0):
    compressor = make(spec)
    drive.prepare(compressor, WORKERS)
    return drive.unpack(compressor, drive.pack(compressor, x, round), D)


@pytest.mark.parametrize("spec", default_specs())
def test_zero_gives_zero_and_denormal_numbers_give_none_that_are_not_finite(spec):
    rng = np.random.default_rng(0)
    for scale in (0.0, 1e-320, 1e-310, 1e-44, 1e-40):
        x = rng.standard_normal((WORKERS, D)) * scale
        for round in range(3):
            if spec in SHARED:
                operator = make(spec)
                drive.prepare(operator, WORKERS)
                own, mean, _ = drive.reduce(operator, x, round)
                assert np.isfinite(mean).all()
            else:
                own = compress(spec, x, round)
            assert np.isfinite(own).all() and np.abs(own).max() <= 1e-30
            assert scale or not own.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spec", GATHERED)
def test_what_is_not_finite_raises(spec, value):
    x = np.ones((WORKERS, D))
    x[2, 50] = value
    with pytest.raises(FloatingPointError):
        compress(spec, x)


@pytest.mark.parametrize("spec", GATHERED)
def test_what_is_too_large_for_the_wire_raises_and_what_is_not_is_sent(spec):
    x = np.random.default_rng(0).standard_normal((WORKERS, D))
    large = 1e4 if "float16" in spec else 1e30
    assert np.isfinite(compress(spec, x * large)).all()
    wide = "float64" in spec
    for round in range(20):  # the coin of a random one may spare it for a while
        try:
            out = compress(spec, x * 1e300, round)
        except FloatingPointError:
            return
        assert wide or not out.any()
    assert wide


def in_float64(spec):
    """The same compressor with its numbers sent as float64."""
    stages = (stage.partition(":") for stage in spec.split("+"))
    return "+".join(
        f"{name}:{options}{',' * bool(options)}wire=float64"
        if "wire" in signature(compressors[name]).parameters and "wire" not in options
        else f"{name}:{options}".rstrip(":")
        for name, _, options in stages
    )


@pytest.mark.parametrize("spec", list(dict.fromkeys([*GATHERED, *map(in_float64, GATHERED)])))
def test_any_bytes_decode_to_finite_numbers_or_raise(spec):
    compressor, rng = make(spec), np.random.default_rng(1)
    drive.prepare(compressor, 1)
    drive.begin(compressor, 1, 0, 0, 0)
    true = drive.pack(compressor, rng.standard_normal((1, D)))
    length = int(true[0, :4].view(LENGTH)[0]) if compressor.variable else compressor.nbytes
    out, total = np.empty((1, D)), np.empty(D)
    for trial in range(200):
        message = true.copy()
        if trial % 2:
            message[0, rng.integers(length)] ^= 1 << rng.integers(8)
        else:
            message[0] = rng.integers(0, 256, compressor.nbytes)
        try:
            compressor.unpack(message, out)
            compressor.decode_sum(message, np.ones(1), total)
        except MessageError:
            continue
        assert np.isfinite(out).all() and np.isfinite(total).all()


@pytest.mark.parametrize("spec", GATHERED)
def test_messages_that_are_too_short_or_too_long_raise(spec):
    compressor = make(spec)
    drive.prepare(compressor, 1)
    drive.begin(compressor, 1, 0, 0, 0)
    message = drive.pack(compressor, np.ones((1, D)))
    longer = np.append(message, [[0]], axis=1).astype(np.uint8)
    for wrong in (message[:, :-1], message[:, :0], longer):
        with pytest.raises(MessageError):
            compressor.unpack(wrong, np.empty((1, D)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("spec", GATHERED)
def test_either_state_s_type_sends_the_same_kind_of_message(spec, dtype):
    from mpi_lowrank.run.components import make_operator

    x = np.random.default_rng(2).standard_normal((WORKERS, D)).astype(dtype)
    compressor = make_operator(read_spec(spec), (D,), dtype, WORKERS)
    assert compressor.nbytes == make(spec).nbytes
    drive.prepare(compressor, WORKERS)
    messages = drive.pack(compressor, x, 1)
    out = drive.unpack(compressor, messages, D, dtype)
    mean = np.empty(D, dtype)
    compressor.decode_sum(messages, np.full(WORKERS, 0.25, dtype), mean)
    assert out.dtype == mean.dtype == dtype
    np.testing.assert_allclose(mean, out.mean(axis=0), atol=1e-5 * np.abs(out).max() + 1e-30)
