# The virtual environment is made by pip alone. `make demo` needs no root rights and no running server.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n 2 --dist worksteal

.PHONY: demo test lint format docs golden released parity soak faults bench clean

demo: $(VENV)/.demo
	$(BIN)/pgscore demo

test: $(VENV)/.dev
	scripts/debian-packages.sh
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p pgscore

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev
	$(BIN)/python docs/build_cli.py
	$(BIN)/python docs/build_estimators.py

golden: $(VENV)/.dev
	scripts/debian-packages.sh
	PGSCORE_REQUIRE_ALL=1 PGSCORE_WRITE_GOLDEN=1 $(BIN)/python -m pytest -n 0 tests/procedures/test_golden.py

released: $(VENV)/.dev
	scripts/debian-packages.sh
	$(BIN)/python scripts/record_release.py

parity: $(VENV)/.dev
	scripts/debian-packages.sh
	PGSCORE_REQUIRE_ALL=1 PGSCORE_CAMPAIGN=full PGSCORE_WRITE_PARITY=1 $(BIN)/python -m pytest $(PYTEST_ARGS) tests/campaign/test_campaign.py
	$(BIN)/python docs/build_estimators.py

# Promotes and rollbacks every tenth of a second under pgbench's load, so many seconds on each server.
PGSCORE_LOAD_SECONDS ?= 60

soak: $(VENV)/.dev
	scripts/debian-packages.sh
	PGSCORE_REQUIRE_ALL=1 PGSCORE_LOAD_SECONDS=$(PGSCORE_LOAD_SECONDS) $(BIN)/python -m pytest -n 0 -s --timeout 0 tests/procedures/test_under_load.py

# 10,000 transactions of writers among incremental runs, and 100 kills of runs of each mode; a quarter of an hour.
faults: $(VENV)/.dev
	scripts/debian-packages.sh
	PGSCORE_REQUIRE_ALL=1 PGSCORE_WRITERS=10000 PGSCORE_KILLS=100 $(BIN)/python -m pytest -n 2 -rP --timeout 0 tests/procedures/test_incremental_truth.py tests/procedures/test_killed_refreshes.py tests/procedures/test_killed_deploys.py

bench: $(VENV)/.bench
	scripts/debian-packages.sh
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# pip 25.1 is the first that reads dependency groups.
$(VENV)/.pip: $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	touch $@

$(VENV)/.demo: $(VENV)/.pip pyproject.toml
	$(BIN)/python -m pip install --quiet -e ".[demo]"
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --group bench
	touch $@
