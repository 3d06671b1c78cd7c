# Two commands for a newcomer: `make demo` runs the main job, `make test` the quick tests. Both make .venv first.
#
#   make env        .venv with every extra and the developers' tools
#   make demo       .venv with the base package (or the full one, if it is there), then `sama demo`
#   make test       the quick tests          make test-slow   kills, load, wheels, documentation blocks
#   make lint       ruff, mypy, import-linter
#
# PYTHON  the interpreter that .venv is made with (3.11 or newer)
# JOBS    test processes side by side
# OUT     where the demo writes

PYTHON ?= python3
JOBS ?= 2
OUT ?= sama-demo

VENV := .venv
# Windows puts a venv's programs elsewhere.
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
BASE_STAMP := $(VENV)/.sama-base
FULL_STAMP := $(VENV)/.sama-full
PINS := pyproject.toml constraints.txt
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal --jaxtyping-packages=sama_video,beartype.beartype

# Programs that some test wants, each with its Debian package; a test whose program is missing skips with the reason.
SYSTEM_PROGRAMS := java:default-jre-headless chromium:chromium node:nodejs

# Compiled modules are kept, whatever the environment says: many tests start programs that would compile all anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env demo test test-slow lint system
.NOTPARALLEL:
.DELETE_ON_ERROR:

env: $(FULL_STAMP)

demo: $(if $(wildcard $(FULL_STAMP)),$(FULL_STAMP),$(BASE_STAMP))
	$(BIN)/sama demo --out $(OUT)

test: env
	$(PYTEST) --timeout 300

test-slow: env
	$(PYTEST) --timeout 1200 -m slow

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is missing or older than 3.11; name a newer one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || \
	  { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# torch first and alone, so that the pinned build is settled before anything that merely needs one.
$(BASE_STAMP): $(PINS) | $(BIN)/python
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

$(FULL_STAMP): $(PINS) | $(BIN)/python system
	$(PIP) torch
	$(PIP) --editable '.[all,dev]'
	@touch $@ $(BASE_STAMP)

# Only where it can be done without a question: as root, or with a sudo that asks for no password.
system:
	@wanted=; for pair in $(SYSTEM_PROGRAMS); do \
	  command -v "$${pair%%:*}" >/dev/null 2>&1 || wanted="$$wanted $${pair#*:}"; \
	done; \
	if [ -n "$$wanted" ] && command -v apt-get >/dev/null 2>&1; then \
	  if [ "$$(id -u)" = 0 ]; then become=; elif sudo -n true 2>/dev/null; then become="sudo -n"; else exit 0; fi; \
	  { $$become apt-get update -qq && DEBIAN_FRONTEND=noninteractive $$become apt-get install -y -qq $$wanted; } || \
	  echo "could not install$$wanted: the tests that need them will be skipped" >&2; \
	fi
