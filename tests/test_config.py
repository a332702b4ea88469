import pytest

from mpi_lowrank import config
from mpi_lowrank.component import option
from mpi_lowrank.config.options import read_spec
from mpi_lowrank.errors import UserError
from mpi_lowrank.steps import steps
from mpi_lowrank.steps.base import Step


@pytest.fixture
def load(tmp_path):
    def load(text, *settings):
        path = tmp_path / "some.toml"
        path.write_text(text)
        return config.load(path, settings)

    return load


def labels(experiment):
    return [case.label for case in experiment.cases]


def test_lists_make_the_cross_product_and_every_case_a_label(load):
    experiment = load("""
        workers = [4, 20]
        [[cases]]
        method = "GD"
        [[cases]]
        method = ["DCGD", "EF21"]
        compressor = {name = "topk", k = [1, 2]}
        multiple = 16
    """)
    assert len(experiment.cases) == 2 + 2 * 2 * 2
    assert len(set(labels(experiment))) == 10
    assert "EF21 + Top-2 16x workers=20" in labels(experiment)


def test_shards_of_several_alphas_have_labels_of_their_own(load):
    data = '{name = "digits", order = "dirichlet", alpha = [0.1, 1]}'
    experiment = load(f'data = {data}\nproblem = "softmax"\n[[cases]]\nmethod = "GD"')
    assert labels(experiment) == [f"GD 1x order=dirichlet(alpha={a})" for a in ("0.1", "1")]


def test_a_table_in_a_list_may_hold_lists_of_its_own(load):
    experiment = load("""
        [[cases]]
        method = "EF21"
        compressor = [{name = "topk", k = [1, 2]}, {name = "svd", shape = ["auto", [7, 16]]}]
    """)
    assert labels(experiment) == [
        "EF21 + Top-1 1x",
        "EF21 + Top-2 1x",
        "EF21 + rank-1 SVD (shape=auto) 1x",
        "EF21 + rank-1 SVD (shape=7x16) 1x",
    ]


def test_a_pair_is_one_shape_and_a_list_of_shapes_a_sweep(load):
    case = '[[cases]]\nmethod = "EF21"\ncompressor = {name = "svd", shape = %s}'
    assert load(case % "[8, 14]").cases[0].compressor.options["shape"] == (8, 14)
    swept = load(case % '["auto", [8, 14], [7, 16]]')
    assert labels(swept) == [
        "EF21 + rank-1 SVD (shape=auto) 1x",
        "EF21 + rank-1 SVD (shape=8x14) 1x",
        "EF21 + rank-1 SVD (shape=7x16) 1x",
    ]


def test_every_option_that_is_a_tuple_may_be_a_list(load, monkeypatch):
    class Layered(Step):
        sizes: tuple[float, ...] = option((1.0,))

        def move(self, displacement, gamma):
            self.x -= displacement

    steps.names()
    monkeypatch.setitem(steps._found, "layered", Layered)
    case = '[[cases]]\nmethod = "GD"\nstep = {name = %s, sizes = %s}'
    assert load(case % ('"layered"', "[0.5, 2.0]")).cases[0].step.options["sizes"] == (0.5, 2.0)
    swept = load(case % ('"layered"', "[[0.5, 2], [3]]"))
    assert labels(swept) == ["GD, layered(sizes=0.5x2.0) 1x", "GD, layered(sizes=3.0) 1x"]
    assert load(case % ('["layered"]', "[0.5]")).cases[0].step.options["sizes"] == (0.5,)


def test_a_tuple_of_a_compressor_within_a_method_may_be_a_list(load):
    case = """
        topology = "server"
        [[cases]]
        method = {name = "EF21-BC", downlink = {name = "svd", shape = %s}}
        compressor = "topk:k=2"
    """
    (one,) = load(case % "[8, 14]").cases
    assert one.method.options["downlink"].options["shape"] == (8, 14)
    assert len(load(case % "[[8, 14], [7, 16]]").cases) == 2


COMPOSED = "EF21 + Top-8, natural 1x"


def test_a_name_that_is_a_table_beside_a_list_is_one_line(load):
    with pytest.raises(UserError, match="name"):
        load('[[cases]]\nmethod = "GD"\ncompressor = { name = { a = 1 }, shape = [1, 2] }')


