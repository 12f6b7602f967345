# Two commands on a fresh machine: `make compare` and `make test`. See README.md.
PYTHON ?= python3
BIN := .venv/bin
# Pip's own option: CI sets it to exact versions, users get the newest ones.
CONSTRAINTS ?=

.PHONY: compare test check clean

compare: .venv/installed
	$(BIN)/affectbench compare --models nearest,bicubic,lanczos --out runs/demo

test: .venv/installed
	$(BIN)/python -m pytest

check: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --doctest-modules affectbench -q
	$(BIN)/affectbench leaderboard check

.venv/installed: pyproject.toml baselines/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[dev]' -e baselines
	touch $@

clean:
	rm -rf .venv build dist *.egg-info baselines/*.egg-info
