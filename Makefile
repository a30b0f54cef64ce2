# Works with GNU make 3.81 (macOS) and any POSIX shell. `make` alone lists the targets.
#
# PYTHON       the interpreter that makes .venv, 3.11 or newer: make run PYTHON=python3.12
# ARGS         for run, bench:   make run ARGS="-c xmppd.toml"
# SERVER       for bench:        make bench SERVER=.venv measures what is not compiled
# PYTEST_ARGS  for test, soak:   make test PYTEST_ARGS="tests/unit -x"; -n 0 in it: all in one process

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip
SOURCES := setup.cfg pyproject.toml
SERVER := .compiled
PROGRAM := setup.py $(shell find xmppd/ extensions storage admin -type f -not -name '*.pyc')
# One worker per core; who is done takes from who is not. A later -n in PYTEST_ARGS counts instead.
WORKERS := $(if $(findstring no:xdist,$(PYTEST_ARGS)),,-n logical --maxprocesses 8 --dist worksteal)

# The tests start Python some hundred times. Without bytecode on the disk each start compiles the program again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run test test-compiled lint format bench soak docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

run: .venv/.installed ## start a server on localhost (SQLite, self-made certificate, a login printed once)
	$(BIN)/xmppd serve $(ARGS)

test: .venv/.installed-test ## run all tests, on all cores
	$(BIN)/python -m pytest $(WORKERS) $(PYTEST_ARGS)

soak: .venv/.installed-test ## run the long versions of the fuzz, kill and chaos tests
	XMPPD_SOAK=1 $(BIN)/python -m pytest -m soak -o timeout=7200 -o faulthandler_timeout=7300 $(PYTEST_ARGS)

test-compiled: .compiled/.installed ## run the tests that need no process of their own on the compiled server
	rm -rf .compiled/checkout && mkdir .compiled/checkout
	cp -R tests benchmarks docs setup.cfg README.md .compiled/checkout
	cd .compiled/checkout && ../bin/python -P -m pytest -m "not interpreted" $(WORKERS) \
		$(or $(PYTEST_ARGS),tests/conversations tests/unit)

lint: .venv/.installed-test ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.installed-test ## format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/.installed-test $(SERVER)/.installed ## measure against the budgets
	$(BIN)/python -m benchmarks --python $(SERVER)/bin/python $(ARGS)

docs: .venv/.installed-test ## write docs/reference from the program
	$(BIN)/python -m docs.generate

clean: ## remove everything that make and the tools made, except data/
	rm -rf .venv .compiled build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
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

# The server as an operator installs it, compiled (docs/how-to/compile.md). Not from a build/ of earlier files.
.compiled/.installed: .venv/.installed-test $(SOURCES) $(PROGRAM)
	@command -v cc >/dev/null 2>&1 || { \
		echo "compiling needs a C compiler and Python's headers (Debian, Ubuntu: apt install gcc python3-dev;" \
			"macOS: xcode-select --install)" >&2; exit 1; }
	rm -rf build .compiled && $(BIN)/python -m venv .compiled
	XMPPD_COMPILE=1 .compiled/bin/python -m pip install --quiet --disable-pip-version-check '.[test]'
	@rm -rf build && touch $@

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
