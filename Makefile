# Two commands are enough: `make demo` shows the whole web job on a small site, `make test` runs the tests.
VENV := .venv
STAMP := $(VENV)/.corpusmill-ready
BIN := $(VENV)/bin
SHELL := /bin/sh

.PHONY: setup demo test lint types unit bench-setup lock clean

setup: $(STAMP)

$(STAMP): requirements-dev.txt pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh $(VENV)
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

# What tests/bench compares with; kept out of the project's own environment.
bench-setup: setup
	@sh scripts/setup_bench.sh

# Pins every dependency with its hashes; needs uv.
lock:
	uv pip compile -q --no-header --generate-hashes --python-version 3.11 -o requirements.txt pyproject.toml
	uv pip compile -q --no-header --generate-hashes --python-version 3.11 --extra dev -c requirements.txt -o requirements-dev.txt pyproject.toml

clean:
	rm -rf $(VENV) demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
