# Two commands on a fresh machine: `make compare` and `make test`. See README.md.
PYTHON ?= python3
BIN := .venv/bin
# Pip's own option: CI sets it to exact versions, users get the newest ones.
CONSTRAINTS ?=

.PHONY: compare test test-slow fuzz check style types layers doctests boards docs bench clean

compare: .venv/installed
	$(BIN)/affectbench compare --models nearest,bicubic,lanczos --out runs/demo

# A worker for each core, and one thread for each worker.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

test: .venv/installed
	$(PYTEST)

test-slow: .venv/installed
	$(PYTEST) -m slow

# Damaged images, records, weights, lists and command lines, for half an hour.
fuzz: .venv/installed
	cd tests && ../$(BIN)/python -m fuzz --minutes 30 --seed $(or $(SEED),1)

# All independent of each other: `make --jobs=2 check` takes half the time.
check: style types layers doctests boards

style: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/installed
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini tests

layers: .venv/installed
	$(BIN)/lint-imports

doctests: .venv/installed
	$(BIN)/python -m pytest --doctest-modules affectbench -q

boards: .venv/installed
	$(BIN)/affectbench leaderboard check

# The website in docs/_build/html; warnings are errors.
docs: .venv/installed
	$(BIN)/python -m sphinx -q -E -a -W --keep-going -b html docs docs/_build/html

# Writes docs/performance.md; on a quiet machine, in a few minutes.
bench: .venv/installed
	$(BIN)/python -m pip install --quiet --no-deps 'piq>=0.8' opencv-python-headless
	$(BIN)/python tests/bench/performance.py --out docs/performance.md

.venv/installed: pyproject.toml baselines/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(CONSTRAINTS) -e '.[dev]' -e baselines
	touch $@

clean:
	rm -rf .venv build dist *.egg-info baselines/*.egg-info
