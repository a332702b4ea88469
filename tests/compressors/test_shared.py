import ml_dtypes
import numpy as np
import pytest

from mpi_lowrank.certificate.drive import prepare
from mpi_lowrank.compressors import compressors
from mpi_lowrank.compressors.base import complete
from mpi_lowrank.compressors.composed.blocks import compress_blocks
from mpi_lowrank.compressors.factors.allreduced import orthonormal
from mpi_lowrank.errors import OptionError
from mpi_lowrank.rounds.randomness import SHARED, Purpose, Stream

M, C = 6, 10
SPECS = [
    ("dense", {}),
    ("powersgd", {"rank": 2, "basis": "fresh"}),
    ("powersgd", {"rank": 2, "basis": "warm"}),
    ("powersgd", {"rank": 2, "basis": "svd", "refresh": 2}),
    ("alternating", {"rank": 3}),
    ("sketch", {"rank": 3}),
    ("sketch", {"rank": 3, "kind": "gaussian", "scale": "unbiased"}),
    ("sketch", {"rank": 3, "kind": "rademacher"}),
    ("twosided", {"rows": 2, "columns": 4}),
    ("twosided", {"rows": 2, "columns": 4, "scale": "unbiased"}),
    ("twosided", {"rows": 7, "columns": 3, "shape": (7, 9)}),
]


def make(name, options, local=4, block=(M, C), wire="float64"):
    block = (int(np.prod(block)),) if "shape" in options else block
    compressor = compressors[name](block, np.dtype(float), wire=wire, **options)
    prepare(compressor, local)
    return compressor


def drive(compressor, x, round=0):
    """(own, mean, floats sent by a worker), all workers in one process."""
    own, mean = np.full(x.shape, np.nan), np.full(x.shape[1], np.nan)
    phases = compressor.reduce(x, own, mean, Stream(0, Purpose.COMPRESS, SHARED).at(round), ())
    sent = []

    def average(rows):
        sent.append(rows.shape[1])
        return rows.astype(float).mean(axis=0)

    complete(phases, average, largest=None)
    return own, mean, sum(sent)


@pytest.fixture
def rows():
    return np.random.default_rng(3).standard_normal((4, M * C))


@pytest.mark.parametrize(("name", "options"), SPECS)
def test_the_mean_of_own_is_the_mean(name, options, rows):
    compressor = make(name, options)
    for round in range(5):
        own, mean, _ = drive(compressor, rows, round)
        np.testing.assert_allclose(own.mean(axis=0), mean, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("name", "options"), SPECS)
def test_the_mean_depends_on_the_mean_of_the_workers_alone(name, options, rows):
    several, one = make(name, options), make(name, options, local=1)
    for round in range(5):
        mean = drive(several, rows, round)[1]
        alone = drive(one, rows.mean(axis=0, keepdims=True), round)[1]
        np.testing.assert_allclose(mean, alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "options"), SPECS)
def test_a_worker_sends_the_bytes_it_claims_on_average(name, options, rows):
    compressor = make(name, options)
    sent = sum(drive(compressor, rows, round)[2] for round in range(4))
    if options.get("basis") == "svd":
        sent -= 2 * M * C  # the refreshes of rounds 0 and 2
    assert 8 * sent == 4 * compressor.nbytes


@pytest.mark.parametrize(("name", "options"), SPECS)
def test_zero_compresses_to_zero_without_nan(name, options):
    compressor = make(name, options)
    for round in range(3):
        own, mean, _ = drive(compressor, np.zeros((4, M * C)), round)
        assert not own.any() and not mean.any()


@pytest.mark.parametrize(
    ("name", "options", "rank"),
    [
        ("powersgd", {"rank": 2}, 2),
        ("alternating", {"rank": 2}, 2),
        ("sketch", {"rank": 3}, 3),
        ("twosided", {"rows": 2, "columns": 5}, 2),
    ],
)
def test_the_mean_has_the_rank_of_one_worker_s_factors(name, options, rank, rows):
    mean = drive(make(name, options), rows)[1]
    assert np.linalg.matrix_rank(mean.reshape(M, C)) == rank


def test_powersgd_on_a_fixed_matrix_turns_to_the_best_rank():
    x = np.random.default_rng(0).standard_normal((1, M * C))
    compressor = make("powersgd", {"rank": 2, "fresh_columns": 0}, local=1)
    for round in range(60):
        mean = drive(compressor, x, round)[1]
    singular = np.linalg.svd(x.reshape(M, C), compute_uv=False)
    assert ((x - mean) ** 2).sum() == pytest.approx((singular[2:] ** 2).sum(), rel=1e-9)


