"""Names of experiments and cases: what a file, an HDF5 group and a terminal cannot bear."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi_lowrank import config
from mpi_lowrank.errors import UserError
from mpi_lowrank.run import provenance
from mpi_lowrank.text.names import group_name, printable, title

CASE = '[[cases]]\nmethod = "GD"\n'


def refusal(tmp_path, text):
    path = tmp_path / "some.toml"
    path.write_text(text)
    with pytest.raises(UserError) as refused:
        config.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    return str(refused.value)


@pytest.mark.parametrize("name", ["../x", "/abs", "a/b", "..", "", "a\\u0000b", "\\u001b[31m"])
def test_an_experiment_s_name_is_a_file_s_without_folder(tmp_path, name):
    message = refusal(tmp_path, f'name = "{name}"\n{CASE}')
    assert "name = " in message and "results/NAME.h5" in message


@pytest.mark.parametrize("label", ["a\\u001b[2Jb", "a\\nb", "\\u0000", "\\u202Eb", "..", "."])
def test_a_label_is_printable(tmp_path, label):
    message = refusal(tmp_path, f'{CASE}label = "{label}"\n')
    assert "label = " in message and "printable" in message


def test_labels_that_are_one_group_are_refused_before_anything_runs(tmp_path):
    text = f'{CASE}label = "a/b"\n{CASE}label = "a∕b"\nmultiple = 2\n'
    assert "differ in more than / and ∕" in refusal(tmp_path, text)


@settings(deadline=None)
@given(st.text())
def test_what_is_printed_is_printable_and_names_no_path(text):
    assert printable(text).isprintable() and printable(printable(text)) == printable(text)
    assert "/" not in group_name(text)
    printable(text).encode("utf-8")


@settings(deadline=None)
@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_can_be_printed_stays_as_it_is(text):
    assert printable(text) == text


def test_a_command_with_bytes_that_are_no_utf_8_can_be_recorded(monkeypatch):
    monkeypatch.setattr("sys.argv", ["mpi-lowrank", "run", "caf\udce9.toml", "é"])
    assert provenance.attributes()["command"] == r"mpi-lowrank run caf\udce9.toml é"


@pytest.mark.parametrize(
    ("written", "called"),
    [
        (("EF21", "topk(k=2)"), "EF21 + Top-2"),
        (("EF21", "svd"), "EF21 + rank-1 SVD"),
        (("EF21", "svd(rank=2,shape=7x16)+natural"), "EF21 + rank-2 SVD (shape=7x16), natural"),
        (("EF21(g0=dense)", "topk(k=20,wire=float64)"), "EF21(g0=dense) + Top-20 (wire=float64)"),
        (("GD", "identity"), "GD"),
        (("GD", "dense", "polyak(beta=0.5)"), "GD + dense, polyak(beta=0.5)"),
        (
            ("mine", "blocks(w=topk(k=2)+natural,b=dense)"),
            "mine + blocks(w=topk(k=2)+natural,b=dense)",
        ),
        (("mine", ""), "mine"),
        (("mine", "topk"), "mine + topk"),
        (("mine", "topk(k=2"), "mine + Top-2"),
    ],
)
def test_a_method_is_called_as_in_a_paper(written, called):
    assert title(*written) == called
