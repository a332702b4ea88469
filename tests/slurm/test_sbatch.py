"""slurm/run.sbatch, submitted to a real Slurm; its job asks for what any cluster has."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from mpi_lowrank.record import Record

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import cluster
import kills

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


class Task:
    """The second of an array's three, as Slurm starts it; what it asks of scontrol is noted."""

    def __init__(self, folder, launch):
        for name in ("bench", "results", "bin"):
            (folder / name).mkdir()
        config = "rounds = 400000000\n[[cases]]\nmethod = 'GD'\nstepsize = [0.1, 0.2, 0.3]\n"
        (folder / "bench" / "mushrooms.toml").write_text(config)
        (folder / "run.sbatch").write_text(edited(SCRIPT.read_text(), f'launch="{launch}"'))
        for name, does in {
            "scontrol": f'echo "$@" >> {folder}/asked',
            "sleep": f'echo "sleep $@" >> {folder}/asked',
            "lying": '"$@"; exit 0',
        }.items():
            program = folder / "bin" / name
            program.write_text(f"#!/bin/sh\n{does}\n")
            program.chmod(0o755)
        array = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2"}
        job = {"SLURM_JOB_NAME": "mushrooms", "SLURM_JOB_ID": "9", "SLURM_ARRAY_TASK_COUNT": "3"}
        path = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
        self.folder, self.environment = folder, os.environ | array | job | path
        self.file = folder / "results" / "mushrooms-7_2.h5"

    def started(self):
        """The script, after the first round of its run; none outlives the task."""
        options = {"cwd": self.folder, "env": self.environment, "start_new_session": True}
        self.script = subprocess.Popen(["bash", "run.sbatch"], **options)
        cluster.until(self._runs, 30, "the first round")
        return self.script

    def end(self):
        with suppress(ProcessLookupError):
            os.killpg(self.script.pid, signal.SIGKILL)

    def asked(self):
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def _runs(self):
        record = Record(self.file) if self.file.exists() else None
        return record and record.attributes["status"] == "running" and record.cases


@pytest.fixture
def task(tmp_path, request):
    task = Task(tmp_path, getattr(request, "param", ""))
    yield task
    task.end()


def test_a_task_that_is_signalled_takes_a_checkpoint_queues_again_and_goes_on(task):
    rounds = []
    for _ in range(2):
        script = task.started()
        script.send_signal(signal.SIGUSR1)
        assert script.wait(30) == 130
        ((label, case),) = Record(task.file).cases.items()
        assert "0.2" in label and case.attributes["status"] == "interrupted"
        rounds.append(case["round"][-1])
    assert task.asked() == ["requeue 7_2"] * 2
    assert 0 < rounds[0] <= rounds[1]
    assert rounds[0] in case["round"] and len(Record(task.file).attributes["sessions"]) == 2


@pytest.mark.parametrize("task", ["lying"], indirect=True)
def test_a_run_that_was_killed_is_no_success_and_slurm_has_time_to_hear_of_a_dead_node(task):
    script = task.started()
    (run,) = kills.descendants(script.pid)
    os.kill(run, signal.SIGKILL)
    assert script.wait(30) == 1 and task.asked() == ["sleep 360"]


@pytest.mark.timeout(300, method="signal")
@pytest.mark.parametrize(
    ("partition", "nodes", "hosts"),
    [("two", "n[1-2]", ["n1", "n2"]), ("one", "n3", ["n3", "n3"])],
)
def test_job_completes_with_a_valid_record_on_two_cores_wherever_they_are(
    slurm, project, capfd, partition, nodes, hosts
):
    script, options = project / "run.sbatch", ("--set", "rounds=20", "--set", "seed=0")
    number = slurm.submit("-p", partition, script, *options, cwd=project)
    (job,) = slurm.wait(number, seconds=120)
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