def test_an_svd_refresh_is_the_best_rank_at_once():
    x = np.random.default_rng(0).standard_normal((1, M * C))
    mean = drive(make("powersgd", {"rank": 2, "basis": "svd"}, local=1), x)[1]
    singular = np.linalg.svd(x.reshape(M, C), compute_uv=False)
    assert ((x - mean) ** 2).sum() == pytest.approx((singular[2:] ** 2).sum(), rel=1e-9)


def error_samples(compressor, x, rounds=3000):
    prepare(compressor, 1)
    return np.array([((drive(compressor, x, t)[1] - x) ** 2).sum() for t in range(rounds)])


def assert_mean(values, expected):
    bound = 4.5 * values.std() / np.sqrt(len(values)) + 1e-12
    assert abs(values.mean() - expected) <= bound, (values.mean(), expected, bound)


EQUAL = [
    ("sketch", {"rank": 4}, C / 4),
    ("sketch", {"rank": 6, "shape": (10, 6)}, 1),
    ("sketch", {"rank": 4, "kind": "gaussian"}, 1 + (C + 1) / 4),
    ("sketch", {"rank": 4, "kind": "rademacher"}, 1 + (C - 1) / 4),
    ("twosided", {"rows": 3, "columns": 4}, M * C / 12),
    ("twosided", {"rows": 1, "columns": 10}, M),
    ("twosided", {"rows": 6, "columns": 10}, 1),
]


@pytest.mark.parametrize(("name", "options", "zeta"), EQUAL)
def test_an_unbiased_sketch_has_its_second_moment_at_every_x(name, options, zeta):
    compressor = make(name, options | {"scale": "unbiased"}, local=1)
    assert compressor.omega == pytest.approx(zeta - 1, abs=1e-14)
    for x in (np.random.default_rng(1).standard_normal((1, M * C)), np.eye(1, M * C, 7)):
        draws = []
        for t in range(2000):
            prepare(compressor, 1)
            draws.append(drive(compressor, x, t)[1])
        draws = np.array(draws)
        square = (x**2).sum()
        assert_mean(((draws - x) ** 2).sum(axis=1) / square, zeta - 1)
        assert compressor.expected_error(x)[0] == pytest.approx((zeta - 1) * square, abs=1e-12)
        off = np.abs(draws.mean(axis=0) - x[0])
        assert (off <= 4.5 * draws.std(axis=0) / np.sqrt(2000) + 1e-12).all()


@pytest.mark.parametrize(("name", "options", "zeta"), EQUAL)
def test_a_contractive_sketch_keeps_one_over_zeta_of_every_x(name, options, zeta):
    compressor = make(name, options, local=1)
    assert compressor.alpha == pytest.approx(1 / zeta)
    for x in (np.random.default_rng(1).standard_normal((1, M * C)), np.eye(1, M * C, 7)):
        samples, square = error_samples(compressor, x, 2000), (x**2).sum()
        assert_mean(samples / square, 1 - 1 / zeta)
        assert compressor.expected_error(x)[0] == pytest.approx((1 - 1 / zeta) * square, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "options", "attained"),
    [
        ("sketch", {"rank": 3, "shape": (7, 10)}, True),
        ("sketch", {"rank": 1, "shape": (1, 70)}, False),
        ("sketch", {"rank": 3, "kind": "gaussian", "scale": "unbiased", "shape": (7, 9)}, True),
        ("twosided", {"rows": 3, "columns": 4, "shape": (7, 9)}, False),
        ("twosided", {"rows": 3, "columns": 4, "scale": "unbiased", "shape": (7, 9)}, False),
    ],
)
def test_cutting_off_the_padding_lowers_the_error_except_in_whole_rows(name, options, attained):
    compressor = make(name, options, local=1)
    bound = 1 - compressor.alpha if compressor.omega is None else compressor.omega
    x = np.random.default_rng(1).standard_normal((1, M * C))
    samples = error_samples(compressor, x, 2000) / (x**2).sum()
    assert samples.mean() <= bound + 4.5 * samples.std() / np.sqrt(2000)
    assert compressor.expected_error(x) is None
    worst = compressor.worst_case()
    assert (worst is not None) == attained
    if attained:
        assert_mean(error_samples(compressor, worst[np.newaxis], 2000) / (worst**2).sum(), bound)


