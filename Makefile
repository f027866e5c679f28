# Each target is a step of .ci/run. Variables: VENV, PYTHON, HEADLESS, DEMO_HOME, WORKERS, ARGS.
# `fuzz` and `soak` are not: they take as long as SECONDS and CPU_MINUTES say.

SHELL := /bin/bash
VENV ?= .venv
DEMO_HOME ?= .demo
BIN := $(VENV)/bin
# Processes that share the tests, which wait more than they compute; 0 for one that a debugger sees.
WORKERS ?= 3
MODULE ?= decide
SAMPLE ?= 100
SECONDS ?= 60
CPU_MINUTES ?= 24

# The first Python from 3.11 on; `make PYTHON=/path/to/python3 …` names another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	if command -v $$python >/dev/null 2>&1 \
	&& $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; \
	then command -v $$python; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help demo test lint types contracts check coverage mutants audit bench fuzz soak install install-dev constraints clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/.installed ## Prepare the demo, judge nine versions, open the UIs; HEADLESS=1 ends after the table
	@$(BIN)/promotion demo --directory $(DEMO_HOME) $(if $(filter-out 0,$(HEADLESS)),--headless)

test: $(VENV)/.installed-dev ## Run all tests; ARGS='-k fairness' to choose, WORKERS=0 in one process
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadscope $(ARGS)

lint: $(VENV)/.installed-dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## Check types, strictly
	$(BIN)/mypy

contracts: $(VENV)/.installed-dev ## Check that imports point the right way
	$(BIN)/lint-imports

check: lint types contracts test ## Everything that a change must pass

coverage: $(VENV)/.installed-dev ## Measure the branches of the domain code that its tests take; ARGS='gates --missing'
	$(BIN)/python -m promotion_assets_tests.coverage_table $(ARGS)

mutants: $(VENV)/.installed-dev ## Plant SAMPLE=100 faults in MODULE=decide, and see which no test notices
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[mutation]'
	$(BIN)/python -m promotion_assets_tests.mutants $(MODULE) --sample $(SAMPLE) $(ARGS)

audit: $(VENV)/.installed-dev ## Ask for known vulnerabilities of what is pinned; needs a network
	@scratch=$$(mktemp -d) && trap "rm -rf $$scratch" EXIT \
	&& $(BIN)/python -m venv $$scratch/venv \
	&& $$scratch/venv/bin/pip install --quiet --disable-pip-version-check pip-audit \
	&& $$scratch/venv/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict $(ARGS)

bench: $(VENV)/.installed-dev ## Measure speed against other tools; writes benchmarks/results.json
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(VENV)/.installed-dev ## Try any input on whatever reads any; SECONDS=60 a target, ARGS='policy slack' to choose
	$(BIN)/python -m promotion_assets_tests.fuzz --seconds $(SECONDS) $(ARGS)

soak: $(VENV)/.installed-dev ## Live for CPU_MINUTES=24 on real processes, and see what grows
	$(BIN)/python -m promotion_assets_tests.soak --cpu-minutes $(CPU_MINUTES) $(ARGS)

install: $(VENV)/.installed ## Install what the platform needs

install-dev: $(VENV)/.installed-dev ## Install what its tests need too

constraints: ## Write constraints.txt anew from what pip would install today
	@scratch=$$(mktemp -d) && trap "rm -rf $$scratch" EXIT \
	&& $(PYTHON) -m venv $$scratch/venv \
	&& $$scratch/venv/bin/pip install -e '.[test,dev,postgres]' \
	&& { head -1 constraints.txt; $$scratch/venv/bin/pip freeze --all --exclude-editable \
	--exclude pip --exclude wheel | grep == | LC_ALL=C sort -f; } > $$scratch/constraints.txt \
	&& mv $$scratch/constraints.txt constraints.txt

clean: ## Remove the demo's files; the virtual environment stays
	rm -rf $(DEMO_HOME) .promotion

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; make PYTHON=/path/to/it" >&2; exit 2; }
	@echo "Creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV) \
	|| { echo "The venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 2; }

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (about a minute; nothing to do the next time)"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) with what tests need (about a minute; nothing to do the next time)"
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test,dev,postgres]'
	@touch $@ $(VENV)/.installed
