"""A compressor of a user's own, in a package of its own, made of the README's two blocks."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"

CONFIG = """
workers = 4
rounds = 20
problem = "logistic"
[[cases]]
method = "GD"
[[cases]]
method = ["EF21", "EF14"]
compressor = ["sign", { compose = ["topk:k=16", "sign"] }]
stepsize = "0.05/L"
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The environment of a user who has installed the package."""
    source, target = tmp_path_factory.mktemp("my_sign"), tmp_path_factory.mktemp("site")
    text = README.read_text().partition("## Your own compressor")[2]
    (source / "my_sign.py").write_text(re.search(r"```python\n(.*?)```", text, re.S)[1])
    (source / "pyproject.toml").write_text(re.search(r"```toml\n(.*?)```", text, re.S)[1])
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(target)]
    subprocess.run([*install, str(source)], check=True, timeout=100)
    return os.environ | {"PYTHONPATH": str(target)}


def mpi_lowrank(environment, *arguments, launcher=()):
    command = [*launcher, sys.executable, "-m", "mpi_lowrank", *map(str, arguments)]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=100
    ).stdout


def test_it_is_listed_with_its_options(environment):
    listed = json.loads(mpi_lowrank(environment, "list", "compressors", "--json"))["compressors"]
    (sign,) = (entry for entry in listed if entry["name"] == "sign")
    assert sign["summary"].startswith("One bit per") and list(sign["options"]) == ["wire"]
    lines = mpi_lowrank(environment, "list").splitlines()
    assert any(line.startswith("  sign  ") for line in lines) and max(map(len, lines)) <= 100


def test_it_is_certified_among_all_and_on_two_ranks(environment, mpirun):
    findings = json.loads(mpi_lowrank(environment, "certify", "sign", "--json"))
    assert len(findings) > 8 and all(finding["passed"] for finding in findings)
    launcher = (mpirun, "-n", "2")
    arguments = ("certify", "--ranks", "--json", "sign")
    findings = json.loads(mpi_lowrank(environment, *arguments, launcher=launcher))
    assert len(findings) == 8 and all(finding["passed"] for finding in findings)


def test_it_runs_on_two_ranks_and_is_plotted(environment, mpirun, tmp_path):
    (tmp_path / "mine.toml").write_text(CONFIG)
    record = tmp_path / "mine.h5"
    arguments = ("run", tmp_path / "mine.toml", "--out", record)
    mpi_lowrank(environment, *arguments, launcher=(mpirun, "-n", "2"))
    rows = json.loads(mpi_lowrank(environment, "table", record, "--json"))
    assert [row["valid"] for row in rows] == [True] * 5
    labels = {row["label"] for row in rows}
    assert {"EF21 + sign 0.05/L", "EF14 + Top-16, sign 0.05/L"} <= labels
    pictures = json.loads(mpi_lowrank(environment, "plot", record, "-o", tmp_path, "--json"))
    assert pictures and all(Path(picture).stat().st_size > 1000 for picture in pictures)


def test_the_tests_of_the_package_do_not_mind_it(environment):
    tests = ["compressors/test_wire_sizes.py", "report/test_frontier.py"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not mpi"]
    command += ["-k", "every_compressor", *(str(Path(__file__).parent / test) for test in tests)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout


@pytest.fixture(scope="module")
def broken(environment):
    """The same environment after an upgrade that has broken the plug-in."""
    target = Path(environment["PYTHONPATH"])
    working = target.joinpath("my_sign.py").read_text()
    target.joinpath("my_sign.py").write_text("import a_library_that\n\nis_gone\n")
    yield environment
    target.joinpath("my_sign.py").write_text(working)


TOLD = (
    "mpi-lowrank: warning: compressors: sign = my_sign:Sign of plug-in my-sign 1 cannot be used: "
    "ModuleNotFoundError: No module named 'a_library_that'; left out\n"
)


def outcome(environment, *arguments, launcher=()):
    command = [*launcher, sys.executable, "-m", "mpi_lowrank", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)


def test_a_plugin_that_cannot_be_imported_is_named_once_and_left_out(broken, mpirun, tmp_path):
    listed = outcome(broken, "list")
    assert listed.returncode == 0 and listed.stderr == TOLD
    assert "  topk" in listed.stdout and "  sign  " not in listed.stdout
    certified = outcome(broken, "certify", "natural")
    assert certified.returncode == 0 and certified.stderr == TOLD
    (tmp_path / "mine.toml").write_text(CONFIG[: CONFIG.rindex("[[cases]]")])
    arguments = ("run", tmp_path / "mine.toml", "--out", tmp_path / "mine.h5")
    ran = outcome(broken, *arguments, launcher=(mpirun, "-n", "2"))
    assert ran.returncode == 0 and ran.stderr == TOLD


def test_the_use_of_its_name_says_why_there_is_none(broken, mpirun, tmp_path):
    (tmp_path / "mine.toml").write_text(CONFIG)
    ran = outcome(broken, "run", tmp_path / "mine.toml", launcher=(mpirun, "-n", "2"))
    lines = ran.stderr.splitlines(keepends=True)
    first, error = (line for line in lines if line.startswith("mpi-lowrank"))
    assert ran.returncode == 2 and first == TOLD
    assert "compressor = sign" in error and "No module named 'a_library_that'" in error
