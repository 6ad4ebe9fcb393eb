# Targets are listed by `make`. Options: TRACK=fraud|heart|data PROBLEM=fraud|heart|MY.toml DATA=synthetic|curated|cms|PATH CLIENTS=3 ROUNDS=3 SEED=... SOLUTIONS=1
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
export TRACK PROBLEM DATA PARTITION BALANCE CLIENTS ROUNDS MAX_ITER SEED SOLUTIONS
# The embedded AWS has ten client accounts unless more are asked for.
ACCOUNTS := $(if $(CLIENTS),--clients $(CLIENTS))
# The kit calls nobody, and every machine computes the same sums.
export FLWR_TELEMETRY_ENABLED := 0
export FLWR_DISABLE_UPDATE_CHECK := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export MKL_NUM_THREADS := 1

.PHONY: help install workshop lab console tracker test test-kubernetes check check-style check-types check-templates check-rules notebooks bench table results rooms first-run book reliability wheelhouse bundle lock clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

install: .venv/ready  ## install what the notebooks need into .venv

workshop: .venv/ready  ## run every notebook on this machine, no AWS account needed
	@$(BIN)/python -m embedded_aws --home build/workshop/home $(ACCOUNTS) run -- $(BIN)/python -m workshop run

lab: .venv/ready  ## JupyterLab with the embedded AWS up, to follow step by step
	@$(BIN)/python -m embedded_aws $(ACCOUNTS) run -- $(BIN)/python -m workshop lab

# The pure part comes first and is measured: a tracer would slow the rest, whose work is done in other processes anyway.
FAST_TESTS := tests/unit emulator/tests/gate emulator/tests/kubernetes emulator/tests/policies \
  emulator/tests/network/test_reachability.py \
  emulator/embedded_aws client_code data_prep workshop
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder
test: .venv/ready-dev  ## everything that proves the kit works; FAST=1: what is pure, in two minutes
	@$(PYTEST) $(FAST_TESTS) -m "not slow" $(if $(FAST),,--cov)
ifndef FAST
	@echo "coverage is that of the pure part: what jobs, kernels and the embedded AWS run in their processes is not in it"
	@$(PYTEST) -m slow
endif

test-kubernetes: .venv/ready-dev  ## the tests of manifests and runs on a cluster of your own: KUBECONFIG=..., FEDERATION_IMAGE=name@sha256:...
	@$(BIN)/python -m pytest tests/clusters/test_any_cluster.py

check: .venv/ready-dev  ## lint, format, types and repository rules, under 30 seconds
	@$(MAKE) --no-print-directory --jobs 4 check-style check-types check-templates check-rules
check-style:
	@$(BIN)/ruff check && $(BIN)/ruff format --check
check-types:
	@$(BIN)/basedpyright
check-templates:
	@$(BIN)/cfn-lint cloudformation/*.yaml cloudformation/platform/*.yaml
check-rules:
	@$(BIN)/python -m pytest tests/repo

notebooks: .venv/ready  ## render notebooks/source/*.py to executed notebooks
	@$(BIN)/python -m embedded_aws --home build/notebooks run -- $(BIN)/python -m workshop render

first-run: .venv/ready  ## the first run in two accounts, rehearsed on the embedded AWS
	@mkdir -p build/first-run && echo '{"target": {"name": "embedded", "clients": 1}}' > build/first-run/state.json
	@WORKSHOP_HOME=build/first-run $(BIN)/python -m embedded_aws --home build/first-run --clients 1 run -- $(BIN)/python -m workshop first-run --yes --report build/first-run/first-run.md

book: .venv/ready-dev  ## notebooks, pages and reference as one site that can be searched, into build/book
	@$(BIN)/python docs/book/build.py build/book

# Whose runs are the newest: those of `make workshop`, or of `make lab`.
NEWEST = WORKSHOP_HOME=$(patsubst %/runs,%,$(firstword $(shell ls -td build/workshop/home/runs .workshop/runs 2>/dev/null) .workshop/runs))
console: .venv/ready  ## the console on the runs that were recorded here: start one, watch, compare, promote
	@$(NEWEST) $(BIN)/python -m workshop console

tracker: .venv/ready  ## MLflow's page on the runs that were recorded here
	@$(NEWEST) $(BIN)/python -m workshop track page

reliability: .venv/ready-dev  ## run the tests that promise something, write docs/reliability.md
	@$(BIN)/python tests/promises.py

bench: .venv/ready  ## measure the federation against the plain loop, in one run
	@$(BIN)/python -m embedded_aws --home build/bench $(ACCOUNTS) run -- $(BIN)/python -m workshop bench

table: .venv/ready  ## the provider table from CMS's files: CMS=folder LEIE=UPDATED.csv, into build/cms
	@$(BIN)/python -m workshop cms build "$(CMS)" --leie "$(LEIE)"

results: .venv/ready  ## render docs/results.md from DATA=PATH, the curated table, and HEART=FOLDER, UCI's files
	@$(BIN)/python -m workshop results "$(DATA)" $(HEART)

rooms: .venv/ready  ## draw docs/rooms.md from the imports
	@$(BIN)/python -m workshop rooms

wheelhouse: .venv/ready  ## collect the wheels that client jobs bring along
	@$(BIN)/python -m workshop wheelhouse

bundle: .venv/ready  ## pack the kit and its wheels for a notebook instance without internet
	@$(BIN)/python -m workshop bundle

LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet
lock: .venv/ready-dev  ## renew requirements.lock from pyproject.toml, and what client jobs take of it
	@$(LOCK) pyproject.toml --extra dev --no-emit-package embedded-aws --upgrade --output-file requirements-dev.lock
	@$(LOCK) pyproject.toml --no-emit-package embedded-aws --constraint requirements-dev.lock --output-file requirements.lock
	@$(LOCK) client_code/requirements.txt --no-emit-package numpy --constraint requirements.lock --output-file client_code/requirements.lock
	@$(LOCK) kubernetes/requirements.txt --constraint requirements.lock --output-file kubernetes/requirements.lock

clean:  ## remove what was built, and the environment
	rm -rf .venv build

# uv, where it is there, tells how far it is; of what pip says, every 25th package. Nothing is compiled before it is used.
UV := $(shell command -v uv)
ifdef UV
INSTALL = $(UV) pip install --python $(BIN)/python --no-deps --require-hashes --requirement $$lock
else
INSTALL = { $(BIN)/python -m pip install --no-compile --progress-bar off --no-deps --require-hashes --requirement $$lock; \
  echo $$? > .venv/status; } | awk '/^(Collecting|Processing)/ && ++n % 25 == 0 { print "  " n " packages are here" } \
  /^Installing collected/ { print "  " n " packages are here: unpacking them" } { fflush() }'; exit $$(cat .venv/status)
endif
.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit("make PYTHON=... : Python 3.11 or later is needed, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "installing about 260 packages into .venv, 1.3 GB: some minutes with pip, under one with uv"
	@$(PYTHON) -m venv .venv
	@lock=requirements.lock; $(INSTALL)
ifdef UV
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable emulator --editable .
else
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable emulator --editable .
endif
	@touch $@
.venv/ready-dev: requirements-dev.lock .venv/ready
	@lock=requirements-dev.lock; $(INSTALL)
	@touch $@