@pytest.mark.parametrize(
    ("name", "options", "block"),
    [
        ("powersgd", {"rank": 2, "basis": "fresh"}, (M, C)),
        ("powersgd", {"rank": 2, "basis": "fresh"}, (C, M)),
        ("powersgd", {"rank": 2, "fresh_columns": 2}, (M, C)),
        ("sketch", {"rank": 3}, (M, C)),
        ("sketch", {"rank": 3, "kind": "rademacher"}, (C, M)),
        ("twosided", {"rows": 3, "columns": 4}, (M, C)),
    ],
)
def test_the_contraction_is_attained_at_the_worst_case(name, options, block):
    compressor = make(name, options, local=1, block=block)
    x = compressor.worst_case()[np.newaxis]
    assert_mean(error_samples(compressor, x, 2000) / (x**2).sum(), 1 - compressor.alpha)


def test_no_worst_case_is_named_where_none_is_known():
    for options in ({"basis": "warm", "rank": 2}, {"basis": "svd"}, {"basis": "fresh"}):
        shape = {"shape": (7, 9)} if options["basis"] == "fresh" else {}
        assert make("powersgd", options | shape).worst_case() is None


def test_a_two_sided_sketch_is_an_orthogonal_projection(rows):
    compressor = make("twosided", {"rows": 3, "columns": 4})
    own, _, sent = drive(compressor, rows)
    assert sent == 12
    np.testing.assert_allclose((own * rows).sum(axis=1), (own**2).sum(axis=1), rtol=1e-12)
    again = drive(compressor, own)[0]
    np.testing.assert_allclose(again, own, atol=1e-13)
    for row in own.reshape(4, M, C):
        assert np.linalg.matrix_rank(row) == 3
    scaled = drive(make("twosided", {"rows": 3, "columns": 4, "scale": "unbiased"}), rows)[0]
    np.testing.assert_allclose(scaled, own * (M * C / 12), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sketch", {"rank": 3}),
        ("sketch", {"rank": 1, "shape": (7, 9)}),
        ("twosided", {"rows": 3, "columns": 4}),
        ("twosided", {"rows": 1, "columns": 1, "shape": (7, 9)}),
    ],
)
def test_what_a_worker_stands_for_does_not_depend_on_who_is_beside_it(name, options, rows):
    together = drive(make(name, options), rows)[0]
    one = make(name, options, local=1)
    np.testing.assert_array_equal(together, [drive(one, row[np.newaxis])[0][0] for row in rows])


@pytest.mark.parametrize("wire", ["float32", "float64"])
@pytest.mark.parametrize(
    ("d", "rows", "columns"), [(1, 1, 1), (7, 2, 3), (112, 8, 5), (10**6 + 3, 100, 7)]
)
def test_a_two_sided_sketch_costs_its_rows_times_columns(d, rows, columns, wire):
    options = {"rows": rows, "columns": columns}
    compressor = compressors["twosided"]((d,), np.dtype(float), wire=wire, **options)
    assert compressor.nbytes == rows * columns * np.dtype(wire).itemsize
    assert compressor.published_bits == 8 * compressor.nbytes


@pytest.mark.parametrize("name", ["sketch", "twosided", "powersgd"])
def test_what_a_worker_stands_for_follows_from_the_wire_s_numbers(name, rows):
    options = {"rows": 6, "columns": 10} if name == "twosided" else {"rank": 6}
    own = drive(make(name, options, wire="float32"), rows)[0]
    assert 0 < np.abs(own - drive(make(name, options), rows)[0]).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("powersgd", {"rank": 2, "basis": "fresh"}),
        ("powersgd", {"rank": 2, "basis": "warm"}),
        ("alternating", {"rank": 2}),
        ("sketch", {"rank": 3}),
        ("sketch", {"rank": 3, "kind": "gaussian"}),
        ("twosided", {"rows": 4, "columns": 7}),
    ],
)
def test_the_contraction_is_kept_on_a_flat_spectrum(name, options):
    x = np.eye(M, C).reshape(1, -1)
    compressor = make(name, options, local=1)
    samples = error_samples(compressor, x) / M
    bound = 4.5 * samples.std() / np.sqrt(len(samples))
    assert samples.mean() <= 1 - compressor.alpha + bound


@pytest.mark.parametrize("fresh", [1, 2])
def test_a_warm_basis_is_sure_of_its_fresh_columns_and_of_no_more(fresh):
    # The past is in the last columns, what comes in the first ones, with equal singular values.
    compressor = make("powersgd", {"rank": 3, "fresh_columns": fresh}, local=1)
    assert compressor.alpha == fresh / M
    past, x = np.zeros((1, M, C)), np.eye(M, C).reshape(1, -1)
    for seed in range(20):
        past[:, :, M:] = np.random.default_rng(seed).standard_normal((M, C - M))
        prepare(compressor, 1)
        for round in range(3):
            drive(compressor, past.reshape(1, -1), round)
        error = ((drive(compressor, x, 3)[1] - x) ** 2).sum()
        assert error == pytest.approx((1 - compressor.alpha) * M, rel=1e-9)


