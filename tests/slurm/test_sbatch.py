"""slurm/run.sbatch, submitted to a real Slurm; its job asks for what any cluster has."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cluster
import pytest

from mpi_lowrank.record import Record, RecordWriter

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "slurm" / "run.sbatch"
EDITABLE = re.compile(r"(?<=^# Edit )(\d) of 3: .*\n(.*)", re.MULTILINE)


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running Slurm."""
    if os.geteuid():
        pytest.skip("a Slurm of one's own needs root")
    missing = [name for name in cluster.PROGRAMS if not shutil.which(name)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: slurm-wlm and munge)")
    folder = tmp_path_factory.mktemp("slurm")
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
    """The script with lines 2 and 3 made for here; the job's size is the shipped one."""
    lines = {"2": f"PATH={Path(sys.executable).parent}:$PATH", "3": launch}
    for match in reversed(list(EDITABLE.finditer(script))):
        start, end = match.span(2)
        script = script[:start] + lines.pop(match[1], match[2]) + script[end:]
    assert not lines
    return script


def test_script_has_three_lines_to_edit():
    lines = [line for _, line in EDITABLE.findall(SCRIPT.read_text())]
    assert [line.split("=")[0].split()[0] for line in lines] == ["#SBATCH", "source", "launch"]
    assert (ROOT / "bench" / "mushrooms.toml").is_file()


def test_a_requeued_job_leaves_what_it_had_recorded(tmp_path):
    for folder in ("bench", "results"):
        (tmp_path / folder).mkdir()
    (tmp_path / "bench" / "mushrooms.toml").write_text("[[cases]]\nmethod = 'GD'\nrounds = 2\n")
    (tmp_path / "run.sbatch").write_text(edited(SCRIPT.read_text(), 'launch=""'))
    killed = RecordWriter(tmp_path / "results" / "mushrooms-7.h5", {"name": "killed"})
    job = {"SLURM_JOB_NAME": "mushrooms", "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    command = ["bash", "run.sbatch", "--set", "rounds=1"]
    subprocess.run(command, cwd=tmp_path, env=os.environ | job, check=True, timeout=60)
    assert Record(killed.live).attributes["name"] == "killed"
    record = Record(tmp_path / "results" / "mushrooms-7-1.h5")
    assert record.attributes["status"] == "finished"


@pytest.mark.timeout(300, method="signal")
@pytest.mark.parametrize(
    ("partition", "nodes", "hosts"),
    [("two", "n[1-2]", ["n1", "n2"]), ("one", "n3", ["n3", "n3"])],
)
def test_job_completes_with_a_valid_record_on_two_cores_wherever_they_are(
    slurm, project, capfd, partition, nodes, hosts
):
    script, options = project / "run.sbatch", ("--set", "rounds=20", "--set", "seed=0")
    number = slurm.submit(partition, script, *options, cwd=project)
    job = slurm.wait(number, seconds=120)
    log = (project / f"results/mushrooms-{number}.log").read_text()
    assert job["JobState"] == "COMPLETED", log
    assert f"job {number} on {nodes}: results/mushrooms-{number}.h5\n" in log

    record = Record(project / f"results/mushrooms-{number}.h5")
    assert record.attributes["hosts"] == hosts and record.attributes["ranks"] == 2
    verdicts = {label: case.attributes["valid"] for label, case in record.cases.items()}
    assert len(verdicts) == 13 and all(verdicts.values()), verdicts
    assert record.attributes["threads"] == 1
    assert record.attributes["slurm_job_id"] == str(number)
    with capfd.disabled():
        told = f"job {number} on {job['NodeList']} {job['JobState']}"
        print(f"\nslurm: {told}; record of 2 ranks: {len(verdicts)} cases, all valid")
