import numpy as np
import pytest
from harness import assert_mean, make

from mpi_lowrank.certificate import drive
from mpi_lowrank.compressors.wire.messages import MessageError
from mpi_lowrank.errors import OptionError

D, N = 30, 4
X = np.random.default_rng(3).standard_normal((N, D))


def permk(options="", d=D, workers=N, local=N):
    spec = f"permk:{options}" if options else "permk"
    return make(spec, d, local=local, workers=workers)


def compress(compressor, x, round=0, first=0):
    messages = drive.pack(compressor, x, round, first=first)
    return drive.unpack(compressor, messages, x.shape[1])


def test_every_coordinate_is_sent_by_one_worker_and_none_by_two():
    for round in range(5):
        out = compress(permk("scale=contractive,wire=float64"), X, round)
        assert (np.count_nonzero(out, axis=0) == 1).all()
        np.testing.assert_array_equal(out[out != 0], X[out != 0])


@pytest.mark.parametrize("copies", [2, 3, 4])
def test_every_coordinate_is_sent_by_as_many_workers_as_copies(copies):
    compressor = permk(f"copies={copies},wire=float64")
    marked, shares = np.zeros((N, D), bool), np.zeros((N, D))
    for round in range(300):
        out = compress(compressor, X, round)
        compressor.sent(marked)
        assert (np.count_nonzero(marked, axis=0) == copies).all()
        np.testing.assert_array_equal(out, np.where(marked, X * (N / copies), 0))
        shares += marked / 300
    np.testing.assert_allclose(shares, copies / N, atol=0.13)  # 4.5 standard errors


@pytest.mark.parametrize("options", ["", "copies=3,"])
def test_the_mean_of_equal_vectors_is_exact(options):
    x = np.repeat(X[:1], N, axis=0)
    out = compress(permk(options + "wire=float64"), x)
    np.testing.assert_allclose(out.mean(axis=0), X[0], rtol=1e-14)


@pytest.mark.parametrize("copies", [0, 5])
def test_copies_for_no_worker_or_more_than_there_are_raise(copies):
    with pytest.raises(OptionError, match="from 1 to 4, the workers"):
        permk(f"copies={copies}")


def test_constants_hold_with_equality_for_every_x():
    for options, expected in (
        ("", N - 1),
        ("scale=contractive,", 3 / 4),
        ("copies=3,", 1 / 3),
        ("copies=3,scale=contractive,", 1 / 4),
    ):
        compressor = permk(options + "wire=float64")
        errors = [((compress(compressor, X, t)[1] - X[1]) ** 2).sum() for t in range(2000)]
        assert_mean(np.array(errors) / (X[1] ** 2).sum(), expected)
        np.testing.assert_allclose(compressor.expected_error(X), expected * (X**2).sum(axis=1))


def test_the_mean_is_x():
    compressor = permk()
    drawn = np.array([compress(compressor, X, t)[2] for t in range(2000)])
    assert_mean(drawn @ X[2], X[2] @ X[2])


def test_messages_say_whose_they_are_so_that_silent_workers_and_any_order_do_no_harm():
    compressor = permk()
    whole = compress(compressor, X, 7)
    messages = drive.pack(compressor, X, 7)
    np.testing.assert_array_equal(drive.unpack(compressor, messages[[3, 1]], D), whole[[3, 1]])
    alone = permk(local=1)
    np.testing.assert_array_equal(compress(alone, X[2:3], 7, first=2)[0], whole[2])


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize("d", [1, 7, 112, 10**6 + 3])
@pytest.mark.parametrize(("workers", "number"), [(1, 0), (20, 1), (300, 2)])
def test_a_message_is_the_worker_s_number_and_its_share(d, wire, workers, number):
    nbytes = number + -(-d // workers) * np.dtype(wire).itemsize
    assert make(f"permk:wire={wire}", d, local=1, workers=workers).nbytes == nbytes


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_raises(value):
    compressor = permk(local=1)
    message = drive.pack(compressor, X[:1])
    message[0, 1:5].view("<f4")[0] = value
    with pytest.raises(MessageError):
        drive.unpack(compressor, message, D)


def test_a_worker_that_does_not_exist_raises():
    compressor = permk(workers=3, local=1)
    message = drive.pack(compressor, X[:1])
    message[0, 0] = 3
    with pytest.raises(MessageError):
        drive.unpack(compressor, message, D)