def test_only_the_mean_contracts_under_powersgd():
    # The mean is one unit matrix, the workers lie elsewhere: nothing of worker 0 is seen.
    x = np.zeros((2, M, C))
    x[0, 0, 0], x[1, 0, 0], x[1, 1, 1] = 5, -5, 1
    compressor = make("powersgd", {"rank": 1, "basis": "fresh"}, local=2)
    own = drive(compressor, x.reshape(2, -1))[0]
    assert np.linalg.norm(own[0]) < 1e-12 * 5 and compressor.contraction == "mean"


def test_columns_without_a_direction_of_their_own_become_zero_and_take_nothing_from_others():
    v = np.arange(1.0, 7)
    basis = orthonormal(np.stack([np.zeros(6), v, 2 * v], axis=1))
    np.testing.assert_allclose(np.abs(basis[:, 0]), v / np.linalg.norm(v), rtol=1e-14)
    assert not basis[:, 1:].any()


def test_bfloat16_and_float16_dense_messages_are_half_of_float32_s():
    for wire, dtype in (("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)):
        compressor = make("dense", {}, wire=wire)
        x = np.random.default_rng(0).standard_normal((4, M * C))
        assert compressor.nbytes == 2 * M * C
        np.testing.assert_array_equal(drive(compressor, x)[0], x.astype(dtype).astype(float))


@pytest.mark.parametrize(
    ("name", "options", "option"),
    [
        ("powersgd", {"rank": 7}, "rank"),
        ("powersgd", {"rank": 2, "fresh_columns": 3}, "fresh_columns"),
        ("powersgd", {"refresh": 0}, "refresh"),
        ("alternating", {"rank": 2, "fresh_columns": -1}, "fresh_columns"),
        ("sketch", {"rank": 0}, "rank"),
        ("twosided", {"rows": M + 1}, "rows"),
        ("twosided", {"rows": M, "columns": C + 1}, "columns"),
        ("twosided", {"rows": 0}, "rows"),
        ("twosided", {"columns": 0}, "columns"),
    ],
)
def test_impossible_options_name_themselves(name, options, option):
    with pytest.raises(OptionError) as caught:
        make(name, options)
    assert caught.value.option == option


BLOCKS = [("W1", (6, 10)), ("b1", (10,)), ("W2", (10, 3)), ("s", (2, 2))]


def model(name, **options):
    kind = compressors[name]
    dense = compressors["dense" if kind.shared else "identity"]
    dtype = np.dtype(float)
    return compress_blocks(
        BLOCKS,
        kind,
        lambda shape: kind(shape, dtype, wire="float64", **options),
        lambda shape: dense(shape, dtype, wire="float64"),
    )


@pytest.mark.parametrize("name", ["svd", "rsvd", "powersgd", "sketch"])
def test_blocks_are_compressed_by_their_own_shape_and_small_ones_go_dense(name):
    compressor, told = model(name, rank=1)
    x = np.random.default_rng(0).standard_normal((3, 104))
    if compressor.shared:
        prepare(compressor, 3)
        own, mean, sent = drive(compressor, x)
        assert 8 * sent == compressor.nbytes
    else:
        prepare(compressor, 3)
        messages = np.zeros((3, compressor.nbytes), np.uint8)
        streams = [Stream(0, Purpose.COMPRESS, worker).at(0) for worker in range(3)]
        own, mean = np.full(x.shape, np.nan), np.full(104, np.nan)
        compressor.encode(x, messages, streams)
        compressor.decode(messages, own)
        compressor.decode_sum(messages, np.full(3, 1 / 3), mean)
    np.testing.assert_allclose(own.mean(axis=0), mean, atol=1e-14)
    np.testing.assert_array_equal(own[:, 60:70], x[:, 60:70])
    if name != "sketch":  # one number a row is less than the block
        np.testing.assert_array_equal(own[:, 100:], x[:, 100:])
    for row in own:
        assert np.linalg.matrix_rank(row[:60].reshape(6, 10)) == 1
        assert np.linalg.matrix_rank(row[70:100].reshape(10, 3)) == 1
    dense = "dense" if compressor.shared else "identity"
    assert f"b1 10: {dense}, 80 bytes" in told
    assert (f"s 2x2: {dense}, 32 bytes" in told) == (name != "sketch")
    assert compressor.alpha == pytest.approx(1 / (10 if name == "sketch" else 6))


def test_a_vector_compressor_sees_the_whole_model():
    compressor, told = model("topk", k=5)
    assert compressor.d == 104 and told == []
