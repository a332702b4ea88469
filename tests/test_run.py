"""`mpi-lowrank run` from outside: what it says, what it leaves, how it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from mpi_lowrank.record import Record

CASES = """
workers = 6
rounds = 30
[[cases]]
method = "EF21"
compressor = { name = "topk", k = 3 }
multiple = 16
"""


@pytest.fixture
def run(tmp_path, mpirun):
    def run(text, *options, ranks=2, wait=True):
        (tmp_path / "some.toml").write_text(text)
        program = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml"]
        command = [mpirun, "-n", str(ranks), *program, "--out", "some.h5", *options]
        started = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if not wait:
            return started
        out, err = started.communicate(timeout=110)
        return started.returncode, out, err

    run.record = tmp_path / "some.h5"
    return run


@pytest.fixture
def patched(tmp_path, monkeypatch):
    """Runs a line of Python at the start of every rank."""

    def patch(code):
        (tmp_path / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return patch


def one_error(ended):
    code, _, err = ended
    lines = [line for line in err.splitlines() if line]
    mine = [line for line in lines if line.startswith("mpi-lowrank: error: ")]
    assert code != 0 and len(mine) == 1 and "Traceback" not in err, err
    return mine[0]


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_run_leaves_a_valid_record_with_its_provenance(run, ranks):
    code, out, err = run(CASES, "--set", "seed=4", ranks=ranks)
    assert (code, out, err) == (0, "record: some.h5\n", "")
    record = Record(run.record)
    root = record.attributes
    assert root["schema"] == "mpi-lowrank/1" and root["ranks"] == ranks and root["threads"] == 1
    assert root["config"].startswith(CASES) and "seed=4" in root["config"]
    assert "some.toml --out some.h5 --set seed=4" in root["command"]
    assert len(root["hosts"]) == ranks and root["blas"] and root["cpu_models"]
    assert root["kernels"] == "numpy"
    assert set(json.loads(root["versions"])) >= {"python", "numpy", "mpi4py", "mpi_lowrank"}
    assert len(root["data_sha256"][0]) == 64
    case = record.cases["EF21 + Top-3 16x"]
    given = case.attributes
    assert given["valid"] and given["status"] == "finished" and given["workers"] == 6
    theory = given["multiple"] / given["stepsize"]
    xi = (1 + (1 - given["alpha"]) ** 0.5) / given["alpha"] - 1
    assert theory == pytest.approx(given["L"] + given["L_tilde"] * xi)
    assert len(case["round"]) == 31 and len(case.phases) == ranks
    spent = sum(case.phases[name].max() for name in ("gradient", "compress", "exchange", "decode"))
    assert 0 < case["seconds"][-1] and spent < 2 * case["seconds"][-1]


def test_oversubscribed_ranks_make_seconds_invalid_and_the_mathematics_valid(run):
    ranks = len(os.sched_getaffinity(0)) + 1
    assert run(CASES.replace("= 6", "= 9"), ranks=ranks)[0] == 0
    given = next(iter(Record(run.record).cases.values())).attributes
    assert given["valid"] and not given["timing_valid"]
    assert "cores" in given["timing_reasons"][0]


def test_a_record_of_other_cases_is_refused_and_kept_without_overwrite(run):
    assert run(CASES)[0] == 0
    before = run.record.read_bytes()
    told = one_error(run(CASES, "--set", "rounds=31", "--set", "x0='zeros'"))
    assert "rounds is 31, was 30, x0 is zeros, was normal; give another name, or --over" in told
    other = CASES + "label = 'another'"
    assert "holds the case 'EF21 + Top-3 16x', which some.toml does not" in one_error(run(other))
    assert run.record.read_bytes() == before
    assert run(CASES)[:2] == (0, "record: some.h5\n")  # nothing is left to do
    assert run.record.read_bytes() == before
    assert run(CASES, "--overwrite")[0] == 0
    assert run.record.read_bytes() != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (CASES.replace("k = 3", "k = 200"), ["some.toml", "compressor.k = 200", "d = 112"]),
        (CASES.replace("topk", "svd").replace("k = 3", "rank = 0"), ["rank = 0", "from 1 to"]),
        (CASES.replace("= 6", "= 1"), ["some.toml", "workers = 1", "2 ranks"]),
        (CASES.replace("= 6", "= 9000"), ["workers = 9000", "8124"]),
        ('data = "nowhere"\n' + CASES, ["some.toml", "nowhere"]),
        (CASES.replace("k = 3", 'k = 3, scale = "unbiased"').replace("topk", "randk"), ["alpha"]),
        ('problem = {name = "logistic", lambda = -1}\n' + CASES, ["problem.lambda = -1"]),
        (
            CASES.replace('"EF21"', '{ name = "EF21-PP", probability = 0.0 }'),
            ["method.probability = 0", "above 0"],
        ),
        ('data = "digits"\n' + CASES, ["digits", "sparse"]),
        ('problem = "softmax"\ndata = "mushrooms"\n' + CASES, ["mushrooms"]),
        ('problem = "mlp"\n' + CASES, ["stepsize", "a number"]),
    ],
)
def test_a_mistake_is_one_line_on_one_rank_and_leaves_no_record(run, text, words):
    message = one_error(run(text))
    for word in words:
        assert word in message
    assert not run.record.exists()


def test_a_folder_that_does_not_exist_is_an_error_before_anything_runs(run):
    assert "nowhere" in one_error(run(CASES, "--out", "nowhere/some.h5"))


def test_an_unexpected_exception_on_one_rank_ends_the_job_with_its_traceback(run, patched):
    patched(
        "import os\n"
        "if os.environ.get('PMI_RANK', os.environ.get('OMPI_COMM_WORLD_RANK')) == '1':\n"
        "    import mpi_lowrank.methods.error_feedback as m\n"
        "    m.EF21.move = lambda *a: 1 / 0\n"
    )
    code, _, err = run(CASES)
    assert code != 0
    assert "rank 1 failed" in err and "ZeroDivisionError" in err


def test_a_diverging_case_is_recorded_as_such_and_the_next_one_runs(run):
    text = CASES.replace("multiple = 16", "stepsize = [1e200, 0.1]")
    assert run(text)[0] == 0
    first, second = Record(run.record).cases.values()
    assert first.attributes["status"] == "diverged" and len(first["loss"]) < 31
    assert second.attributes["status"] == "finished"


@pytest.mark.parametrize("multiple", ["1e300", "1e-300"])
def test_a_stepsize_that_the_state_s_numbers_cannot_hold_is_one_error(run, multiple):
    text = 'dtype = "float32"' + CASES.replace("multiple = 16", f"multiple = {multiple}")
    message = one_error(run(text))
    assert f"multiple = {float(multiple):g}: " in message and "a float32 above 0" in message


def test_a_target_ends_a_case_early(run):
    assert run(CASES + "stop = { loss = 1.0 }", "--set", "rounds=500")[0] == 0
    case = next(iter(Record(run.record).cases.values()))
    assert case["loss"][-1] <= 1.0 < case["loss"][-2] and len(case["loss"]) < 501


def test_a_terminal_shows_a_bar_and_a_pipe_does_not(run, mpirun, tmp_path):
    assert "\r" not in run(CASES, "--set", "rounds=300")[2]
    ours, theirs = os.openpty()
    program = [sys.executable, "-m", "mpi_lowrank", "run", "some.toml", "--out", "bar.h5"]
    program += ["--set", "rounds=300"]
    started = subprocess.Popen([mpirun, "-n", "2", *program], cwd=tmp_path, stderr=theirs)
    os.close(theirs)
    shown = "".join(lines_of(ours))  # as they come: a terminal that nobody reads is soon full
    assert started.wait(timeout=30) == 0
    assert "[1/1] EF21 + Top-3 16x" in shown and "|grad|^2" in shown


def lines_of(terminal):
    with suppress(OSError), open(terminal, newline="", errors="replace") as lines:
        yield from iter(lambda: lines.read(1), "")


def wait_for_rows(path, patience=30):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if path.exists():
            case = next(iter(Record(path).cases.values()), None)
            if case is not None and len(case["loss"]) > 1:
                return case
        time.sleep(0.1)
    raise AssertionError("no rows within the time")


@pytest.mark.parametrize(
    ("how", "status"), [(signal.SIGKILL, "running"), (signal.SIGUSR1, "interrupted")]
)
def test_a_record_can_be_read_during_the_run_and_after_its_death(run, how, status):
    started = run(CASES, "--set", "rounds=10000000", wait=False)
    try:
        case = wait_for_rows(run.record)
        assert case.attributes["status"] == "running"
    finally:
        started.send_signal(how)
        started.communicate(timeout=30)
    time.sleep(0.5)
    record = Record(run.record)
    assert record.attributes["status"] == status
    case = next(iter(record.cases.values()))
    assert case.attributes["status"] == status
    assert len({len(column) for column in case.columns().values()}) == 1
    assert len(case["loss"]) > 1


def test_an_impossible_number_of_threads_is_one_error(run, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert "OMP_NUM_THREADS = 'many'" in one_error(run(CASES))


BUG = """
import os
import mpi_lowrank.methods.error_feedback as m

