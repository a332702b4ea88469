"""Options are declared once, typed, next to their defaults."""

from typing import Literal

import pytest

from mpi_lowrank.component import Component, option
from mpi_lowrank.config.listing import listed
from mpi_lowrank.errors import UserError


class Grid(Component):
    rounding: Literal["nearest", "random"] = option("nearest")
    base: float = option(2.0)

    def __init__(self, **options):
        self.set_options(options)


class Scaled(Grid):
    lambda_: float = option()


class Natural(Scaled):
    base = 2.0


def test_options_are_inherited_behind_the_class_s_own():
    assert list(Scaled.options) == ["lambda", "rounding", "base"]
    assert Scaled.options["lambda"].required and Scaled.options["base"].default == 2.0
    assert Grid.options.keys() == {"rounding", "base"}


def test_a_plain_value_fixes_an_inherited_option():
    assert list(Natural.options) == ["lambda", "rounding"]
    assert Natural(lambda_=1.0).base == 2.0


def test_an_instance_has_every_option_given_or_not():
    made = Scaled(lambda_=0.5, rounding="random")
    assert (made.lambda_, made.rounding, made.base) == (0.5, "random", 2.0)
    assert vars(Scaled.filled({"lambda_": 1.0})) == {
        "lambda_": 1.0,
        "rounding": "nearest",
        "base": 2.0,
    }


def test_an_unknown_option_and_a_missing_one_are_refused_by_name():
    with pytest.raises(TypeError, match="Scaled has no option speed"):
        Scaled(lambda_=1.0, speed=3)
    with pytest.raises(TypeError, match="Scaled needs lambda_"):
        Scaled()


def test_an_option_without_a_type_is_refused_by_name():
    with pytest.raises(UserError, match="Untyped: option speed has no annotation"):

        class Untyped(Component):
            speed = option(1)


def test_configurations_and_lists_read_them():
    (topk,) = (entry for entry in listed("compressors") if entry["name"] == "topk")
    assert topk["options"]["k"] == {"allowed": "an integer", "required": True}
    assert topk["options"]["wire"]["default"] == "float32"