def test_a_composition_is_one_value_and_a_list_of_them_a_sweep(load):
    case = '[[cases]]\nmethod = "EF21"\ncompressor = %s'
    one = load(case % '{compose = ["topk:k=8", "natural"]}')
    assert labels(one) == [COMPOSED]
    choice = one.cases[0].compressor
    assert (choice.name, choice.options, choice.then.name) == ("topk", {"k": 8}, "natural")
    swept = load(
        case % '{compose = [["topk:k=8", "natural"], ["svd:rank=1,shape=7x16", "ternary"]]}'
    )
    assert labels(swept) == [COMPOSED, "EF21 + rank-1 SVD (shape=7x16), ternary 1x"]


def test_a_compressor_may_be_written_in_one_line(load):
    case = '[[cases]]\nmethod = "EF21"\ncompressor = %s'
    assert labels(load(case % '["topk:k=8+natural", "natural"]')) == [COMPOSED, "EF21 + natural 1x"]
    three = read_spec("topk:k=20 + randk:k=5,scale=unbiased + natural")
    assert str(three) == "topk(k=20)+randk(k=5,scale=unbiased)+natural"


@pytest.mark.parametrize(
    ("compressor", "words"),
    [
        ('{compose = ["topk:k=8"]}', ["cases[0].compressor", "two stages or more"]),
        ('{compose = ["topk:k=8", "natural"], k = 2}', ["two stages or more"]),
        ('{compose = ["topk:k=8", "nature"]}', ["cases[0].compressor.compose = nature", "natural"]),
        ('{compose = ["topk", "natural"]}', ["cases[0].compressor.compose.k", "an integer"]),
        ('"topk:k=two"', ["cases[0].compressor.k = two", "an integer"]),
        ('"topk:size=2"', ["cases[0].compressor.size = 2", "k"]),
        ('"topk:k=2,k=3"', ["cases[0].compressor = topk:k=2,k=3", "once"]),
    ],
)
def test_a_mistake_in_a_composition_names_its_stage(load, compressor, words):
    with pytest.raises(UserError) as caught:
        load(f'[[cases]]\nmethod = "EF21"\ncompressor = {compressor}')
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_a_case_s_stepsize_replaces_the_shared_multiple(load):
    experiment = load('multiple = 4\n[[cases]]\nmethod = "GD"\nstepsize = 0.5')
    assert (experiment.cases[0].stepsize, experiment.cases[0].multiple) == (0.5, None)


def test_settings_override_the_file_and_are_recorded(load):
    text = 'rounds = 5\n[[cases]]\nmethod = "GD"\n[[cases]]\nmethod = "EF14"'
    experiment = load(text, "rounds=7", "data.order=shuffled", "cases.1.multiple=[2, 4]")
    assert [case.rounds for case in experiment.cases] == [7, 7, 7]
    assert experiment.cases[0].data.order == "shuffled"
    assert labels(experiment) == ["GD 1x", "EF14 2x", "EF14 4x"]
    assert "--set rounds=7" in experiment.text
    assert {c.seed for c in load(text, "cases.seed=[1, 2]").cases} == {1, 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["cases", "[[cases]]"]),
        ("rounds = 5", ["cases"]),
        ("[[cases]]\nrounds = 5", ["cases[0].method", "EF21"]),
        ('speed = 5\n[[cases]]\nmethod = "GD"', ["speed = 5", "one of the keys", "rounds"]),
        ('[[cases]]\nmethod = "EF22"', ["cases[0].method = EF22", "EF21"]),
        ('[[cases]]\nmethod = "GD"\nrounds = "ten"', ["cases[0].rounds = ten", "an integer"]),
        ('[[cases]]\nmethod = "GD"\nrounds = 0', ["cases[0].rounds = 0", "above 0"]),
        ('[[cases]]\nmethod = "GD"\nmultiple = -1', ["multiple = -1", "above 0"]),
        ('[[cases]]\nmethod = "GD"\nmultiple = nan', ["multiple = nan", "a number"]),
        ('[[cases]]\nmethod = "GD"\nrounds = true', ["rounds = True", "an integer"]),
        ('[[cases]]\nmethod = "GD"\ndtype = "float16"', ["dtype", '"float32" or "float64"']),
        ('[[cases]]\nmethod = "GD"\nmultiple = 1\nstepsize = 1', ["not both"]),
        ('[[cases]]\nmethod = "GD"\ncompressor = {name = "topk", k = 1}', ["compressor", "whole"]),
        (
            '[[cases]]\nmethod = "EF21"\ncompressor = "topk"',
            ["cases[0].compressor.k", "an integer"],
        ),
        (
            '[[cases]]\nmethod = "EF21"\ncompressor = {name = "topk", k = 1, r = 2}',
            ["cases[0].compressor.r = 2", "k, wire"],
        ),
        (
            '[[cases]]\nmethod = {name = "EF21", g0 = "half"}',
            ["cases[0].method.g0 = half", '"dense" or "compressed"'],
        ),
        (
            '[[cases]]\nmethod = "GD"\nstop = {test_accuracy = 0.9}',
            ["stop.test_accuracy", "recorded", "test_fraction"],
        ),
        ('[[cases]]\nmethod = "GD"\nstop = {speed = 1}', ["stop.speed", "grad_norm_sq"]),
        ('[[cases]]\nmethod = "GD"\n[[cases]]\nmethod = "GD"', ["cases", "two are the same"]),
        ('baseline = "best"\n[[cases]]\nmethod = "GD"', ["baseline = best", "GD 1x"]),
        ('data = {alpha = 0.1}\n[[cases]]\nmethod = "GD"', ["data.alpha", 'order = "dirichlet"']),
        (
            'data = {order = "dirichlet", alpha = 0.0}\n[[cases]]\nmethod = "GD"',
            ["data.alpha = 0", "from 0.001"],
        ),
        ('data = {name = "mushrooms", test_fraction = 1.0}\n[[cases]]\nmethod = "GD"', ["below 1"]),
        ('problem = {name = "logistic", lamda = 1}\n[[cases]]\nmethod = "GD"', ["lamda", "lambda"]),
        ("[[cases]\n", ["is not TOML", "line 1"]),
        ('seed = []\n[[cases]]\nmethod = "GD"', ["seed = []", "one value or more"]),
        ('seed = 18446744073709551616\n[[cases]]\nmethod = "GD"', ["seed", "2**63"]),
        ('[[cases]]\nmethod = "GD"\nlabel = "."', ["label = ."]),
        ('[[cases]]\nmethod = "GD"\nstepsize = inf', ["stepsize = inf", "a number"]),
    ],
)
def test_a_mistake_is_named_with_file_key_value_and_what_is_allowed(load, text, words):
    with pytest.raises(UserError) as caught:
        load(text)
    message = str(caught.value)
    assert "some.toml: " in message and "\n" not in message
    for word in words:
        assert word in message, message


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.toml: cannot be read: No such file"):
        config.load(tmp_path / "none.toml")


