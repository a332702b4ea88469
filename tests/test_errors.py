import pytest

from mpi_lowrank import cli
from mpi_lowrank.errors import LONGEST, OptionError, UserError, hint, short


def test_a_long_error_keeps_its_beginning_and_its_end():
    text = str(UserError("some.toml: " + "x" * 10**5 + ": allowed is topk"))
    assert len(text) <= LONGEST
    assert text.startswith("some.toml: x") and text.endswith("x: allowed is topk")


def test_a_long_value_or_key_leaves_room_for_what_is_allowed():
    text = str(OptionError("k" * 10**5, "v" * 10**5, "one of " + ", ".join(map(str, range(50)))))
    assert " = v" in text and text.endswith(", 49") and "one of 0, 1," in text


@pytest.mark.parametrize("length", [5, 99, 100, 101, 106, 1000])
def test_a_shortened_text_has_the_length_that_was_asked_for(length):
    assert len(short("x" * length)) == min(length, 100)


def test_an_error_is_one_line_and_moves_no_cursor():
    text = str(UserError("a\nb\r\x1b[2J\x00\x9b\udc80é"))
    assert text == r"a\nb\r\x1b[2J\x00\x9b\udc80é"


def test_what_is_missing_is_not_a_value():
    assert str(OptionError("topk.k", None, "an integer")) == (
        "topk.k is missing: expected an integer"
    )


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("tokp", "topk"), ("TOPK", "topk"), ("natral", "natural"), ("gd", "GD")],
)
def test_the_nearest_name_is_suggested(given, nearest):
    assert hint(["GD", "natural", "svd", "topk"], given) == f"; did you mean {nearest}?"


@pytest.mark.parametrize("given", ["", "quite another", 5, None, ["topk"], "x" * 10**6])
def test_nothing_is_suggested_where_nothing_is_near(given):
    assert hint(["GD", "natural", "svd", "topk"], given) == ""


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["data", "fetch", "a9b"], ["no 'a9b'", "did you mean a9a?"]),
        (["certify", "tokp:k=2"], ["compressor = tokp", "did you mean topk?"]),
        (["certify", "topk:K=2"], ["compressor.K = 2", "did you mean k?"]),
        (["certify", "topk"], ["compressor.k is missing: expected an integer"]),
        (["certify", "topk:k=" + "9" * 5000], ["compressor.k = 999", "an integer"]),
        (["certify", "topk:k=" + "[" * 5000], ["compressor.k = [[[", "an integer"]),
        (["certify", "topk:k=1e999"], ["compressor.k = inf", "an integer"]),
        (
            ["certify", "qsgd:norm=linff"],
            ['norm = linff: allowed is "l2" or "linf"; did you mean linf?'],
        ),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(capsys, command, words):
    assert cli.main(command) == cli.FAILED
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and len(said) <= 1000
    for word in words:
        assert word in said
