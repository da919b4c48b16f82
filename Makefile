# `make demo` and `make test` are all that a fresh Debian machine with Python 3.11 or newer needs.
# Both make the virtual environment and find or install the two servers; then the one runs food
# orders through accidents, and the other checks style and types and runs the tests. `make slow`
# runs those that kill servers, build images and take their time.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= $(shell for python in python3 python3.11 python3.12 python3.13; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
# The newest Python beside it that really runs; version managers leave shims that do not.
NEWEST ?= $(shell for python in $$(ls -dr $$HOME/.pyenv/versions/3.1[2-9].*/bin/python3 2>/dev/null | sort -Vr) \
	python3.14 python3.13 python3.12; do \
	"$$python" -c 'import sys, venv; sys.exit(not (3, 12) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$python" && break; done)

BIN := .venv/bin
CHEAP := $(wildcard tests/unit tests/engine tests/realtime tests/replay tests/simulation tests/contract)

ENGINE ?= real

.PHONY: test slow demo demo-servers fmt lint types unit contract newest servers clean

test: servers lint types newest
	$(BIN)/pytest -m "not slow"

# What takes its time: servers that are killed under load, images of workers, 500 orders in chaos.
slow: .venv/ready servers
	$(BIN)/pytest -m slow

# The environment and the servers are made at the same time: a fresh machine waits for the slower
# of the two. Servers that cannot be had are no reason to fail: the demo says so and does without.
demo:
	@$(MAKE) --no-print-directory -j2 .venv/ready demo-servers
	@PATH="$$PATH:/usr/local/sbin:/usr/sbin:/sbin" $(BIN)/orchestrator demo --engine $(ENGINE)

demo-servers:
ifneq ($(ENGINE),memory)
	@bash .ci/install_servers.sh || echo "servers: they could not be installed"
endif

.venv/ready: pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed (Debian: apt-get install python3 python3-venv)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

.venv-newest/ready: pyproject.toml
	$(NEWEST) -m venv .venv-newest
	.venv-newest/bin/pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

servers:
	@bash .ci/install_servers.sh

fmt: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy
	@if $(BIN)/pyright --version >/dev/null 2>&1; then $(BIN)/pyright --pythonpath $(BIN)/python; \
	else echo "pyright skipped: it needs Node.js, which could neither be found nor downloaded"; fi

unit: .venv/ready
	$(BIN)/pytest tests/unit tests/house

contract: .venv/ready servers
	$(BIN)/pytest tests/contract

ifeq ($(strip $(NEWEST)),)
newest:
	@echo "no Python newer than the first one was found: its tests are skipped"
else
newest: .venv-newest/ready servers
	.venv-newest/bin/python --version
	.venv-newest/bin/pytest -m "not slow" $(CHEAP)
endif

clean:
	rm -rf .venv .venv-newest .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
