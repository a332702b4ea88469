"""slurm/run.sbatch, edited as its user would, submitted to a real Slurm of two nodes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cluster
import pytest

from mpi_lowrank.record import Record

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "slurm" / "run.sbatch"
EDITABLE = re.compile(r"(?<=^# Edit )(\d) of 3: .*\n(.*)", re.MULTILINE)


@pytest.fixture
def slurm(tmp_path):
    """A running Slurm of two nodes."""
    if os.geteuid():
        pytest.skip("a Slurm of one's own needs root")
    missing = [name for name in cluster.PROGRAMS if not shutil.which(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: slurm-wlm and munge)")
    folder = tmp_path / "slurm"
    folder.mkdir()
    with cluster.running(folder) as running:
        yield running


@pytest.fixture
def project(tmp_path, mpirun):
    """The project as a user of this environment, and of its MPI, would have it on a cluster."""
    folder = tmp_path / "project"
    (folder / "results").mkdir(parents=True)
    (folder / "bench").symlink_to(ROOT / "bench")
    (folder / "run.sbatch").write_text(edited(SCRIPT.read_text(), launch_line(mpirun)))
    return folder


def launch_line(mpirun: str) -> str:
    version = subprocess.run([mpirun, "--version"], capture_output=True, text=True).stdout
    launch = "mpirun --bind-to none" if "Open MPI" in version else "srun --mpi=pmi2"
    return f'launch="{launch}"'


def edited(script: str, launch: str) -> str:
    lines = {
        "1": "#SBATCH --nodes=2 --ntasks-per-node=1 --time=00:03:00",
        "2": f"PATH={Path(sys.executable).parent}:$PATH",
        "3": launch,
    }
    for match in reversed(list(EDITABLE.finditer(script))):
        start, end = match.span(2)
        script = script[:start] + lines.pop(match[1]) + script[end:]
    assert not lines
    return script


def test_script_has_three_lines_to_edit():
    lines = [line for _, line in EDITABLE.findall(SCRIPT.read_text())]
    assert [line.split("=")[0].split()[0] for line in lines] == ["#SBATCH", "source", "launch"]
    assert (ROOT / "bench" / "mushrooms.toml").is_file()


@pytest.mark.timeout(300, method="signal")
def test_job_on_two_nodes_completes_with_a_valid_record(slurm, project, capfd):
    number = slurm.submit(project / "run.sbatch", "--set", "rounds=20", cwd=project)
    job = slurm.wait(number, seconds=180)
    log = (project / f"results/mushrooms-{number}.log").read_text()
    assert job["JobState"] == "COMPLETED", log
    assert f"job {number} on 2 nodes, n[1-2]: results/mushrooms-{number}.h5\n" in log

    record = Record(project / f"results/mushrooms-{number}.h5")
    hosts, ranks = record.attributes["hosts"], record.attributes["ranks"]
    assert sorted(hosts) == ["n1", "n2"] and ranks == 2
    verdicts = {label: case.attributes["valid"] for label, case in record.cases.items()}
    assert len(verdicts) == 8 and all(verdicts.values()), verdicts
    assert record.attributes["threads"] == 1
    assert record.attributes["slurm_job_id"] == str(number)
    with capfd.disabled():
        print(
            f"\nslurm: job {number} on {job['NodeList']} {job['JobState']}; record of {ranks} ranks"
            f" on {', '.join(hosts)}: {len(verdicts)} cases, all valid"
        )
