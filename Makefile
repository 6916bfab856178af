# `make demo` and `make test` start from nothing: they make .venv, install what they need, and run.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: demo test test-all bench lint types format clean

demo: $(READY)
	$(BIN)/simsearch demo

test: lint types
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto -m "not shared"

# Also the tests that read the larger data sets beside the checkout.
test-all: lint types
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto

# How well copies of your own photos are found, beside other systems; benchmarks/README.md tells more.
bench: $(READY)
	$(BIN)/python benchmarks/near_duplicates.py compare $(PHOTOS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(READY)
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/near_duplicates.py

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@
