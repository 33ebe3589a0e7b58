# The commands of the house. `make` alone lists them.
#
#   PIP_EXTRA_INDEX_URL   passed through to pip: set it to PyTorch's CPU index for the small torch
#   PYTHON                the Python that makes .venv; by default the first of python3.11, python3

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

HOST := 127.0.0.1
PORT := 8000
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
CODE := $(wildcard mcdrop service tests models benchmarks docs/figures)
# The Dockerfile's line, and the same in place, so that what is edited is what runs.
INSTALL := pip install --constraint constraints.txt ".[serve]"
INSTALL_HERE := pip install --constraint constraints.txt --editable
STARTED := $(shell date +%s)

# One thread, and sums in a fixed order: both must be set before torch is loaded.
export OMP_NUM_THREADS := 1
export MKL_CBWR := AUTO,STRICT
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

# --- environment ------------------------------------------------------------------------------------
# .venv holds what serving needs, or that and the tools: `dev` includes `serve`, so it counts as both.

$(BIN)/pip:
	@test -n "$(PYTHON)" || { echo "mcdrop needs Python 3.11 or newer: python3.11 or python3 was not found"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.serve: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/$(INSTALL_HERE) ".[serve]"
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/pip
	$(BIN)/$(INSTALL_HERE) ".[dev]"
	@touch $@ $(VENV)/.serve

# --- for users --------------------------------------------------------------------------------------

.PHONY: serve
serve: $(VENV)/.serve ## Serve models/ on HOST:PORT (127.0.0.1:8000)
	@exec $(BIN)/mcdrop serve models --host $(HOST) --port $(PORT)

# --- the gate ---------------------------------------------------------------------------------------

.PHONY: test
test: export GATE_STARTED := $(STARTED)
test: lint types ## Run the whole gate: format, lint, types, import rules, tests, coverage
	$(BIN)/pytest -n 2 --dist worksteal --cov

.PHONY: lint
lint: $(VENV)/.dev ## Check format, lint and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo

.PHONY: types
types: $(VENV)/.dev ## Check types
	$(BIN)/mypy $(CODE)

.PHONY: format
format: $(VENV)/.dev ## Format the code and repair what ruff can repair
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

# --- outside the gate -------------------------------------------------------------------------------

.PHONY: models-check
models-check: $(VENV)/.dev ## Train every model twice and compare the weights
	$(BIN)/python -m models.check

.PHONY: install-check
install-check: ## Install as the Dockerfile does, serve as it does, and ask for a prediction
	rm -rf .venv-install
	$(PYTHON) -m venv .venv-install
	.venv-install/bin/pip install --require-hashes --requirement deploy/requirements-serve.txt
	.venv-install/bin/$(INSTALL)
	.venv-install/bin/python tests/support/install_check.py

.PHONY: conformance
conformance: $(VENV)/.dev $(patsubst %,.venv-conformance-%/.ready,triton kserve generated schema) ## Let clients of the Open Inference Protocol check the service
	$(BIN)/python -m tests.conformance.run

.venv-conformance-%/.ready: tests/conformance/requirements-%.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --requirement $<
	@touch $@

.PHONY: image
image: ## Build the container image mcdrop
	docker build --build-arg PIP_EXTRA_INDEX_URL --tag mcdrop .

.PHONY: bench
bench: $(VENV)/.dev ## Run every benchmark; each prints a table
	for benchmark in $(filter-out $(addprefix benchmarks/,uci.py service.py soak.py),$(wildcard benchmarks/*.py)); do echo "== $$benchmark"; $(BIN)/python $$benchmark; done

.venv-peers/.installed: pyproject.toml constraints.txt benchmarks/rivals/constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/$(INSTALL_HERE) . --constraint benchmarks/rivals/constraints.txt transformers lightning torchmetrics einops seaborn structlog h5py scikit-learn
	.venv-peers/bin/pip install --constraint benchmarks/rivals/constraints.txt --no-deps torchvision torch-uncertainty baal
	@touch $@

.PHONY: bench-engine
bench-engine: .venv-peers/.installed ## Time the engine beside torch-uncertainty and baal, in an environment of its own
	.venv-peers/bin/python benchmarks/engine.py

.venv-servers/.installed: pyproject.toml benchmarks/servers/constraints.txt
	$(PYTHON) -m venv .venv-servers
	.venv-servers/bin/pip install --constraint benchmarks/servers/constraints.txt --editable ".[serve]" litserve bentoml
	@touch $@

.PHONY: bench-service
bench-service: .venv-servers/.installed ## Put the service beside LitServe, BentoML and FastAPI under load, in an environment of its own
	.venv-servers/bin/python benchmarks/service.py

.PHONY: soak
soak: $(VENV)/.dev ## Send the service 100 000 requests of all kinds: memory and open files must not grow
	$(BIN)/python benchmarks/soak.py

.venv-oracles/.ready: tests/oracles/constraints.txt
	$(PYTHON) -m venv .venv-oracles
	.venv-oracles/bin/pip install --quiet --constraint $< torch scikit-learn pytest hypothesis netcal mapie crepes uncertainty-calibration properscoring lightning torchmetrics einops seaborn rich
	.venv-oracles/bin/pip install --quiet --constraint $< --no-deps torchvision torch-uncertainty
	@touch $@

.PHONY: oracles
oracles: .venv-oracles/.ready ## Compare metrics and calibrators with heavy packages, in an environment of their own
	PYTHONPATH=. .venv-oracles/bin/python -m pytest -p no:cacheprovider -W ignore tests/oracles

.PHONY: uci
uci: $(VENV)/.dev ## Make the regression tables of docs/uci.md again: make uci DATA=DIR
	@test -n "$(DATA)" || { echo "say where the tables are: make uci DATA=DIR"; exit 2; }
	$(BIN)/python benchmarks/uci.py --data "$(DATA)"

.venv-zoo/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-zoo
	.venv-zoo/bin/$(INSTALL_HERE) ".[client,hf,serve]" pillow pytest hypothesis
	.venv-zoo/bin/pip install --constraint constraints.txt --no-deps torchvision timm
	@touch $@

.PHONY: zoo
zoo: .venv-zoo/.installed ## Judge models of torchvision, timm and transformers, and write docs/zoo.md
	.venv-zoo/bin/python -m tests.zoo

.venv-audit/.ready:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet pip-audit==2.10.1 cyclonedx-bom==7.5.0
	@touch $@

# --strict: a version of which nothing could be learnt is a failure, as is a database that does not answer.
.PHONY: audit
audit: .venv-audit/.ready ## List what is pinned (build/sbom.json), and look for known vulnerabilities in it
	mkdir -p build
	.venv-audit/bin/cyclonedx-py requirements constraints.txt --output-file build/sbom.json
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict --progress-spinner off --vulnerability-service osv \
		|| { echo 'audit: failed: a version has a known vulnerability, or (see above) the database could not be asked' >&2; exit 1; }

.venv-mutants/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-mutants
	.venv-mutants/bin/$(INSTALL) pytest hypothesis mutmut==3.8.1
	@touch $@

.PHONY: mutants
mutants: .venv-mutants/.ready ## Change scheduler, parser and masks in one place at a time: do the tests notice?
	nice .venv-mutants/bin/python -m tests.mutants

.venv-hashes/.ready:
	$(PYTHON) -m venv .venv-hashes
	.venv-hashes/bin/pip install --quiet uv==0.13.9
	@touch $@

.PHONY: hashes
hashes: .venv-hashes/.ready ## Write the hashes of what the container installs, after a change of constraints.txt
	.venv-hashes/bin/python -m tests.support.hashes

.PHONY: test-libraries
test-libraries: .venv-zoo/.installed ## Run the tests that need transformers and timm, in an environment of their own
	.venv-zoo/bin/python -m pytest tests/libraries

.PHONY: test-second-device
test-second-device: $(VENV)/.dev ## Run all on a device of host memory that does not mix with the CPU (needs g++ and ninja)
	$(BIN)/python -m tests.second_device

.PHONY: laws
laws: $(VENV)/.dev ## Try every law of the tests on new examples: the gate's are the same each time
	$(BIN)/pytest -n 2 -m hypothesis --hypothesis-profile=search

.PHONY: test-gpu
test-gpu: $(VENV)/.dev ## Run the tests that need a CUDA device (with a torch that was built for it)
	$(BIN)/pytest -rs tests/gpu

.PHONY: docs-figures
docs-figures: $(VENV)/.dev ## Draw the figures of the documentation
	$(BIN)/python docs/figures/toy.py
	$(BIN)/python docs/figures/cost.py
	for figure in regularizers placement rates ensemble redundancy adaptive_l2; do $(BIN)/python -m docs.figures.$$figure; done

.PHONY: clean
clean: ## Remove what these commands made, .venv included
	rm -rf $(VENV) .venv-* build dist .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
