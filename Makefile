# Two commands are enough: `make demo` shows the whole web job on a small site, `make test` runs the tests.
VENV := .venv
STAMP := $(VENV)/.corpusmill-ready
BIN := $(VENV)/bin
SHELL := /bin/sh

.PHONY: setup demo test lint types unit bench-setup lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.txt pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh $(VENV) requirements-dev.txt
	@touch $(STAMP)

demo: setup
	@$(BIN)/corpusmill demo --output demo-out

test: setup lint types unit

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

unit: setup
	@$(BIN)/python -m pytest -n auto --dist loadfile -q

# What tests/bench compares with, in an environment of its own: .venv-bench/bin/python -m tests.bench.bench_minhash
bench-setup:
	@sh scripts/setup.sh .venv-bench requirements-bench.txt

# Pins every dependency with its hashes; needs uv.
lock:
	uv pip compile -q --no-header --generate-hashes --python-version 3.11 -o requirements.txt pyproject.toml
	uv pip compile -q --no-header --generate-hashes --python-version 3.11 --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml
	uv pip compile -q --no-header --generate-hashes --python-version 3.11 --extra bench -o requirements-bench.txt pyproject.toml

clean:
	rm -rf $(VENV) demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
