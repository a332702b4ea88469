import json

from mpi_lowrank import cli


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
