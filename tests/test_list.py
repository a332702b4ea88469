import json
import tomllib
from dataclasses import fields
from pathlib import Path

import mpi_lowrank
from mpi_lowrank import cli
from mpi_lowrank.config.cases import COMPONENTS, Case
from mpi_lowrank.config.listing import found
from mpi_lowrank.config.options import choose
from mpi_lowrank.config.reference import reference


def listed(capsys, *options):
    assert cli.main(["list", *options]) == 0
    return capsys.readouterr().out


def test_an_option_without_default_is_required_and_one_that_may_be_nothing_is_not(capsys):
    assert "k = an integer (required)" in listed(capsys, "compressors")
    text = " ".join(listed(capsys, "problems").split())
    assert "target_rank = an integer (optional)" in text and "(default None)" not in text


def test_json_tells_required_from_optional(capsys):
    kinds = json.loads(listed(capsys, "--json"))
    options = {c["name"]: c["options"] for c in kinds["compressors"] + kinds["problems"]}
    assert options["topk"]["k"] == {"allowed": "an integer", "required": True}
    assert (
        options["topk"]["wire"]["default"] == "float32" and not options["topk"]["wire"]["required"]
    )
    assert options["matrix"]["target_rank"]["default"] is None
    assert not options["matrix"]["target_rank"]["required"]


def test_the_page_of_keys_is_what_the_classes_say():
    page = (Path(mpi_lowrank.__file__).parent / "config/README.md").read_text()
    assert page == reference()
    assert [spec.name for spec in fields(Case) if f"\n| `{spec.name}` | " not in page] == []
    assert "| `rounds` | an integer | 1000 |" in page and "|  | `wire` | " in page


def test_a_name_is_told_of_with_an_example_that_a_configuration_takes(capsys):
    text = listed(capsys, "topk")
    assert "k = an integer (required)" in text and 'compressor = "topk:k=8"' in text
    for key, registry in COMPONENTS.items():
        for name in registry.names():
            told = [entry for entry in found(name) if entry["kind"] == registry.kind]
            (given,) = tomllib.loads(told[0]["example"]).items()
            assert given[0] == key and choose(registry, given[1], key).name == name


def test_an_unknown_name_is_told_what_was_meant(capsys):
    assert cli.main(["list", "tokp"]) == 2
    assert "list tokp: " in (told := capsys.readouterr().err) and "did you mean topk?" in told