rank = os.environ.get("PMI_RANK", os.environ.get("OMPI_COMM_WORLD_RANK"))
learn = m.EF21._learn


def broken(self, t):
    self.rounds = getattr(self, "rounds", 0) + 1
    if CONDITION:
        raise ZeroDivisionError("a bug in round 7")
    learn(self, t)


m.EF21._learn = broken
"""
SWEEP = """
workers = 6
rounds = 30
[[cases]]
method = ["EF14", "EF21", "DCGD"]
compressor = { name = "topk", k = 3 }
"""


def test_a_case_that_raises_is_recorded_as_failed_and_the_next_one_runs(run, patched):
    patched(BUG.replace("CONDITION", "self.rounds == 8"))
    code, out, err = run(SWEEP)
    assert (code, out) == (1, "record: some.h5\n")
    told = "ZeroDivisionError: a bug in round 7"
    line = f"EF21 + Top-3 1x failed: {told} (rank 0; its traceback is in the record)"
    assert [line for line in err.splitlines() if "mpi-lowrank" in line] == [
        f"mpi-lowrank: error: {line}"
    ]
    assert "Traceback" not in err
    record = Record(run.record)
    before, failed, after = record.cases.values()
    assert record.attributes["status"] == "finished"
    assert before.attributes["valid"] and after.attributes["valid"]
    assert len(before["loss"]) == len(after["loss"]) == 31 and len(failed["loss"]) == 8
    given = failed.attributes
    assert (given["status"], given["valid"], given["reasons"]) == ("failed", False, [told])
    assert "in broken" in given["traceback"] and given["stepsize"] > 0
    table = subprocess.run(
        [sys.executable, "-m", "mpi_lowrank", "table", run.record], capture_output=True, text=True
    )
    assert told in table.stdout and "failed" in table.stdout


@pytest.mark.parametrize("rank", [0, 1])
def test_a_bug_on_one_rank_ends_the_job_and_leaves_the_cases_before_it(run, patched, rank):
    patched(BUG.replace("CONDITION", f"self.rounds == 8 and rank == '{rank}'"))
    began = time.monotonic()
    code, out, err = run(SWEEP)
    assert code != 0 and out == "" and f"rank {rank} failed" in err and "a bug in round 7" in err
    assert time.monotonic() - began < 30
    before, failed = Record(run.record).cases.values()
    assert before.attributes["status"] == "finished" and len(before["loss"]) == 31
    assert failed.attributes["status"] == ("failed" if rank == 0 else "running")


@pytest.mark.parametrize("rank", [0, 1])
def test_what_fails_while_it_is_made_on_one_rank_fails_on_all(run, patched, rank):
    patched(
        "import os, mpi_lowrank.methods.error_feedback as m\n"
        "make = m.EF21.__init__\n"
        "def broken(*given, **options):\n"
        f"    if os.environ.get('PMI_RANK', os.environ.get('OMPI_COMM_WORLD_RANK')) == '{rank}':\n"
        "        raise MemoryError('no room for 7 TiB')\n"
        "    make(*given, **options)\n"
        "m.EF21.__init__ = broken\n"
    )
    code, out, err = run(SWEEP)
    assert (code, out) == (1, "record: some.h5\n")
    assert f"failed: MemoryError: no room for 7 TiB (rank {rank}; its" in err
    before, failed, after = Record(run.record).cases.values()
    assert failed.attributes["status"] == "failed" and len(failed) == 0
    assert failed.attributes["method"] == "EF21" and "stepsize" not in failed.attributes
    assert before.attributes["valid"] and after.attributes["valid"]


def test_cases_that_are_not_valid_are_named_at_the_end_and_strict_counts_them(run, patched):
    patched(
        "import mpi_lowrank.methods.error_feedback as m\n"
        "move = m.EF21.move\n"
        "def broken(self, g):\n"
        "    self._estimate += 1e-3\n"
        "    move(self, g)\n"
        "m.EF21.move = broken\n"
    )
    for options, status in ((), 0), (("--strict", "--overwrite"), 1):
        code, out, err = run(SWEEP, *options)
        lines = [line for line in err.splitlines() if line.startswith("mpi-lowrank")]
        assert (code, out, len(lines)) == (status, "record: some.h5\n", 1)
        begun = "mpi-lowrank: warning: EF21 + Top-3 1x is not valid: g is not mean g_i: "
        assert lines[0].startswith(begun)
    cases = Record(run.record).cases.values()
    assert [case.attributes["valid"] for case in cases] == [True, False, True]
    assert run(CASES.replace("EF21", "EF14"), "--strict", "--overwrite")[0] == 0


def test_a_throttled_run_takes_the_model_s_time_says_so_and_has_a_key_of_its_own(run):
    text = 'dtype = "float32"\n' + CASES.replace("rounds = 30", "rounds = 20")
    assert run(text, "--throttle", "1mbit,2ms")[0] == 0
    record = Record(run.record)
    (case,) = record.cases.values()
    assert case.attributes["throttle"] == "1 Mbit/s, 2000 us"
    assert record.attributes["throttles"] == ["1 Mbit/s, 2000 us"]
    calls = case.ledger
    calls = calls[(calls["rank"] == 0) & (calls["purpose"] == b"uplink") & (calls["round"] >= 0)]
    # Two ranks: a call is one step, and half of what is gathered crosses a link.
    modelled = calls["calls"].sum() * 2e-3 + calls["bytes"].sum() / 125e3
    assert len(calls) >= 20 and calls["seconds"].sum() > 0.9 * modelled
    assert "throttle is nothing, was 1mbit,2ms" in one_error(run(text))