@pytest.mark.parametrize("setting", ["rounds", "=3"])
def test_a_setting_without_key_or_value_is_refused(load, setting):
    with pytest.raises(UserError, match="expected KEY=VALUE"):
        load('[[cases]]\nmethod = "GD"', setting)


def test_labels_name_only_the_option_that_differs(load):
    experiment = load("""
        data = {name = "mushrooms", order = ["shuffled", "by_label"]}
        problem = {name = "logistic", lambda = [0.1, 0.2]}
        [[cases]]
        method = "GD"
    """)
    assert labels(experiment)[0] == "GD 1x lambda=0.1 order=shuffled"


def test_a_text_is_parsed_without_its_file(tmp_path):
    path, text = tmp_path / "some.toml", 'rounds = 3\n[[cases]]\nmethod = "GD"\n'
    parsed = config.parse(text, path, ("rounds=4",))
    path.write_text(text)
    assert parsed == config.load(path, ("rounds=4",)) and parsed.cases[0].rounds == 4


def test_cases_are_chosen_by_label_and_dealt_out_to_shards(load):
    text = '[[cases]]\nmethod = ["EF21", "EF14"]\ncompressor = "topk:k=1"\nseed = [0, 1, 2]\n'
    whole = load(text)
    assert whole.chosen == (0, 1, 2, 3, 4, 5)
    assert (
        config.select(whole, "EF14*").chosen == (3, 4, 5)
        and config.select(whole).chosen == whole.chosen
    )
    shards = [config.select(whole, "*", f"{i}/4").chosen for i in (1, 2, 3, 4)]
    assert shards == [(0, 4), (1, 5), (2,), (3,)]
    assert config.select(whole, "* seed=[12]", "2/2").chosen == (2, 5)


@pytest.mark.parametrize(
    ("glob", "shard", "words"),
    [
        ("EF23*", None, r"--cases EF23\*: no case of .*some.toml fits: EF21 \+ Top-"),
        (None, "5/4", "--shard 5/4: allowed is I/N with I from 1 to N"),
        (None, "0/4", "from 1 to N"),
        (None, "some", "from 1 to N"),
        (None, "1/9", "--shard 1/9: there are 2 cases"),
    ],
)
def test_a_choice_that_cannot_be_is_one_line(load, glob, shard, words):
    text = '[[cases]]\nmethod = ["EF21", "EF14"]\ncompressor = "topk:k=1"\n'
    with pytest.raises(UserError, match=words):
        config.select(load(text), glob, shard)
