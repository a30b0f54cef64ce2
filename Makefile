# Works with GNU make 3.81 (macOS) and any POSIX shell. `make` alone lists the targets.
#
# PYTHON       the interpreter that makes .venv, 3.11 or newer: make run PYTHON=python3.12
# ARGS         for run, bench:   make run ARGS="-c xmppd.toml"
# PYTEST_ARGS  for test, soak:   make test PYTEST_ARGS="tests/unit -x"; -n 0 in it: all in one process

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip
SOURCES := setup.cfg pyproject.toml
# One worker per core; who is done takes from who is not. A later -n in PYTEST_ARGS counts instead.
WORKERS := $(if $(findstring no:xdist,$(PYTEST_ARGS)),,-n logical --maxprocesses 8 --dist worksteal)

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench soak docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

run: .venv/.installed ## start a server on localhost (SQLite, self-made certificate, a login printed once)
	$(BIN)/xmppd serve $(ARGS)

test: .venv/.installed-test ## run all tests, on all cores
	$(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS)

soak: .venv/.installed-test ## run the long versions of the fuzz, kill and chaos tests
	XMPPD_SOAK=1 $(BIN)/python -m pytest -m soak -o timeout=7200 -o faulthandler_timeout=7300 $(PYTEST_ARGS)

lint: .venv/.installed-test ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-test ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed-test ## measure against the budgets
	$(BIN)/python -m benchmarks $(ARGS)

docs: .venv/.installed-test ## write docs/reference from the program
	$(BIN)/python -m docs.generate

clean: ## remove everything that make and the tools made, except data/
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: nothing is installed again while setup.cfg and pyproject.toml stay as they are.
.venv/.installed: $(BIN)/python $(SOURCES)
	@$(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(PIP) install --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.installed-test: $(BIN)/python $(SOURCES)
	@$(PIP) --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(PIP) install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ .venv/.installed

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
		echo "'$(PYTHON)' is not there. Install Python 3.11 or newer (Debian, Ubuntu: apt install python3-venv;" \
			"macOS: brew install python), or say where it is: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "'$(PYTHON)' is $$($(PYTHON) --version 2>&1); xmppd needs Python 3.11 or newer." \
			"Name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments. Debian, Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version); installing takes a minute the first time"
	@$(PYTHON) -m venv .venv
