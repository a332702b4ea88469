"""What a shell completes, asked of a real bash; and what a mistyped word is told."""

import subprocess

import pytest

from mpi_lowrank.cli import main

ASK = """
source ./script
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_mpi_lowrank; echo "${COMPREPLY[@]}"; }
ask mpi-lowrank ta
ask mpi-lowrank table --col
ask mpi-lowrank table mine
ask mpi-lowrank best --by ''
ask mpi-lowrank data fe
"""


def test_a_shell_completes_commands_options_choices_and_files(tmp_path, capsys):
    assert main(["completion", "bash"]) == 0
    (tmp_path / "script").write_text(capsys.readouterr().out)
    (tmp_path / "mine.h5").touch()
    asked = subprocess.run(["bash", "-c", ASK], cwd=tmp_path, capture_output=True, text=True)
    costs = "rounds uplink_bytes total_bytes seconds"
    assert asked.stdout.split("\n")[:-1] == ["table", "--columns", "mine.h5", costs, "fetch"]


@pytest.mark.parametrize(
    ("typed", "command", "told"),
    [
        (["tabel", "a.h5"], "mpi-lowrank", "invalid choice: 'tabel'"),
        (["data", "fecth"], "mpi-lowrank data", "did you mean fetch?"),
        (["table", "a.h5", "--colums", "loss"], "mpi-lowrank table", "did you mean --columns?"),
        (["plot", "a.h5", "--frontir=loss=1"], "mpi-lowrank plot", "did you mean --frontier?"),
        (["best", "a.h5", "--target", "loss=1", "--by", "second"], "mpi-lowrank best", "seconds?"),
    ],
)
def test_what_was_mistyped_is_told_what_was_meant(capsys, typed, command, told):
    with pytest.raises(SystemExit) as ended:
        main(typed)
    *_, last = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert last.startswith(f"{command}: error: ") and told in last and "did you mean" in last
