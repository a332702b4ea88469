import pytest

pytestmark = pytest.mark.mpi


def test_what_differs_first_is_named_with_all_its_ranks_in_a_short_line():
    from mpi_lowrank.comm.alike import compare
    from mpi_lowrank.errors import UserError

    mine = {"command": ["run", ""], "numpy": ["2.0.0", ""], "scipy": ["1.1", ""]}
    compare([mine] * 3)
    others = [mine | {"numpy": ["1.26.4", ""]} for _ in range(1000)]
    with pytest.raises(UserError) as error:
        compare([mine, mine | {"scipy": ["2", ""]}, *others])
    assert str(error.value).startswith(
        "numpy is 1.26.4 on ranks 2, 3, 4, 5, 6 and 995 more, 2.0.0 on rank 0; "
    )


def test_a_plugin_s_digest_is_of_all_the_code_in_its_package(tmp_path):
    from pathlib import Path

    from mpi_lowrank.comm.alike import _digest

    package = tmp_path / "mine"
    (package / "inner").mkdir(parents=True)
    (package / "inner" / "deep.py").write_text("x = 1\n")
    before = _digest([package])
    (package / "inner" / "__pycache__").mkdir()
    Path(package / "inner" / "__pycache__" / "deep.pyc").write_bytes(b"1")
    assert _digest([package]) == before
    (package / "inner" / "deep.py").write_text("x = 2\n")
    assert _digest([package]) != before
    assert _digest([package / "inner" / "deep.py"]) not in (before, _digest([package]))
