# One door for people: `make` lists everything.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_ARGS ?=
SEED ?= 1
SEEDS ?= 1000

.DEFAULT_GOAL := help

.PHONY: help
help: ## List all targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(VENV)/run: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev: $(VENV)/run pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: install
install: $(VENV)/run ## Install dcp into .venv

.PHONY: demo
demo: $(VENV)/run ## Run the main job: an application rides out a 6x surge on this machine
	$(BIN)/dcp demo --report demo-report.html $(DEMO_ARGS)

.PHONY: demo-docker
demo-docker: $(VENV)/run ## The same with real containers on four Docker Engines here; installs Debian packages, as root
	@missing="$$($(BIN)/dcp lab packages)"; [ -z "$$missing" ] || { echo "installing: $$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; }
	$(BIN)/dcp demo --runtime docker --report demo-docker-report.html $(DEMO_ARGS)

.PHONY: test
test: lint types imports unit ## Run every check: lint, types, import rules, tests

.PHONY: lint
lint: $(VENV)/dev ## Check style and format
	$(BIN)/ruff check src tests bench examples
	$(BIN)/ruff format --check src tests bench examples

.PHONY: types
types: $(VENV)/dev ## Check types strictly
	$(BIN)/mypy

.PHONY: imports
imports: $(VENV)/dev ## Check that dependencies point one way
	$(BIN)/lint-imports

.PHONY: unit
unit: $(VENV)/dev ## Run all tests
	$(BIN)/pytest -n 2 --dist loadgroup

.PHONY: sim
sim: $(VENV)/dev ## Replay one simulated seed: make sim SEED=7
	$(BIN)/dcp simulate --seed $(SEED)

.PHONY: sims
sims: $(VENV)/dev ## Simulate many seeds: make sims SEEDS=1000
	$(BIN)/dcp simulate --seeds $(SEEDS)

.PHONY: bench
bench: $(VENV)/dev ## Run every benchmark; each prints JSON
	for file in bench/*.py; do $(BIN)/python $$file || exit 1; done

.PHONY: format
format: $(VENV)/dev ## Format the code
	$(BIN)/ruff check --fix src tests bench examples
	$(BIN)/ruff format src tests bench examples

.PHONY: clean
clean: ## Remove what was installed and cached
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build src/*.egg-info
